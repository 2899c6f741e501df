"""Pages out of verdicts: HTML and Markdown a claim, an overview, and all verdicts as JSON."""

from __future__ import annotations

import io
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from lropt_jax.pages.rendering import render
from lropt_jax.pages.tables import Table
from lropt_jax.plotting.vector import inline_svg
from lropt_jax.reproductions.claim import Verdict
from lropt_jax.validation import require

HERE = "lropt_jax.reproductions"


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
    path.write_text(render(HERE, "overview.html", verdicts=verdicts, **words), encoding="utf-8")
    return path


def _write_page(verdict: Verdict, folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    figure = verdict.plot()
    inline = ""
    if figure is not None:
        (folder / "figure.svg").write_text(_svg(figure, verdict.claim.name), encoding="utf-8")
        inline = inline_svg(figure, "figure", verdict.claim.title)
    command = _command(verdict.claim.name, [verdict])
    rows = [[str(cell) for cell in row.values()] for row in verdict.table]
    page = render(
        HERE,
        "page.html",
        v=verdict,
        figure=inline,
        table=Table(list(verdict.table[0]), rows),
        facts=_facts(verdict),
        command=command,
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    words = _markdown(verdict, figure is not None, command)
    (folder / "index.md").write_text(words, encoding="utf-8")


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


def _svg(figure: Any, name: str) -> str:
    import matplotlib

    text = io.StringIO()
    # Without dates and random names the same data give the same bytes.
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
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
