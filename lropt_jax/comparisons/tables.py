"""The one writer of tables: the same cells for the terminal and for the report."""

from __future__ import annotations

import dataclasses
import math

from lropt_jax.comparisons.protocol import Comparison
from lropt_jax.sweeps.results.statistics import PairedTest

HEADINGS = {
    "train_loss": "train loss",
    "test_loss": "test loss",
    "train_accuracy": "train acc. %",
    "test_accuracy": "test acc. %",
    "generalization_gap": "gap (points)",
}


@dataclasses.dataclass(frozen=True)
class Table:
    """Headings and rows of words; `best` is the row that leads in the deciding column."""

    headings: list[str]
    rows: list[list[str]]
    best: int | None = None


def comparison_table(comparison: Comparison) -> Table:
    """One row an optimizer: each metric's mean ± 95% interval over seeds, the tuned values."""
    frame = comparison.table()
    chosen = list(dict.fromkeys(k for c in comparison.contestants.values() for k in c.chosen))
    rows = []
    for name, contestant in comparison.contestants.items():
        row = frame.loc[name]
        cells = [mean_and_interval(m, row[m], row[f"{m}_interval"]) for m in comparison.metrics]
        values = [number(contestant.chosen.get(k)) for k in chosen]
        edge = " (edge)" if contestant.at_edge else ""
        seeds = contestant.retraining.status.size
        finished = int(row["finished"])
        note = "" if finished == seeds else f" ({seeds - finished} of {seeds} diverged)"
        rows.append([name + note, *cells, *[v + edge for v in values]])
    decisive = frame[comparison.decisive]
    best = decisive.idxmax() if "accuracy" in comparison.decisive else decisive.idxmin()
    headings = ["optimizer", *[HEADINGS.get(m, m) for m in comparison.metrics]]
    place = None if decisive.isna().all() else list(comparison.contestants).index(best)
    return Table(headings + [k.replace("_", " ") for k in chosen], rows, place)


def paired_table(comparison: Comparison) -> Table:
    """All paired differences in the deciding metric, the surest first."""
    tests = sorted(comparison.tests(), key=lambda t: (math.isnan(t.p_value), t.p_value))
    rows = [
        [
            f"{t.first} − {t.second}",
            mean_and_interval(comparison.decisive, t.difference, t.half_width),
            _p(t.p_value),
            "yes" if t.significant else "no",
        ]
        for t in tests
    ]
    unit = "points" if "accuracy" in comparison.decisive else comparison.decisive
    return Table(["difference", unit, "p (Holm)", "significant"], rows)


def verdict(comparison: Comparison) -> str:
    """What the paired tests say, in a few sentences."""
    tests = comparison.tests()
    metric = comparison.decisive
    points = "accuracy" in metric
    table = comparison.table()[metric].dropna()
    if table.empty:
        return "No optimizer finished on any seed: nothing can be compared."
    best = str(table.idxmax() if points else table.idxmin())
    certain, open_ = [], []
    for name in comparison.contestants:
        if name == best:
            continue
        test = next((t for t in tests if {t.first, t.second} == {best, name}), None)
        if test is not None and test.significant:
            certain.append(f"{name} ({_difference(test, points)})")
        else:
            open_.append(name)
    words = metric.replace("_", " ")
    pairs = "paired over seeds"
    if len(tests) > 1:
        pairs += f", corrected for {len(tests)} comparisons"
    said = f"{best} has the best {words}."
    if certain:
        said += f" It is significantly better than {_listed(certain)} ({pairs})."
    if open_:
        said += (
            f" No significant difference between it and {_listed(open_)}"
            f"{'' if certain else f' ({pairs})'}."
        )
    return said + _gap_sentence(comparison, tests, points, best)


def _gap_sentence(comparison: Comparison, tests: list[PairedTest], points: bool, best: str) -> str:
    """The question that the comparison is known for: SGD with momentum against Adam."""
    pair = {"momentum", "adam"}
    if not points or not pair <= set(comparison.contestants) or best in pair:
        return ""
    test = next(t for t in tests if {t.first, t.second} == pair)
    how = "significant" if test.significant else "not significant"
    return (
        f" {test.first} is {100 * test.difference:.1f} ± {100 * test.half_width:.1f} points "
        f"above {test.second} ({how}, p = {_p(test.p_value)})."
    )


def mean_and_interval(metric: str, mean: float, half_width: float) -> str:
    """`mean ± half-width`, accuracies in percent, losses to three digits."""
    if math.isnan(mean):
        return "–"
    if "accuracy" in metric or metric == "generalization_gap":
        mean, half_width = 100 * mean, 100 * half_width
        return f"{mean:.2f}" if math.isnan(half_width) else f"{mean:.2f} ± {half_width:.2f}"
    return f"{mean:.3g}" if math.isnan(half_width) else f"{mean:.3g} ± {half_width:.1g}"


def number(value: object) -> str:
    """A tuned value in a few digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return "" if value is None else str(getattr(value, "__name__", value))


def _difference(test: PairedTest, points: bool) -> str:
    if points:
        return f"by {100 * test.difference:.1f} ± {100 * test.half_width:.1f} points"
    return f"by {test.difference:.3g} ± {test.half_width:.1g}"


def _p(p_value: float) -> str:
    if math.isnan(p_value):
        return "–"
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.2g}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
