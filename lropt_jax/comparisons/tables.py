"""The one writer of tables: the same cells for the terminal and for the report."""

from __future__ import annotations

import math
from collections.abc import Mapping

from lropt_jax.comparisons.contestant import GAP
from lropt_jax.comparisons.outcome import Outcome
from lropt_jax.pages.tables import Against, Pair, Pairs, Table
from lropt_jax.pages.words import heading, listed, mean_and_interval, number, to_digits
from lropt_jax.sweeps.results.statistics import PairedTest
from lropt_jax.tasks.metrics import is_share


def comparison_table(outcome: Outcome) -> Table:
    """One row an optimizer, the best first: its rank ("=1" for all that cannot be told from the
    best), each metric's mean ± 95% interval over seeds, the tuned values."""
    contestants, order = outcome.contestants, by_rank(outcome)
    chosen = list(dict.fromkeys(k for c in contestants.values() for k in c.chosen))
    alike = no_order(outcome)
    rows = []
    for place, name in enumerate(order):
        contestant = contestants[name]
        cells = [
            mean_and_interval(_unit(outcome, m), *outcome.interval(name, m))
            for m in outcome.metrics
        ]
        edges = {c.name for c in contestant.cautions if c.kind == "edge"}
        values = [
            number(contestant.chosen.get(k, "")) + (" (edge)" if k in edges else "") for k in chosen
        ]
        first = name in alike or (alike and not place)
        rank = "=1" if first else str(place + 1) if name in outcome.ranking else "–"
        rows.append([name + _note(outcome, name), rank, *cells, *values])
    headings = ["optimizer", "rank", *[_heading(m, _unit(outcome, m)) for m in outcome.metrics]]
    headings += [k.replace("_", " ") for k in chosen]
    tied = tuple(order.index(name) for name in alike)
    return Table(headings, rows, 0 if outcome.ranking else None, tied, sorted_by=1)


def by_rank(outcome: Outcome) -> list[str]:
    """All optimizers, the best first, those that never finished last."""
    return list(dict.fromkeys([*outcome.ranking, *outcome.contestants]))


def no_order(outcome: Outcome) -> list[str]:
    """The optimizers that the best cannot be told from: they tie, or their intervals overlap."""
    if not outcome.ranking:
        return []
    best, *others = outcome.ranking
    tests = {frozenset((t.first, t.second)): t for t in outcome.tests()}

    def ends(name: str) -> tuple[float, float]:
        mean, half = outcome.interval(name, outcome.decisive)
        half = half if half == half else float("inf")  # one seed says nothing
        return mean - half, mean + half

    def overlap(name: str) -> bool:
        (low, high), (other_low, other_high) = ends(best), ends(name)
        return low <= other_high and other_low <= high

    return [name for name in others if tests[frozenset((best, name))].tie or overlap(name)]


def costs_table(outcome: Outcome, step_seconds: Mapping[str, float]) -> Table:
    """What each result cost, and how far it can be trusted: configurations tried, the test set's
    own standard error, how much the learning rate matters, updates, time and memory.

    Args:
      outcome: the comparison.
      step_seconds: of one update of one model, by optimizer; may lack some.
    """
    frame = outcome.table()
    unit = _unit(outcome, outcome.decisive)
    rows = []
    for name in by_rank(outcome):
        row = frame.loc[name]
        error = float(row[f"{outcome.decisive}_standard_error"])
        seconds = step_seconds.get(name, math.nan)
        rows.append(
            [
                name,
                str(outcome.contestants[name].configurations),
                "–" if math.isnan(error) else f"± {_plain(unit, error)}",
                _digits(row["lr_sensitivity"], 2),
                _figure(row["basin_decades"], "{:.1f}"),
                "never" if math.isinf(row["steps_to_target"]) else _figure(
                    row["steps_to_target"], "{:,.0f}"
                ),
                _digits(1e6 * seconds, 3),
                _figure(outcome.contestants[name].memory, "{:.1f}"),
            ]
        )  # fmt: skip
    words = outcome.protocol.select.replace("_", " ")
    target = mean_and_interval(outcome.protocol.select, outcome.target, math.nan)
    if is_share(outcome.protocol.select):
        target += "%"
    headings = [
        "optimizer",
        "configurations tried",
        f"standard error of the test set ({_unit_name(unit)})",
        "LR sensitivity",
        "basin (decades)",
        f"updates to {words} {target}",
        "µs a step",
        "state / parameters",
    ]
    return Table(headings, rows)


def pairs_of(outcome: Outcome) -> Pairs:
    """The paired differences, each optimizer against all that have a better mean."""
    tests = {frozenset((t.first, t.second)): t for t in outcome.tests()}
    names = [name for name in by_rank(outcome) if name in outcome.ranking]
    unit = _unit(outcome, outcome.decisive)
    rows = []
    for i, name in enumerate(names[1:], 1):
        found = []
        for other in names[:i]:
            test = tests[frozenset((name, other))]
            short = mean_and_interval(unit, test.difference, test.half_width)
            pair = f"{test.first} − {test.second}: {short} {_unit_name(unit)}"
            said = f"{pair}; p {_p_in_words(test.p_value)} (Holm)"
            if test.tie:
                found.append(Pair("", "tied", f"{said}; tied"))
            else:
                better = _better(outcome, test)
                side = "row" if better == name else "column"
                found.append(Pair(side, short, f"{said}; {better} is better"))
        rows.append(Against(name, found))
    return Pairs(names, rows)


def verdict(outcome: Outcome) -> str:
    """What the paired tests say, in a few sentences."""
    tests = outcome.tests()
    unit = _unit(outcome, outcome.decisive)
    failed = [name for name, c in outcome.contestants.items() if c.failure]
    if not outcome.ranking:
        whys: dict[str, list[str]] = {}
        for name in failed:
            whys.setdefault(outcome.contestants[name].failure, []).append(name)
        reasons = [f"{listed(names)}: {why}." for why, names in whys.items()]
        return " ".join(["No optimizer finished on any seed: nothing can be compared.", *reasons])
    best = outcome.ranking[0]
    if len(outcome.contestants) == 1:
        return f"{best} was tuned and tested alone: there is nothing to compare it with."
    alike = no_order(outcome)
    certain: list[str] = []
    overlapping: list[str] = []
    small: list[str] = []
    open_: list[str] = []
    for name in outcome.contestants:
        test = next((t for t in tests if {t.first, t.second} == {best, name}), None)
        if test is None or name in failed:
            continue
        if not test.significant:
            open_.append(name)
        elif test.tie:
            small.append(f"{name} ({_difference(test, unit)})")
        else:
            of = overlapping if name in alike else certain
            of.append(f"{name} ({_difference(test, unit)})")
    pairs = "paired over seeds" if not outcome.repeats else "paired over splits"
    if len(tests) > 1:
        pairs += f", corrected for {len(tests)} comparisons"
    said = f"{best} has the best {outcome.decisive.replace('_', ' ')}."
    if certain:
        said += f" It is significantly better than {listed(certain)} ({pairs})."
    if overlapping:
        how = "Seed by seed it is also better" if certain else "It is significantly better"
        said += (
            f" {how} than {listed(overlapping)}{'' if certain else f' ({pairs})'}, but their "
            "intervals overlap: no order is claimed."
        )
    if small:
        said += (
            f" The difference to {listed(small)} is significant, but smaller than "
            f"{amount(outcome.smallest_difference, unit)}, the smallest that matters: a tie."
        )
    if open_:
        said += (
            f" No significant difference between it and {listed(open_)}"
            f"{'' if certain or overlapping else f' ({pairs})'}."
        )
    said += _gap_sentence(outcome, tests, unit, best)
    for name in failed:
        said += f" {name} is out: {outcome.contestants[name].failure}."
    return said


def _gap_sentence(outcome: Outcome, tests: list[PairedTest], unit: str, best: str) -> str:
    """The question that the comparison is known for: SGD with momentum against Adam."""
    pair = {"momentum", "adam"}
    if not is_share(unit) or not pair <= set(outcome.ranking) or best in pair:
        return ""
    test = next(t for t in tests if {t.first, t.second} == pair)
    how = "significant" if test.significant else "not significant"
    return (
        f" {test.first} is {100 * test.difference:.1f} ± {100 * test.half_width:.1f} points "
        f"above {test.second} ({how}, p {_p_in_words(test.p_value)})."
    )


def _heading(metric: str, unit: str) -> str:
    """A metric as the head of a column."""
    if metric == GAP:
        return "gap (points)" if is_share(unit) else "gap"
    return heading(metric)


def _unit(outcome: Outcome, metric: str) -> str:
    """The metric in whose unit a metric is."""
    return outcome.gap_metric if metric == GAP else metric


def _unit_name(unit: str) -> str:
    return "points" if is_share(unit) else unit.replace("_", " ")


def _note(outcome: Outcome, name: str) -> str:
    contestant = outcome.contestants[name]
    if contestant.failure:
        return " (never finished)"
    seeds = contestant.retraining.status.size * (1 + len(outcome.repeats))
    lost = seeds - sum(o.contestants[name].finished for o in outcome.all)
    return f" ({lost} of {seeds} diverged)" if lost else ""


def _better(outcome: Outcome, test: PairedTest) -> str:
    return test.first if outcome.mode == "max" else test.second


def _difference(test: PairedTest, unit: str) -> str:
    if is_share(unit):
        return f"by {100 * test.difference:.1f} ± {100 * test.half_width:.1f} points"
    return f"by {mean_and_interval(unit, test.difference, test.half_width)}"


def amount(value: float, unit: str) -> str:
    """A difference in words, of shares in points."""
    return f"{to_digits(100 * value, 2)} points" if is_share(unit) else to_digits(value, 2)


def _plain(unit: str, value: float) -> str:
    return f"{100 * value:.2f}" if is_share(unit) else to_digits(value, 2)


def _figure(value: float, form: str) -> str:
    return "–" if math.isnan(value) else form.format(value)


def _digits(value: float, digits: int) -> str:
    return "–" if math.isnan(value) else to_digits(value, digits)


def _p_in_words(p_value: float) -> str:
    said = _p(p_value)
    return said if said.startswith("<") else f"= {said}"


def _p(p_value: float) -> str:
    if math.isnan(p_value):
        return "–"
    return "< 0.0001" if p_value < 1e-4 else f"{p_value:.2g}"
