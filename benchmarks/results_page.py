"""The page of all that the benchmarks measured: ratios first, then every run as it printed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

TIE = 1.05  # a ratio below it is called equal: runs of one pair differ by as much
HEAD = """# Results

Written by `python benchmarks/run_all.py` from `benchmarks/results/`; do not edit. A ratio is the
peer's time over ours: above 1 we are faster. That of an update to Optax's is the median of the
rounds' own ratios, which the quotient of the two medians beside it need not be. How each thing is
measured stands in [README.md](README.md), with figures of earlier dates and machines and with what
was tried.
"""


class Ratio(NamedTuple):
    """One comparison of one run."""

    what: str
    ours: str
    peer: str
    ratio: float


def write(page: Path, folder: Path, commands: Mapping[str, str]) -> None:
    """Writes the page.

    Args:
      page: the file.
      folder: with a JSON file for each benchmark that was measured.
      commands: how to measure each, by name.
    """
    kept = {
        name: json.loads((folder / f"{name}.json").read_text())
        for name in commands
        if (folder / f"{name}.json").exists()
    }
    compared = [(run, r) for name, runs in kept.items() for run in runs for r in _ratios(name, run)]
    lost = [(run, r) for run, r in compared if r.ratio < 1 / TIE]
    parts = [HEAD, "## Ratios\n", _table(compared)]
    parts += ["\n## Where we lose\n", _table(lost) if lost else "Nowhere in these runs."]
    missing = [name for name in commands if name not in kept]
    if missing:
        parts += ["\n## Not measured\n", "| benchmark | command |", "| --- | --- |"]
        parts += [f"| {name} | `{commands[name]}` |" for name in missing]
    parts.append("\n## Runs")
    for name, runs in kept.items():
        for run in runs:
            versions = ", ".join(f"{k} {v}" for k, v in run["versions"].items())
            parts += [f"\n### {name}, {run['date']}\n", f"`{run['command']}`\n"]
            parts += [f"{run['machine']}; {versions}; load {run['load']}.\n"]
            parts += ["```text", run["printed"], "```"]
    page.write_text("\n".join(parts) + "\n")


def _table(rows: list[tuple[dict[str, Any], Ratio]]) -> str:
    lines = [
        "| what | ours | peer | ratio | date | load |",
        "| --- | --- | --- | ---: | --- | ---: |",
    ]
    lines += [
        f"| {r.what} | {r.ours} | {r.peer} | {r.ratio:.2f} | {run['date']} | {run['load']:.1f} |"
        for run, r in rows
    ]
    return "\n".join(lines)


def _ratios(name: str, run: Mapping[str, Any]) -> Iterator[Ratio]:
    figures = run["figures"]
    if name.startswith("population-") and name != "population-scaling":
        for setting, found in figures["results"].items():
            yield from _population(f"a model-step of {setting}", found)
    elif name == "gpu":
        about = figures["about"]
        for setting, found in figures["results"]["population"].items():
            yield from _population(f"{about['device']}: a model-step of {setting}", found)
        yield from _updates(figures["results"]["updates"], f"{about['device']}: ")
    elif name.startswith("convolutions-"):
        for model, cost in figures.items():
            peers = {"loop": cost["loop"][0], "PyTorch": _least(cost, "PyTorch")}
            for ours in ("fit", "sweep, vmap", "sweep, map"):
                shown = f"{ours}: {cost[ours][0]:.2f} ms"
                for peer, clock in peers.items():
                    if clock is not None:
                        what = f"a model-step of {model}"
                        yield Ratio(what, shown, f"{peer}: {clock:.2f} ms", clock / cost[ours][0])
    elif name.startswith("optimizers-"):
        yield from _updates(figures)
    elif name.startswith("strategies-"):
        for row in figures:
            auto, best = row["seconds"]["auto"], row["seconds"][row["best"]]
            what = f"a sweep of {row['net']}, {row['lanes']} lanes, {row['updates']:,} updates"
            peer = f"fastest fixed one, {row['best']}: {best:.2f} s"
            yield Ratio(what, f"auto: {auto:.2f} s", peer, best / auto)
    elif name == "host_data":
        host, device = (figures["times"]["ms a step"][k] for k in ("host", "device"))
        peer = f"data on the device: {device:.2f} ms"
        yield Ratio("a step on a file", f"data on the host: {host:.2f} ms", peer, device / host)
    elif name == "range_test":
        ours, theirs = figures["lropt_jax"], max(v for k, v in figures.items() if "torch" in k)
        peer = f"torch-lr-finder: {1000 / theirs:.2f} ms"
        yield Ratio("a curve of a range test", f"{1000 / ours:.2f} ms", peer, ours / theirs)


def _population(what: str, found: Mapping[str, Any]) -> Iterator[Ratio]:
    cost = found["microseconds"]
    ours = cost["sweep"][0]
    shown = f"sweep, {found['lanes']} lanes, {found['strategy']}: {ours:.1f} µs"
    peers = {p: cost[p][0] for p in ("python loop", "vmap by hand")}
    peers["PyTorch"] = _least(cost, "PyTorch")
    for peer, clock in peers.items():
        if clock is not None:
            yield Ratio(what, shown, f"{peer}: {clock:.1f} µs", clock / ours)


def _updates(rows: Any, where: str = "") -> Iterator[Ratio]:
    for row in rows:
        what = f"{where}an update of {row['optimizer']}, {row['model']}"
        shown = f"{row['ours_ms']:.3f} ms"
        yield Ratio(what, shown, f"Optax: {row['optax_ms']:.3f} ms", 1 / row["ratio"])
        cpu = row.get("cpu_ms", {})
        if "torch 1" in cpu:
            shown_cpu, theirs = f"{cpu['ours']:.3f} CPU ms", cpu["torch 1"]
            peer = f"PyTorch, fused, one thread: {theirs:.3f} CPU ms"
            yield Ratio(what, shown_cpu, peer, theirs / cpu["ours"])
        if row["torch_ms"] is not None:
            peer = f"PyTorch, fused: {row['torch_ms']:.3f} ms"
            yield Ratio(what, shown, peer, row["torch_ms"] / row["ours_ms"])


def _least(cost: Mapping[str, Any], start: str) -> float | None:
    """The better of one and several threads."""
    return min((v[0] for k, v in cost.items() if k.startswith(start)), default=None)
