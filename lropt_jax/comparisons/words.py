"""What a comparison says of itself: how it was made, what to doubt, what to take."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optax

from lropt_jax.comparisons.outcome import Outcome
from lropt_jax.comparisons.tables import listed, mean_and_interval, no_order
from lropt_jax.optimizers import OPTIMIZERS
from lropt_jax.schedules import SCHEDULES, Schedule
from lropt_jax.tasks.metrics import is_share
from lropt_jax.validation import is_number

FEW_SEEDS = 5


def protocol_words(outcome: Outcome) -> str:
    """How it was made, in words that are true of this comparison."""
    p = outcome.protocol
    highest = {"max": "highest", "min": "lowest"}[p.mode]
    counts = {name: c.configurations for name, c in outcome.contestants.items()}
    if outcome.equal_budgets:
        tuned = f"Each optimizer was tuned on {next(iter(counts.values()))} configurations"
    else:
        listed = ", ".join(f"{name} {count}" for name, count in counts.items())
        tuned = f"The optimizers were tuned on different numbers of configurations ({listed})"
    said = (
        f"Every training takes {p.steps:,} updates. {tuned}, {p.tuning_seeds} seed(s) each; the "
        f"one with the {highest} mean {p.select.replace('_', ' ')} was selected. "
    )
    if any(c.widened or c.refined for c in outcome.contestants.values()):
        said += (
            "A choice on the edge of a grid widened the grid; the optimizers whose grid did not "
            "grow, or was smaller, tried as many more values between their best ones. "
        )
    said += (
        f"The chosen configuration was retrained on {p.seeds} fresh seeds, the same for every "
        "optimizer, and tested once; no tuning run has seen the test split. "
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
    smallest = outcome.smallest_difference
    amount = f"{100 * smallest:.2g} points" if is_share(outcome.decisive) else f"{smallest:.2g}"
    given = "as asked" if p.smallest_difference is not None else (
        "a quarter of the standard deviation between the best's seeds, at least one test example"
    )  # fmt: skip
    return said + (
        "differences are paired, p-values corrected by Holm's method. A difference below "
        f"{amount} is called a tie, however sure ({given})."
    )


def budget_lines(outcome: Outcome) -> list[str]:
    """What each optimizer's tuning took, a line each."""
    lines = []
    for name, c in outcome.contestants.items():
        line = f"{name}: {c.configurations} configurations tried"
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
    found = [
        f"{name}: {caution}"
        for name, contestant in outcome.contestants.items()
        for caution in contestant.cautions
    ]
    p = outcome.protocol
    if p.tuning_seeds == 1:
        found.append(
            "every choice rests on one tuning seed: another seed may choose another configuration"
        )
    if p.seeds < FEW_SEEDS:
        found.append(f"intervals rest on {p.seeds} seeds: they are wide, and not to be trusted far")
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
    found = []
    if quick:
        found.append(f"it was a quick run (trainings of only {p.steps:,} updates)")
    if p.tuning_seeds == 1:
        found.append("each configuration was tried on a single seed")
    if p.seeds < FEW_SEEDS:
        found.append(f"each choice was judged on only {p.seeds} fresh seeds")
    if not found:
        return ""
    return (
        f"This is a first look: {listed(found)}. A longer run on more seeds may well turn the "
        "order round; do not report it as a result."
    )


class Recommendation(str):
    """What to take, in words, and the line of code that makes it.

    Attributes:
      optimizer: its name in the comparison; None where nothing finished.
      code: the line to paste; empty where nothing finished.
    """

    optimizer: str | None
    code: str

    def __new__(cls, words: str, optimizer: str | None = None, code: str = "") -> Recommendation:
        made = super().__new__(cls, f"{words}\n\n    {code}" if code else words)
        made.optimizer, made.code = optimizer, code
        return made

    def __reduce__(self) -> Any:
        words = str(self).partition("\n\n    ")[0]
        return type(self), (words, self.optimizer, self.code)


def recommendation(outcome: Outcome) -> Recommendation:
    """The best optimizer, and which others are as good as far as can be told."""
    if not outcome.ranking:
        return Recommendation("No optimizer finished: there is nothing to recommend.")
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


def code_of(name: str, factory: Callable[..., Any], chosen: Mapping[str, Any]) -> str:
    """The line that makes an optimizer, as one would write it.

    Args:
      name: what the comparison calls it.
      factory: makes it; one with an attribute `code` says itself how: `code(chosen)`.
      chosen: its arguments.
    """
    if hasattr(factory, "code"):
        return str(factory.code(chosen))
    arguments = ", ".join(f"{k}={getattr(v, '__name__', repr(v))}" for k, v in chosen.items())
    return f"{name_of(name, factory)}({arguments})"


def name_of(name: str, factory: Callable[..., Any]) -> str:
    """What a factory is called where it can be imported; else by its name in the comparison."""
    for ours, constructor in OPTIMIZERS.items():
        if constructor is factory:
            return f"lropt_jax.{ours}"
    module = inspect.getmodule(factory)
    own = getattr(factory, "__qualname__", "")
    if module is None or module.__name__ == "__main__" or not own.isidentifier():
        return own if own.isidentifier() else f"optimizers[{name!r}][0]"
    package = module.__name__
    if package.startswith("optax."):  # where it is public
        package = "optax" if hasattr(optax, own) else "optax.contrib"
    return f"{package}.{own}"


def schedule_code(rate: Any) -> str:
    """What makes a schedule, as one would write it: without defaults, a constant as its number."""
    if not isinstance(rate, Schedule):
        return _number(rate)
    if rate.name == "constant":
        return schedule_code(rate.arguments["value"])
    parameters = inspect.signature(SCHEDULES[rate.name]).parameters
    words: list[str] = []
    for place, (name, parameter) in enumerate(parameters.items()):
        value = rate.arguments.get(name, parameter.default)
        if isinstance(value, Schedule) or parameter.default is parameter.empty:
            written = schedule_code(value)
            words.append(written if place == len(words) else f"{name}={written}")
        elif isinstance(value, (str, bool)) or value is None:
            if value != parameter.default:
                words.append(f"{name}={value!r}")
        elif parameter.default is None or float(value) != float(np.float32(parameter.default)):
            words.append(f"{name}={_number(value)}")
    return f"lropt_jax.{rate.name}({', '.join(words)})"


def value_code(value: Any) -> str:
    """What is pasted for a value: a number no longer than tells it apart, else its `repr`."""
    short = is_number(value) and np.ndim(value) == 0 and np.isfinite(value)
    return _number(value) if short else repr(value)


def _number(value: Any) -> str:
    """A number as short as tells it apart at its own precision."""
    array = np.asarray(value)
    if array.dtype.kind in "iu" or float(array) == int(array):
        return str(int(array))
    return str(array if array.dtype == np.float32 else np.float32(array))
