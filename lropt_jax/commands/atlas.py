"""`lropt atlas`: which optimizer is best, asked of many on many problems, all tuned alike."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any

from lropt_jax.commands.answers import Answer
from lropt_jax.commands.formatting import Defaults, counted
from lropt_jax.commands.plans import add_plan, said


def add_parsers(subparsers: Any) -> None:
    """Registers the subcommand."""
    parser = subparsers.add_parser(
        "atlas",
        help="compare all optimizers on many problems, tuned alike",
        description="Tunes every optimizer alike on every problem, tests the chosen ones once on "
        "fresh seeds, and writes rows and a page. What is finished is read back; what was "
        "interrupted goes on.",
        formatter_class=Defaults,
    )
    parser.add_argument("--quick", action="store_true", help="a quick look, which decides nothing")
    add_plan(parser)
    parser.add_argument(
        "--problems", nargs="+", metavar="NAME", help="these alone; lropt list problems"
    )
    parser.add_argument(
        "--add",
        metavar="MODULE:FACTORY",
        help="your own optimizer (or mine.py:factory, optax.lion), beside the data that there are",
    )
    parser.add_argument(
        "--verify",
        type=counted,
        metavar="N",
        help="train N random rows of the data again, and compare",
    )
    parser.add_argument(
        "--output", type=Path, metavar="DIR", default=Path("runs") / "atlas", help="rows and page"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> Answer:
    """Says the plan, trains what is missing, and writes the page; or trains rows again."""
    if options.verify is not None:
        return _verify(options)
    from lropt_jax.atlas.design import design
    from lropt_jax.atlas.entries import ENTRIES
    from lropt_jax.atlas.page import page_data, write_page
    from lropt_jax.atlas.rows import gathered, shipped
    from lropt_jax.atlas.run import own_pool, run_atlas
    from lropt_jax.commands.output import naming, writable
    from lropt_jax.validation import require

    problems, changes, beside = options.problems, {}, []
    if options.add:
        own = _own(options.add)
        # Beside the rows that ship, which a quick look has others than.
        beside = [] if options.quick else shipped()
        problems = problems or [file.stem for file in beside] or None
        changes["entries"] = (*(design(quick=True).entries if options.quick else ()), own)
    plan = design(options.quick, problems, **changes)
    cores = _cores()
    if (planned := said(options, plan.plan(cores), plan.costs(cores))) is not None:
        return planned
    require("lropt atlas", "atlas", "pandas", "pyarrow", "scipy", "flax", "cloudpickle")
    output = writable(options.output)
    try:
        with own_pool(cores) as pool, naming(output):
            run_atlas(plan, output, pool, _say)
    except KeyboardInterrupt as interrupt:
        interrupt.add_note(f"Saved in {output}. Call it again to go on from there")
        raise
    frame = gathered(output, plan.problems, beside)
    entries = ENTRIES | {entry.name: entry for entry in plan.entries}
    found = page_data(frame, entries)
    with naming(output):
        path = write_page(found, output / "index.html")
    where = _where(found, own.name) if options.add else []

    def show() -> None:
        print("".join(f"\n{line}" for line in where))
        print(f"{found['opening']} {found['order']}")
        print(f"Rows: load_atlas({str(output)!r}). Page: {path}")

    return Answer({"atlas": found, "added": where, "page": path, "rows": output}, show)


def _where(found: dict[str, Any], name: str) -> list[str]:
    """Where an optimizer stands on each problem."""
    lines = []
    for problem in found["problems"]:
        best = problem["budgets"]["all"]
        (loss, half), (low, high) = best["rows"][name]["loss"], best["rows"][name]["rank"]
        what = "errors" if problem["accuracy"] else "loss"
        words = "nobody is better" if name in best["tied"] else f"rank {low} to {high}"
        lines.append(
            f"{name} on {problem['name']}: {what} {loss:.4g} ± {half or 0:.2g}; {words} of "
            f"{len(best['rows'])}"
        )
    return lines


def _verify(options: argparse.Namespace) -> Answer:
    from lropt_jax.atlas.rows import load_atlas, shipped
    from lropt_jax.atlas.verify import verified
    from lropt_jax.validation import whole_number

    count = whole_number("--verify", options.verify)
    # What ships; without it, what a run has left.
    frame = load_atlas() if shipped() else load_atlas(options.output)
    found = verified(frame, count, options.problems, say=_say)
    words = f"{int(found.agrees.sum())} of {len(found)} agree (data {frame.attrs['data']})."
    differ = int((~found.agrees.astype(bool)).sum())
    return Answer(
        {"data": frame.attrs["data"], "verified": found, "differ": differ},
        lambda: print(words),
        f"{differ} rows came out otherwise" if differ else "",
    )


def _say(words: str) -> None:
    print(words, flush=True)


def _own(name: str) -> Any:
    from lropt_jax.atlas.entries import ENTRIES, own_entry
    from lropt_jax.commands.own_code import factory

    made = factory("--add", name)
    own = re.split(r"[.:]", name)[-1]
    return own_entry(f"{own} (added)" if own in ENTRIES else own, made)


def _cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not every system tells
        return os.cpu_count() or 1
