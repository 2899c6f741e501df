"""`lropt reproduce`: the field's claims put to the test, with a page each and an overview."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.commands.formatting import Defaults


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
