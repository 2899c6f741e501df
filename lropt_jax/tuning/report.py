"""Writes a tuning to a folder: report.html, figures as PNG, all rows as CSV."""

from __future__ import annotations

import math
import os
import pathlib
from typing import Any

import numpy as np

from lropt_jax.comparisons.report import require_report
from lropt_jax.optimizers import OPTIMIZERS
from lropt_jax.pages.rendering import pictures, render
from lropt_jax.pages.surroundings import versions
from lropt_jax.pages.tables import Table
from lropt_jax.pages.words import heading, listed, plain
from lropt_jax.sweeps.results.best_of_n import expected_best
from lropt_jax.tasks.metrics import bounds, is_share
from lropt_jax.tuning import words
from lropt_jax.tuning.contenders import BASELINE
from lropt_jax.validation import is_scalar

MARKS = ("recommended", "recommended", "within noise")
SHOWN = 12  # rows of the table; the others are folded away


def write_report(tuning: Any, folder: str | os.PathLike[str], title: str) -> pathlib.Path:
    """Writes `report.html`, the figures as PNG, and all rows as CSV.

    Args:
      tuning: what to report, a `Tuning`.
      folder: made if it does not exist; files of the same names are replaced.
      title: of the page.

    Returns:
      The path of `report.html`.

    Raises:
      ImportError: naming the missing package and the extra that installs it.
    """
    require_report()
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tuning.table().to_csv(folder / "table.csv", index=False)
    table = _tried_table(tuning)
    sentence = str(tuning.recommendation).partition("\n\n")[0]
    page = render(
        "lropt_jax.tuning",
        "report.html",
        title=title,
        setting=_setting(tuning),
        sentence=sentence,
        code=tuning.code,
        weak=words.weakness(tuning),
        warnings=words.doubts(tuning),
        finals=_finals_table(tuning),
        why=_why(tuning),
        worth=words.worth(tuning),
        figures=pictures(lambda: _figures(tuning), folder),
        tried=words.tried(tuning),
        best=Table(table.headings, table.rows[:SHOWN]),
        others=Table(table.headings, table.rows[SHOWN:]),
        untried=_untried(tuning),
        plan=tuning.plan,
        costs={
            "model-steps": f"{tuning.model_steps:,}",
            "time": f"{tuning.seconds:.0f} s",
            **versions(),
        },
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _setting(tuning: Any) -> str:
    sizes = ", ".join(f"{n:,} {s}" for s, n in tuning.board.setting.task.num_examples.items())
    way = {"min": "lower", "max": "higher"}[tuning.mode]
    return (
        f"{sizes} examples, batches of {tuning.board.setting.task.batch_size:,}; trainings of "
        f"{tuning.steps:,} updates; {plain(tuning.metric)} decides, {way} is better."
    )


def _figures(tuning: Any) -> dict[str, tuple[Any, str]]:
    from lropt_jax.plotting.comparisons import Panel, basins
    from lropt_jax.plotting.sweeps import budget_figure

    drawn: dict[str, tuple[Any, str]] = {}
    values = np.array([t.value for t in tuning.tried])
    metric = tuning.metric
    if np.isfinite(values).sum() > 1:
        curve = expected_best(values, mode=tuning.mode, bounds=bounds(metric, values))
        drawn["tuning_curve"] = (
            budget_figure({"": curve}, metric),
            "What the best of n of the configurations comes to, as if they had come in no order; "
            "shaded, a simultaneous 95% band for the median best. Where it is flat, more "
            "configurations of this kind buy nothing.",
        )
    panels = []
    for name, result in tuning.board.results.items():
        if not any(is_scalar(trial.get("learning_rate")) for trial in result.trials):
            continue
        found = result.sensitivity("learning_rate", metric, tuning.mode)
        if not np.isfinite(found.mean).any():
            continue
        best = next((t for t in tuning.board.ranked() if t.contender == name), None)
        rate = None if best is None or math.isnan(best.rate) else best.rate
        panels.append(
            Panel(
                name, "learning_rate", found.values, found.mean, found.half_width,
                found.diverged > 0, found.basin, rate,
            )
        )  # fmt: skip
    if panels:
        seen = np.concatenate([panel.mean for panel in panels])
        drawn["basins"] = (
            basins(panels, list(tuning.board.contenders), metric, bounds(metric, seen),
                   is_share(metric), tuning.mode),
            "What each peak learning rate came to, on one seed, whatever else was tried with it. "
            "Shaded: as good as the optimizer's best. Dashed: its best. Crosses: diverged; a line "
            "that leaves the frame goes to far worse values.",
        )  # fmt: skip
    for name, test in tuning.range_tests.items():
        drawn[f"range_test_{name}"] = (
            test.plot(),
            f"The range test of {name}: one short training in which the rate climbs.",
        )
    return drawn


def _finals_table(tuning: Any) -> Table:
    rows, steps = [], step_seconds_of(tuning.finalists)
    tested = any(f.test(tuning.metric) is not None for f in tuning.finalists)
    # The recommended one first, then those that cannot be told from it.
    finalists = sorted(
        tuning.finalists, key=lambda f: (f is not tuning.chosen, f not in tuning.alike)
    )
    for f in finalists:
        test = f.test(tuning.metric)
        shown = [f.values] if test is None else [f.values, test]
        cells = [words.mean(tuning.metric, values) for values in shown]
        rows.append([f.name, *cells, f"{np.isfinite(f.values).sum()} of {len(f.values)}",
                     f"{1e6 * steps[f.name]:,.3g}", f"{f.contender.memory:.1f}"])  # fmt: skip
    name = plain(tuning.metric)
    headings = ["configuration", name, *(["test " + name.removeprefix("valid ")] * tested),
                "finished", "µs a step", "state / parameters"]  # fmt: skip
    place = None if tuning.chosen is None else 0
    alike = tuple(i for i, f in enumerate(finalists) if f in tuning.alike)
    return Table(headings, rows, place, alike, marks=MARKS)


def step_seconds_of(finalists: Any) -> dict[str, float]:
    """The time of one update of one model of each, measured now; those of one optimizer were
    trained by one program."""
    results = {id(f.result): f for f in finalists}
    of = {key: f.result.models.costs([f.trial])[0][0] for key, f in results.items()}
    return {f.name: of[id(f.result)] for f in finalists}


def _tried_table(tuning: Any) -> Table:
    frame = tuning.table()
    frame = frame[frame["origin"] != BASELINE] if len(frame) else frame
    names = [n for n in frame if not n.startswith(("fresh_", "test_"))]
    metric, share = tuning.metric, is_share(tuning.metric)
    rows = [
        [_cell(100 * row[n] if share and n == metric else row[n]) for n in names]
        for _, row in frame.iterrows()
    ]
    return Table([heading(n) if n == metric else plain(n) for n in names], rows)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "–" if np.isnan(value) else f"{value:.4g}"
    return str(value)


def _why(tuning: Any) -> str:
    if tuning.chosen is None:
        return ""
    return (
        "Recommended is, of those within one standard error of the best mean, the one with the "
        "smallest state, then the one whose good rates span most decades."
    )


def _untried(tuning: Any) -> str:
    rest = sorted(set(OPTIMIZERS) - set(tuning.board.contenders))
    return (
        f"Other optimizers ({listed(rest)}), other batch sizes, clipping, averages of the weights, "
        f"trainings of another length than {tuning.steps:,} updates, other splits of the data. "
        "candidates= adds optimizers of your own."
    )
