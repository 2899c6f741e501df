"""`lropt reproduce`: the field's claims put to the test, with a page each and an overview."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.commands.formatting import Defaults
from lropt_jax.commands.plans import add_plan, said, time_words
from lropt_jax.progress import several


def add_parsers(subparsers: Any) -> None:
    """Registers the subcommand."""
    parser = subparsers.add_parser(
        "reproduce",
        help="put the field's claims to the test",
        description="Puts claims to the test by criteria fixed beforehand, and writes a page each "
        "and an overview. What is finished is read back; what was interrupted goes on.",
        formatter_class=Defaults,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="claims; lropt list claims")
    parser.add_argument("--all", action="store_true", help="all claims")
    parser.add_argument("--quick", action="store_true", help="a quick look, which decides nothing")
    add_plan(parser)
    parser.add_argument(
        "--output",
        type=Path,
        metavar="DIR",
        default=Path("runs") / "reproductions",
        help="where the data and the pages go",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Answer:
    """Runs the claims, says a line of each, and writes the pages."""
    from lropt_jax.commands.output import naming, writable
    from lropt_jax.reproductions.catalogue import CLAIMS, claim_named
    from lropt_jax.reproductions.pages import write_pages
    from lropt_jax.reproductions.running import read, reproduce
    from lropt_jax.validation import require

    packages = ("jinja2", "matplotlib", "pandas", "scipy", "mnist1d", "sklearn", "mlxtend")
    require("lropt reproduce", "all", *packages)
    names = list(CLAIMS) if options.all else options.names
    if not names:
        raise ValueError(f"name a claim, or --all. Claims: {', '.join(CLAIMS)}")
    for name in names:
        claim_named(name)  # a typo is refused before any claim runs
    output = writable(options.output)
    if (planned := said(options, *_foreseen(names, options.quick, output))) is not None:
        return planned
    verdicts = []
    for name in names:
        with naming(output / name):
            verdict = reproduce(name, options.quick, output)
        print(f"{name}: {verdict.verdict} ({verdict.seconds:.0f} s). {verdict.measured}")
        sys.stdout.flush()
        verdicts.append(verdict)
    # The overview shows what there is, not only what ran now.
    found = []
    for name in CLAIMS:
        claim = claim_named(name)
        quick = options.quick and claim.kind == "statistical"
        kept = read(output / name, claim, quick)
        found += [] if kept is None else [kept]
    with naming(output):
        pages = write_pages(found, output)
    document = {"claims": [verdict.row() for verdict in verdicts], "pages": pages}
    return Answer(document, lambda: print(f"\nPages: {pages}"))


def _foreseen(names: list[str], quick: bool, output: Path) -> tuple[str, dict[str, Any]]:
    """What is going to be run, and how long it took where it was measured."""
    from lropt_jax.reproductions.catalogue import claim_named
    from lropt_jax.reproductions.durations import SECONDS
    from lropt_jax.reproductions.running import read

    rows: dict[str, dict[str, Any]] = {}
    for name in names:
        claim = claim_named(name)
        short = quick and claim.kind == "statistical"
        kept = read(output / name, claim, short) is not None
        seconds = 0.0 if kept else None if short else SECONDS.get(name)
        rows[name] = {"kind": claim.kind, "seeds": claim.seeds, "kept": kept, "seconds": seconds}
    known = [row["seconds"] for row in rows.values() if row["seconds"] is not None]
    lines = [
        f"  {name}: {row['kind']}, "
        + ("finished, is read back" if row["kept"] else time_words(row["seconds"]))
        for name, row in rows.items()
    ]
    unknown = len(rows) - len(known)
    total = "how long is not measured"
    if known:
        total = f"about {time_words(sum(known))}, an estimate: as long as on two cores"
        total += f"; {unknown} of them not measured" if unknown else ""
    words = "\n".join([f"{several(len(rows), 'claim')}, {total}.", *lines])
    return words, {"claims": rows, "seconds": sum(known), "not_measured": unknown}
