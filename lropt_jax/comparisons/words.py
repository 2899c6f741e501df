"""What a comparison says of itself: how it was made, what to doubt, what to take."""

from __future__ import annotations

from lropt_jax.comparisons.outcome import Outcome
from lropt_jax.comparisons.tables import amount, by_rank, no_order
from lropt_jax.pages.words import FEW_SEEDS, Recommendation, first_look, listed, mean_and_interval
from lropt_jax.progress import several
from lropt_jax.tasks.metrics import is_share


def protocol_words(outcome: Outcome) -> str:
    """How it was made, in words that are true of this comparison."""
    p = outcome.protocol
    highest = {"max": "highest", "min": "lowest"}[p.mode]
    counts = {name: c.configurations for name, c in outcome.contestants.items()}
    if outcome.equal_budgets:
        tuned = (
            f"Each optimizer was tuned on {several(next(iter(counts.values())), 'configuration')}"
        )
    else:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        tuned = f"The optimizers were tuned on different numbers of configurations ({listed})"
    said = (
        f"Every training takes {several(p.steps, 'update')}. {tuned}, "
        f"{several(p.tuning_seeds, 'seed')} each; the one with the {highest} mean "
        f"{p.select.replace('_', ' ')} was selected. "
    )
    if any(c.widened or c.refined for c in outcome.contestants.values()):
        said += (
            "A choice on the edge of a grid widened the grid; the optimizers whose grid did not "
            "grow, or was smaller, tried as many more values between their best ones. "
        )
    if not outcome.ranking:
        return f"{said}None came to its end with a finite value, so that nothing could be selected."
    said += (
        f"The chosen configuration was retrained on {several(p.seeds, 'fresh seed')}, the same "
        "for every optimizer, and tested once; no tuning run has seen the test split. "
    )
    if outcome.repeats:
        said += (
            f"All of this was repeated on {p.splits} splits of the data. Intervals are 95% "
            "Student-t over the splits' means, widened for their overlap (Nadeau and Bengio 2003); "
        )
    else:
        said += (
            "Intervals are 95% Student-t over seeds on one split of the data: they do not say how "
            "another split would come out. The standard error beside is that of the "
            f"{p.examples['test']:,} test examples; "
        )
    smallest = amount(outcome.smallest_difference, outcome.decisive)
    given = "as asked" if p.smallest_difference is not None else (
        "a quarter of the standard deviation between the best's seeds, at least one test example"
    )  # fmt: skip
    return said + (
        "differences are paired, p-values corrected by Holm's method. A difference below "
        f"{smallest} is called a tie, however sure ({given})."
    )


def budget_lines(outcome: Outcome) -> list[str]:
    """What each optimizer's tuning took, a line each."""
    lines = []
    for name, c in outcome.contestants.items():
        line = f"{name}: {several(c.configurations, 'configuration')} tried"
        if c.widened:
            line += (
                f", {c.widened} of them beyond the first grid, which the choice lay on an edge of"
            )
        if c.refined:
            line += f", {c.refined} of them to equal the others' number"
        diverged = int((c.tuning.status == "diverged").any(axis=1).sum())
        if diverged:
            line += f"; {diverged} diverged on some seed"
        lines.append(f"{line}; {c.failure}" if c.failure else line)
    return lines


def warnings(outcome: Outcome) -> list[str]:
    """What to doubt, a line each; none where all is well."""
    p, found = outcome.protocol, []
    if p.tuning_seeds == 1:
        found.append(
            "every choice rests on one tuning seed: another seed may choose another configuration"
        )
    if p.seeds < FEW_SEEDS:
        found.append(
            f"intervals rest on {several(p.seeds, 'seed')}: they are wide, and not to be "
            "trusted far"
        )
    return [*found, *doubts(outcome)]


def doubts(outcome: Outcome) -> list[str]:
    """The warnings beside those of a first look, which `weakness` tells; of the best first."""
    found = [
        f"{name}: {caution}"
        for name in by_rank(outcome)
        for caution in outcome.contestants[name].cautions
    ]
    if not outcome.equal_budgets:
        found.append("the optimizers were not tuned on the same number of configurations")
    return found


def weakness(outcome: Outcome, quick: bool = False) -> str:
    """Why it is a first look and no result, in plain words; empty for one that is more.

    Args:
      outcome: the comparison.
      quick: whether it was asked to be short.
    """
    p = outcome.protocol
    found: list[str] = []
    if not outcome.ranking:
        return ""
    if quick:
        found.append(f"it was a quick run (trainings of only {several(p.steps, 'update')})")
    if p.tuning_seeds == 1:
        found.append("each configuration was tried on a single seed")
    if p.seeds < FEW_SEEDS:
        found.append(f"each choice was judged on only {several(p.seeds, 'fresh seed')}")
    return first_look(found)


def recommendation(outcome: Outcome) -> Recommendation:
    """The best optimizer, and which others are as good as far as can be told."""
    if not outcome.ranking:
        return Recommendation(
            "No optimizer finished: there is nothing to recommend. Where smaller learning rates "
            "diverge too, look at the task: its loss or its data may not be finite."
        )
    best = outcome.ranking[0]
    metric = outcome.decisive
    unit = "%" if is_share(metric) else ""
    reached = mean_and_interval(metric, *outcome.interval(best, metric)) + unit
    words = metric.replace("_", " ")
    alike = no_order(outcome)
    if alike:
        said = (
            f"There is no order between {listed([best, *alike])}: their 95% intervals of {words} "
            "overlap, or they differ by less than matters. Take whichever is cheaper; "
            f"{best} has the best mean, {reached}."
        )
    else:
        rest = len(outcome.ranking) - 1
        said = f"Take {best}: its {words} is {reached}"
        said += ", better than every other's." if rest else "."
    return Recommendation(said, best, outcome.contestants[best].code)
