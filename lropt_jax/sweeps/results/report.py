"""Writes a sweep as one page that needs no other file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from lropt_jax.pages.rendering import page_file, pictures, render
from lropt_jax.pages.surroundings import versions
from lropt_jax.pages.tables import Table
from lropt_jax.pages.words import heading, mean_and_interval, number, plain
from lropt_jax.sweeps.results import words
from lropt_jax.sweeps.results.statistics import mean_interval
from lropt_jax.validation import require

ROWS = 20  # of the table; the others are folded away


def write_report(
    result: Any, path: str | os.PathLike[str], metric: str | None, mode: str | None, title: str
) -> Path:
    """Writes the page. See `SweepResult.report`."""
    require("a report", "report", "matplotlib", "pandas", "scipy", "jinja2")
    metric, mode = result.metric_and_mode(metric, mode)
    table = ranked(result, metric, mode)
    found = words.recommendation(result, metric, mode)
    best = next(iter(result.ranking(metric, mode)), None)
    marks, tied = table.marks, tuple(t for t in table.tied if t < ROWS)
    file = page_file(path)
    html = render(
        "lropt_jax.sweeps.results",
        "report.html",
        title=title,
        setting=_setting(result, metric, mode),
        recommendation=str(found).partition("\n\n")[0],
        code=found.code,
        given=result.models is None,
        flattery=words.flattery(result, metric, mode),
        weak=words.weakness(result, metric, mode),
        warnings=[str(caution) for caution in result.cautions(metric, mode)],
        seeds=len(result.seeds),
        table=Table(table.headings, table.rows[:ROWS], table.best, tied, 1, marks),
        others=Table(table.headings, table.rows[ROWS:], None,
                     tuple(t - ROWS for t in table.tied if t >= ROWS), 1, marks),
        costs=words.costs(result, best),
        figures=pictures(lambda: _figures(result, metric, mode)),
        versions=versions(),
    )  # fmt: skip
    file.write_text(html, "utf-8")
    return file


def ranked(result: Any, metric: str, mode: str) -> Table:
    """One row a trial that finished, the best first: its rank ("=1" for all that cannot be told
    from the best), its configuration, each metric's mean ± 95% interval over the seeds."""
    names = list(dict.fromkeys(name for trial in result.trials for name in trial))
    metrics = list(dict.fromkeys([metric, *result.values]))
    alike, rows = words.alike(result, metric, mode), []
    order = result.ranking(metric, mode)
    for place, trial in enumerate(order):
        first = trial in alike or (alike and not place)
        values = [number(result.trials[trial].get(name, "")) for name in names]
        cells = [mean_and_interval(m, *mean_interval(result.last(m)[trial])) for m in metrics]
        rows.append([str(trial), "=1" if first else str(place + 1), *values, *cells])
    headings = ["trial", "rank", *map(plain, names), *map(heading, metrics)]
    tied = tuple(order.index(trial) for trial in alike)
    single = len(result.seeds) == 1
    marks = ("best of one seed" if single else "best", "best mean", "tied")
    return Table(headings, rows, 0 if rows else None, tied, 1, marks)


def _setting(result: Any, metric: str, mode: str) -> dict[str, str]:
    way = {"min": "lowest", "max": "highest"}[mode]
    return {
        "configurations": f"{len(result.trials):,}",
        "seeds": f"{len(result.seeds)}",
        "updates": f"{int(result.steps[-1]):,}",
        "ranked by": f"{way} {plain(metric)}",
    }


def _figures(result: Any, metric: str, mode: str) -> dict[str, tuple[Any, str]]:
    name, seeds = plain(metric), len(result.seeds)
    over = f"mean over {seeds} seeds" if seeds > 1 else "of the one seed"
    said = {
        "parallel": "A line a configuration, the stronger, the better its "
        f"{name} (the last axis); the best in orange.",
        "heatmap": f"The {name} ({over}) at each pair of values: bright is good.",
        "curves": f"The {name} during the training ({over}); the best configurations in colour, "
        "all others grey.",
        "budget": f"What {name} the best of n configurations comes to, as if they had come in no "
        "order; shaded, a simultaneous 95% band for the median best. Where it is flat, more "
        "configurations of this kind buy nothing.",
    }
    found = {}
    for key, figure in result.figures(metric, mode).items():
        kind, _, what = key.partition("-")
        found[key] = (figure, said.get(kind) or _of_sensitivity(result, what, metric, mode, over))
    return found


def _of_sensitivity(result: Any, name: str, metric: str, mode: str, over: str) -> str:
    """The caption of a metric against one hyperparameter."""
    found = result.sensitivity(name, metric, mode)
    interval = " with its 95% interval" if len(result.seeds) > 1 else ""
    words = [f"The {plain(metric)} ({over}{interval}) at each {plain(name)}"]
    if result.is_sampled(found):
        words[0] += ", a dot a configuration: its other numbers differ, too."
    else:
        words[0] += ", the others at their best for it."
    if found.basin is not None and found.basin[0] < found.basin[1]:
        words.append("Shaded: the values that come close to the best.")
    if found.diverged.any():
        words.append("Red ticks: some seed diverged.")
    return " ".join(words)
