"""Writes a comparison to a folder: report.html, figures as PNG, all rows as CSV."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping
from typing import Any

from lropt_jax.comparisons.outcome import Outcome
from lropt_jax.comparisons.tables import comparison_table, costs_table, pairs_of, verdict
from lropt_jax.comparisons.words import budget_lines, doubts, protocol_words, weakness
from lropt_jax.pages.rendering import pictures, render
from lropt_jax.pages.surroundings import versions
from lropt_jax.pages.words import plain
from lropt_jax.sweeps.results import frames
from lropt_jax.validation import require

NEEDED = ("matplotlib", "pandas", "scipy", "jinja2", "rich")


def require_report(what: str = "a report", extra: str = "report") -> None:
    """Finds out before the work whether a report can be made after it.

    A command needs models and data, too: it names the extra that brings all.

    Raises:
      ImportError: naming the missing package and the extra that installs it.
    """
    require(what, extra, *NEEDED)


def write_report(
    comparison: Any,
    folder: str | os.PathLike[str],
    title: str,
    setting: Mapping[str, Any],
    command: str | None = None,
    steps_per_epoch: int | None = None,
    quick: bool = False,
) -> pathlib.Path:
    """Writes `report.html`, the figures as PNG, and all rows as CSV.

    Args:
      comparison: what to report, a `Comparison`.
      folder: made if it does not exist; files of the same names are replaced.
      title: of the page.
      setting: what was trained, as words by heading (data, model, schedule, ...).
      command: the command that makes the same run again.
      steps_per_epoch: for axes in epochs instead of updates.
      quick: whether it was asked to be short, which the page says.

    Returns:
      The path of `report.html`.

    Raises:
      ImportError: naming the missing package and the extra that installs it.
    """
    require_report()
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    comparison.table().to_csv(folder / "table.csv")
    comparison.to_pandas().to_csv(folder / "rows.csv", index=False)
    finals_frame(comparison).to_csv(folder / "retrained.csv", index=False)
    page = render(
        "lropt_jax.comparisons",
        "report.html",
        title=title,
        setting=setting,
        table=comparison_table(comparison),
        costs=costs_table(comparison, comparison.step_seconds),
        pairs=pairs_of(comparison),
        verdict=verdict(comparison),
        recommendation=str(comparison.recommendation).partition("\n\n")[0],
        code=comparison.recommendation.code,
        weak=weakness(comparison, quick),
        warnings=doubts(comparison),
        protocol=protocol_words(comparison),
        budgets=budget_lines(comparison),
        figures=pictures(lambda: _figures(comparison, steps_per_epoch), folder),
        versions=versions(),
        command=command,
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def finals_frame(comparison: Outcome) -> Any:
    """Each retrained model's metrics over whole splits, a row a seed and split of the data."""
    import pandas as pd

    found = []
    for split, outcome in enumerate(comparison.all):
        for name, contestant in outcome.contestants.items():
            run = contestant.retraining
            if not contestant.chosen:
                continue
            columns = {metric: values[0] for metric, values in run.final.items()}
            frame = pd.DataFrame({"optimizer": name, "split": split, "seed": run.seeds, **columns})
            chosen = frames.beside(contestant.chosen, {"status", *frame})
            cells = {name: [value] * len(frame) for name, value in chosen.items()}
            found.append(frame.assign(status=run.status[0], **cells))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame()


def _figures(comparison: Any, steps_per_epoch: int | None) -> dict[str, tuple[Any, str]]:
    select = plain(comparison.protocol.select)
    drawn = {}
    if comparison.ranking:
        drawn["learning_curves"] = (
            comparison.plot_learning_curves(steps_per_epoch),
            "The retraining of the chosen configurations: mean and 95% interval of the mean over "
            "the fresh seeds. Training loss is the mean batch loss since the last evaluation.",
        )
    if any(contestant.tuned for contestant in comparison.contestants.values()):
        drawn["learning_rates"] = (
            comparison.plot_learning_rates(),
            f"The tuning runs: the {select} at each learning rate (mean and interval over the "
            "tuning seeds). Shaded: the basin of values that come close to the best. Dashed: the "
            "choice. Crosses: some seed diverged; a line that leaves the frame goes to far worse "
            "values. No tuning run has seen the test split.",
        )
    if comparison.ranking:
        drawn["generalization_gap"] = (
            comparison.plot_generalization_gap(),
            f"From test to training {plain(comparison.gap_metric)} of the retrained models.",
        )
    return drawn
