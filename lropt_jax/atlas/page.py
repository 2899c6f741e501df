"""The page: everything that the rows say, in one file that needs nothing else."""

from __future__ import annotations

import importlib.resources
import json
import math
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from lropt_jax.atlas import basins, scores
from lropt_jax.atlas.design import VERSION, metric_of
from lropt_jax.atlas.entries import ENTRIES, FROZEN, Entry
from lropt_jax.atlas.losses import Results
from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.pages.rendering import render
from lropt_jax.pages.tables import Table
from lropt_jax.problems.catalogue import PROBLEMS
from lropt_jax.sweeps.results.statistics import mean_interval
from lropt_jax.validation import require

BUDGETS = ("defaults", "few", "all")  # of tuning, as the rows call them
SHOWN = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)  # the numbers of configurations that are drawn


def write_page(found: Mapping[str, Any], path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes the page: the same rows give the same one.

    Args:
      found: as `page_data` gives it.
      path: of the HTML file.

    Returns:
      The path.
    """
    data = json.dumps(found, separators=(",", ":"), sort_keys=True).replace("</", "<\\/")
    page = render(
        "lropt_jax.atlas",
        "page.html",
        found=found,
        data=data,
        own_css=_text("page.css"),
        own_script=_text("page.js"),
        setting={
            "version": found["version"],
            "problems": str(len(found["problems"])),
            "optimizers": str(len(found["optimizers"])),
            "trainings": f"{found['trainings']:,}",
        },
        made="; ".join(filter(None, (
            f"Spaces frozen on {found['frozen']}", f"data {found['data']}", found["about"]
        ))) + ".",
        **_tables(found),
    )  # fmt: skip
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _text(name: str) -> str:
    return importlib.resources.files("lropt_jax.atlas").joinpath(name).read_text("utf-8")


def _tables(found: Mapping[str, Any]) -> dict[str, Table]:
    """What is said over all problems."""
    optimizers = sorted(found["optimizers"], key=lambda o: o["rank"][0])
    overall = [[o["name"], _interval(o["rank"]), _interval(o["score"])] for o in optimizers]
    shares = ("winner is not best", "pairs reversed")
    reversals = [
        [r["short cut"], *(f"{100 * r[share]:.0f}%" for share in shares)]
        for r in found["reversals"]
    ]
    told = [[p["name"], _two(p["told"])] for p in found["problems"]]
    return {
        "overall": Table(["optimizer", "mean rank", "profile score"], overall, sorted_by=1),
        "reversals": Table(["short cut", "its winner is not best", "pairs reversed"], reversals),
        "told": Table(["problem", "correlation with the others"], told),
    }


def _interval(ends: list[float | None]) -> str:
    value, low, high = map(_two, ends)
    return value if ends[0] is None else f"{value} [{low}, {high}]"


def _two(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def page_data(frame: Any, entries: Mapping[str, Entry] = ENTRIES) -> dict[str, Any]:
    """What the page shows, as plain values.

    Args:
      frame: as `load_atlas` gives it.
      entries: the optimizers that lines to paste are made for.
    """
    require("the Atlas's page", "atlas", "pandas", "scipy", "jinja2")
    results = Results(frame)
    losses, names = results.tested("all"), results.optimizers
    placed = scores.over_problems_and_seeds(scores.mean_ranks, losses)
    times = results.times()
    profile = scores.over_problems_and_seeds(scores.scores_of, times)
    told = scores.told_by_the_others(losses) if len(losses) > 1 else np.full(len(losses), np.nan)
    found = {
        "version": VERSION,
        "frozen": FROZEN,
        "data": frame.attrs.get("data", ""),
        "about": ", ".join(
            str(frame.attrs[k]) for k in ("versions", "machine") if k in frame.attrs
        ),
        "trainings": len(frame),
        "opening": scores.opening(losses),
        "order": scores.order_words(names, placed),
        "optimizers": [
            {
                "name": name,
                "rank": [placed.value[i], placed.low[i], placed.high[i]],
                "score": [profile.value[i], profile.low[i], profile.high[i]],
            }
            for i, name in enumerate(names)
        ],
        "reversals": basins.reversals(results),
        "problems": [
            {"name": problem, "told": told[i], **_problem(results, i, losses, times, entries)}
            for i, problem in enumerate(results.problems)
        ],
    }
    plain: dict[str, Any] = _plain(found)
    return plain


def _problem(
    results: Results, number: int, losses: Any, times: Any, entries: Mapping[str, Entry]
) -> dict[str, Any]:
    problem = results.problems[number]
    curves = {o: results.tuning_curve(problem, o) for o in results.optimizers}
    shown = [n for n in SHOWN if n <= min(len(c[0]) for c in curves.values())]
    return {
        "what": _what(problem),
        "accuracy": metric_of(problem)[1] == "max",
        "before": results.before(problem),
        "target": results.target(problem),
        "budgets": {b: _budget(results, number, b, entries) for b in BUDGETS},
        "steps": dict(zip(results.optimizers, np.median(times[number], axis=1), strict=True)),
        "counts": shown,
        "tuning": {o: [[c[n - 1] for n in shown] for c in curves[o]] for o in curves},
        "basins": {o: basins.basin(results, problem, o) for o in results.optimizers},
        "schedules": {o: basins.by_schedule(results, problem, o) for o in results.optimizers},
    }


def _what(problem: str) -> str:
    """A line of what it is."""
    line = (PROBLEMS[problem].__doc__ or "").splitlines()[0]
    return line.partition("; by ")[0].rstrip(".").replace("$", "")


def _budget(
    results: Results, number: int, budget: str, entries: Mapping[str, Entry]
) -> dict[str, Any]:
    problem, names = results.problems[number], results.optimizers
    losses = results.tested(budget)[number]
    order = scores.better(losses)
    low, high = scores.rank_intervals(order)
    rows = {}
    for i, name in enumerate(names):
        mean, half = mean_interval(losses[i])
        rows[name] = {
            "loss": [mean, half],
            "rank": [low[i], high[i]],
            "code": _code(results.chosen(problem, name, budget), entries.get(name)),
        }
    return {"tied": scores.tied(order, names), "rows": rows}


def _code(rows: Any, entry: Entry | None) -> str:
    """The line to paste of a chosen configuration; what it is in words for one not known here."""
    if not len(rows):
        return ""
    row = rows.iloc[0]
    if entry is None:
        return f"{row.optimizer}: {row.schedule}, learning_rate={row.learning_rate:.4g}"
    names = [n for n in entry.space if n != "family"]
    configuration = {n: float(row[n]) for n in names}
    configuration["family"] = float(SCHEDULE_FAMILIES.index(row.schedule))
    return entry.code(configuration, int(row.updates))


def _plain(value: Any) -> Any:
    """What JSON knows: five figures, and nothing where there is no finite number."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(v) for v in value]
    if isinstance(value, (bool, str, int)):
        return value
    if isinstance(value, np.integer):
        return int(value)
    number = float(value)
    return float(f"{number:.5g}") if math.isfinite(number) else None
