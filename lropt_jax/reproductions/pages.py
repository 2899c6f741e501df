"""Pages out of verdicts: HTML and Markdown a claim, an overview, and all verdicts as JSON."""

from __future__ import annotations

import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from lropt_jax.reproductions.claim import Verdict
from lropt_jax.validation import require


def write_pages(verdicts: Sequence[Verdict], output: str | os.PathLike[str]) -> pathlib.Path:
    """Writes a page a verdict, the overview and `reproductions.json`.

    Args:
      verdicts: in the order of the overview.
      output: a folder; made if it does not exist.

    Returns:
      The path of the overview.
    """
    require("a page", "report", "jinja2", "matplotlib")
    folder = pathlib.Path(output).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    for verdict in verdicts:
        _write_page(verdict, folder / verdict.claim.name)
    rows = [verdict.row() for verdict in verdicts]
    (folder / "reproductions.json").write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    (folder / "index.md").write_text(_overview_markdown(verdicts), encoding="utf-8")
    path = folder / "index.html"
    words = {"counts": _counts(verdicts), "command": _command("--all", verdicts)}
    path.write_text(_render("overview.html", verdicts=verdicts, **words), encoding="utf-8")
    return path


def _write_page(verdict: Verdict, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    svg = _svg(verdict)
    if svg:
        (folder / "figure.svg").write_text(svg, encoding="utf-8")
    command = _command(verdict.claim.name, [verdict])
    inline = svg[svg.index("<svg") :] if svg else ""
    page = _render("page.html", v=verdict, figure=inline, facts=_facts(verdict), command=command)
    (folder / "index.html").write_text(page, encoding="utf-8")
    (folder / "index.md").write_text(_markdown(verdict, bool(svg), command), encoding="utf-8")


def _facts(verdict: Verdict) -> dict[str, str]:
    claim = verdict.claim
    facts = {
        "Claim": claim.claim,
        "Source": claim.source,
        "Setting here": claim.setting,
        "How it differs": claim.differs,
        "Expected": claim.expected,
        "Criterion": f"{claim.criterion} Fixed on {claim.frozen}.",
        "Measured": verdict.measured,
        "Limits": claim.limits,
        "Took": f"{verdict.seconds:.0f} s",
    }
    if claim.seeds:
        facts["Seeds"] = str(claim.seeds)
    return facts


def _svg(verdict: Verdict) -> str:
    import matplotlib

    # Without dates and random names the same data give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": verdict.claim.name, "svg.fonttype": "none"}):
        figure = verdict.plot()
        if figure is None:
            return ""
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _markdown(verdict: Verdict, figure: bool, command: str) -> str:
    claim = verdict.claim
    lines = [
        f"# {claim.title}",
        "",
        f"**{verdict.verdict.capitalize()}.** {verdict.sentence}",
        "",
        f"**What to do.** {claim.advice}",
        "",
    ]
    if figure:
        lines += [f"![{claim.title}](figure.svg)", ""]
    lines += [*_table([list(verdict.table[0]), *(list(r.values()) for r in verdict.table)]), ""]
    lines += [f"- **{heading}.** {words}" for heading, words in _facts(verdict).items()]
    about = ", ".join(f"{name} {version}" for name, version in verdict.about.items())
    lines += ["", "```bash", command, "```", "", f"Run with {about}.", ""]
    return "\n".join(lines)


def _overview_markdown(verdicts: Sequence[Verdict]) -> str:
    rows = [
        [f"[{v.claim.title}]({v.claim.name}/index.md)", v.verdict, v.measured, v.claim.advice]
        for v in verdicts
    ]
    lines = [
        "# What holds, and what does not",
        "",
        "Claims of the field about optimizers and learning rates, each put to the test by a "
        f"criterion that was fixed before the run. {_counts(verdicts)}",
        "",
        *_table([["Claim", "Verdict", "Measured", "What to do"], *rows]),
        "",
    ]
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[Any]]) -> list[str]:
    def line(cells: Sequence[Any]) -> str:
        return "| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |"

    return [line(rows[0]), "|" + "---|" * len(rows[0]), *(line(row) for row in rows[1:])]


def _counts(verdicts: Sequence[Verdict]) -> str:
    found = [v.verdict for v in verdicts]
    return (
        ", ".join(
            f"{found.count(word)} {word}"
            for word in ("reproduced", "not reproduced", "undecided")
            if word in found
        ).capitalize()
        + "."
    )


def _command(what: str, verdicts: Sequence[Verdict]) -> str:
    return f"lropt reproduce {what}" + (" --quick" if any(v.quick for v in verdicts) else "")


def _render(template: str, **values: Any) -> str:
    import jinja2

    loader = jinja2.PackageLoader("lropt_jax.reproductions", ".")
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    css = loader.get_source(environment, "pages.css")[0]
    return str(environment.get_template(template).render(css=css, **values))
