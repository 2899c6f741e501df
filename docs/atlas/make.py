"""Writes what of the Atlas is generated: `python docs/atlas/make.py [RUN]`.

With the output of `lropt atlas`, the problems that it has all optimizers of become the data that
ship. Then, from the data that ship, the page and the table of this folder's index.
"""

from __future__ import annotations

import json
import os
import pathlib
import platform
import sys

from lropt_jax.atlas.design import MICROSECONDS, VERSION
from lropt_jax.atlas.entries import ENTRIES, FROZEN
from lropt_jax.atlas.page import page_data, write_page
from lropt_jax.atlas.rows import ABOUT, DATA, as_parquet, combined, load_atlas, small
from lropt_jax.atlas.run import PARTS

HERE = pathlib.Path(__file__).parent
BEGIN, END = "<!-- generated -->\n", "<!-- end of what is generated -->"


def ship(run: pathlib.Path) -> None:
    """The whole problems of a run become data that ship."""
    folder = HERE.parents[1] / "lropt_jax" / "atlas" / DATA
    folder.mkdir(exist_ok=True)
    held = json.loads((run / "design.json").read_text(encoding="utf-8"))
    before = json.loads((folder / ABOUT).read_text("utf-8")) if (folder / ABOUT).exists() else {}
    made = before.get("made by") or {p.stem: before["versions"] for p in folder.glob("*.parquet")}
    for problem in sorted((run / PARTS).iterdir()):
        parts = [problem / f"{name}.parquet" for name in ENTRIES]
        if all(part.exists() for part in parts):
            path = folder / f"{problem.name}.parquet"
            path.write_bytes(as_parquet(small(combined(parts))))
            made[problem.name] = held["versions"]
            print(f"{path.name}: {path.stat().st_size:,} bytes")
    about = {
        "atlas": VERSION,
        "spaces frozen": FROZEN,
        "versions": versions(made),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, one device a training",
        "made by": dict(sorted(made.items())),
    }
    (folder / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def versions(made: dict[str, str]) -> str:
    """What the data were made by, in words: which problems by which versions, where they differ."""
    found: dict[str, list[str]] = {}
    for problem, words in sorted(made.items()):
        found.setdefault(words, []).append(problem)
    if len(found) == 1:
        return next(iter(found))
    return "; ".join(f"{', '.join(names)} by {words}" for words, names in found.items())


def table(found: dict) -> str:
    """What the page says, in short."""
    there, planned = len(found["problems"]), len(MICROSECONDS)
    share = f"{there}" if there == planned else f"so far {there} of {planned}"
    lines = [
        found["opening"],
        "",
        f"{found['trainings']:,} trainings on {share} problems (`{found['data']}`). "
        f"{found['order']}",
        "",
        "| problem | tuned on 64: nobody is better than | by defaults |",
        "|---|---|---|",
    ]
    for problem in found["problems"]:
        tied = [", ".join(problem["budgets"][b]["tied"]) for b in ("all", "defaults")]
        lines.append(f"| {problem['name']} | {tied[0]} | {tied[1]} |")
    lines += ["", "| short cut | its winner is not best | pairs reversed |", "|---|---|---|"]
    for row in found["reversals"]:
        shares = [f"{100 * row[k]:.0f}%" for k in ("winner is not best", "pairs reversed")]
        lines.append(f"| {row['short cut']} | {' | '.join(shares)} |")
    lines += ["", "![The rank of each optimizer](ranks.png)"]
    return "\n".join(lines) + "\n\n"


def figure(found: dict, path: pathlib.Path) -> None:
    """Each optimizer's mean rank with its interval, and its rank on each problem behind it."""
    from matplotlib.figure import Figure

    optimizers = sorted(found["optimizers"], key=lambda o: -o["rank"][0])
    made = Figure(figsize=(7.0, 0.24 * len(optimizers) + 0.9), layout="constrained", dpi=150)
    axes = made.add_subplot()
    for place, optimizer in enumerate(optimizers):
        value, low, high = optimizer["rank"]
        for problem in found["problems"]:
            rows = problem["budgets"]["all"]["rows"]
            mine = rows[optimizer["name"]]["loss"][0]
            rank = 1 + sum(row["loss"][0] < mine for row in rows.values())
            axes.plot(rank, place, "o", ms=4, color="#b9c4ce", zorder=1)
        axes.plot([low, high], [place, place], color="#0072b2", lw=2.5, zorder=2)
        axes.plot(value, place, "o", color="#0072b2", ms=6, zorder=3)
    axes.set_yticks(range(len(optimizers)), [o["name"] for o in optimizers])
    count = len(found["problems"])
    axes.set_xlabel(f"rank on {count} problems (grey), their mean and its 95% interval")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.02)
    made.savefig(path, metadata={"Software": None})


if __name__ == "__main__":
    if len(sys.argv) > 1:
        ship(pathlib.Path(sys.argv[1]))
    frame = load_atlas()
    found = page_data(frame)
    write_page(found, HERE / "atlas.html")
    figure(found, HERE / "ranks.png")
    index = HERE / "index.md"
    text = index.read_text(encoding="utf-8")
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    index.write_text(head + table(found) + tail, encoding="utf-8")
