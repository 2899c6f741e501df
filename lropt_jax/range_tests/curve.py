"""`RangeTest`: the curves of a population, and what the rules say of them, with intervals."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np

from lropt_jax.progress import several, shown
from lropt_jax.range_tests import divergence, smoothing
from lropt_jax.range_tests.reading import Suggestion, pool, read
from lropt_jax.range_tests.rules import BOUNDS, RULES
from lropt_jax.range_tests.summary import named, summary
from lropt_jax.sweeps.planning.values import plain_or_named
from lropt_jax.validation import require

Array = np.ndarray[Any, Any]

RECOMMENDED = "knee"  # by docs/range_test.md
SHOWN = 4  # configurations, in a repr


@shown
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RangeTest:
    r"""The result of `lr_range_test`; plain NumPy, computed from `losses` when asked.

    With `over` the arrays begin with its axes, in its order; `...` below. What the rules say
    comes from the *pooled* curve: at each rung the median over seeds of the loss, a diverged seed
    counting as infinite, so that the curve ends where half of the seeds have diverged; smoothed
    like the seeds' own. The interval is the 2.5% to 97.5% range of the rule's answers on 200
    resamples of the seeds (bootstrap), each pooled anew.

    `.suggestion` is the rate to begin with and `.suggestions` that of each rule with its
    interval, None where the curve supports none; `.bounds` are for `cyclic` and `one_cycle`;
    `.plot()` shows it.

    Attributes:
      learning_rates: the ladder, (steps,).
      losses: as recorded, (..., seeds, steps): at rung i the batch loss before the update with
        `learning_rates[i]`, or, for `split="valid"`, the validation loss after it.
      over: the values of each population axis, by name.
      seeds: the seeds.
      split: "train" or "valid", what the losses are of.
      smoothing: the deviation of the smoothing kernel as a share of the ladder.
      divergence: k of the divergence test, see `diverged_at`.

    See also:
      `lr_range_test`, `Suggestion`.

    Example:
      >>> from lropt_jax import cyclic, lr_range_test, problem, sgd
      >>> test = lr_range_test(problem("digits_linear"), sgd, start=1e-4, momentum=0.9)
      >>> 0.01 < test.suggestion < 10
      True
      >>> base, peak = test.bounds
      >>> tx = sgd(cyclic(base, peak, steps_up=100), momentum=0.9)
    """

    learning_rates: Array
    losses: Array
    over: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    seeds: list[int] = dataclasses.field(default_factory=list)
    split: str = "train"
    smoothing: float = 0.03
    divergence: float = 4.0

    @functools.cached_property
    def diverged_at(self) -> Array:
        """The rung from which a lane no longer counts, (..., seeds); -1 where all count.

        That is the first non-finite loss, or the first from which on the running median of five
        stays above its minimum b by more than (k - 1) |b|, than the noise between batches
        explains, and than a quarter of what was gained.
        """
        return divergence.diverged_at(self.losses, self.divergence)

    @functools.cached_property
    def smoothed(self) -> Array:
        """The losses smoothed two-sidedly by local lines; NaN from `diverged_at` on."""
        return self._smooth(self.losses, self._counted)[0]

    @functools.cached_property
    def median(self) -> Array:
        """The pooled curve that the suggestions are read off, (..., steps)."""
        pooled = pool(self.losses, self._counted)
        return self._smooth(pooled, np.isfinite(pooled))[0]

    @property
    def suggestions(self) -> dict[str, Suggestion | None]:
        """By rule: a learning rate with its interval, or None, for which `reasons` has the cause.

        The rules are "steepest", "valley", "minimum", "slide" and "knee"; docs/range_test.md has
        their definitions and how they fared.
        """
        return {rule: _gathered(self._answers[rule]) for rule in RULES}

    @property
    def reasons(self) -> dict[str, Any]:
        """By rule, and for "bounds": why there is no suggestion, None where there is one.

        Of a population each is an object array with its axes.
        """
        found = {**{rule: self._answers[rule] for rule in RULES}, "bounds": self._answers["base"]}
        return {
            name: _shaped([x.reason for x in answers.flat], answers.shape, object)
            for name, answers in found.items()
        }

    @property
    def suggestion(self) -> Any:
        """The learning rate of the rule that did best in our evaluation, or None.

        The evaluation is in docs/range_test.md. Of a population an array with its axes, NaN
        where there is none.
        """
        found = self.suggestions[RECOMMENDED]
        return None if found is None else found.value

    @property
    def bounds(self) -> tuple[Any, Any] | None:
        """`(base, peak)` for `cyclic` and `one_cycle`: where the descent begins and ends, or None.

        A tenth of the fall is done at the base, nine tenths at the peak, which is the "knee". Of
        a population each is an array with its axes.
        """
        low, high = (_gathered(self._answers[name]) for name in BOUNDS)
        return None if low is None or high is None else (low.value, high.value)

    @property
    def by_seed(self) -> dict[str, Array]:
        """By rule: what each seed alone would have said, (..., seeds), NaN for nothing."""
        shape = self.losses.shape[:-1]
        return {
            rule: np.stack([a.by_seed for a in self._answers[rule].flat]).reshape(shape)
            for rule in RULES
        }

    @property
    def configurations(self) -> list[dict[str, Any]]:
        """The population's values by name, the last name running fastest."""
        return [
            dict(zip(self.over, point, strict=True))
            for point in itertools.product(*self.over.values())
        ]

    def at(self, **values: Any) -> RangeTest:
        """The part of a population with these values.

        Args:
          **values: by the names of `over`, one of its values each; other axes stay.

        Raises:
          ValueError: for a name or a value that is not in `over`.
        """
        losses, over = self.losses, dict(self.over)
        for name, value in values.items():
            if name not in self.over:
                raise ValueError(f"unknown axis {name!r}; this test has {', '.join(self.over)}")
            if value not in self.over[name]:
                raise ValueError(f"{name} must be one of {self.over[name]}, got {value!r}")
            losses = np.take(losses, over[name].index(value), axis=list(over).index(name))
            del over[name]
        return dataclasses.replace(self, losses=losses, over=over)

    def parts(self) -> Iterator[tuple[dict[str, Any], RangeTest]]:
        """Each configuration with its own test, itself where there is no population."""
        for values in self.configurations:
            yield values, self.at(**values)

    def to_pandas(self) -> Any:
        """A tidy frame: the names of `over`, seed, step, learning_rate, loss, smoothed and
        counted (False from where the lane diverged).

        Raises:
          ImportError: without pandas; it names the extra that installs it.
        """
        require("a table", "report", "pandas")
        import pandas as pd

        *outer, seed, step = (i.ravel() for i in np.indices(self.losses.shape))
        columns: dict[str, Any] = {
            name: pd.Series([plain_or_named(v) for v in values]).to_numpy()[i]
            for (name, values), i in zip(self.over.items(), outer, strict=True)
        }
        columns |= {
            "seed": np.asarray(self.seeds)[seed],
            "step": step,
            "learning_rate": self.learning_rates[step],
            "loss": self.losses.ravel(),
            "smoothed": self.smoothed.ravel(),
            "counted": self._counted.ravel(),
        }
        return pd.DataFrame(columns)

    def plot(self) -> Any:
        """A matplotlib figure, a panel a configuration: all seeds faint, the pooled curve and the
        middle half of the seeds, the suggestions with their intervals, and where lanes diverged.

        Raises:
          ImportError: without matplotlib; it names the extra that installs it.
        """
        from lropt_jax.plotting.range_tests import Panel, range_test_figure

        panels = [
            Panel(
                named(values),
                part.learning_rates,
                part.smoothed,
                part.median,
                part.diverged_at,
                {rule: found and tuple(found) for rule, found in part.suggestions.items()},
                part.bounds,
            )
            for values, part in self.parts()
        ]
        what = {"train": "training loss of the batch", "valid": "validation loss"}
        return range_test_figure(panels, RECOMMENDED, what[self.split])

    def summary(self) -> str:
        """The suggestions, or the reasons for none, as text for a terminal."""
        return summary(self.parts(), RECOMMENDED)

    def __str__(self) -> str:
        return self.summary()

    def _about(self) -> tuple[str, dict[str, str]]:
        rates = self.learning_rates
        count = f"{several(len(self.configurations), 'configuration')} x " if self.over else ""
        title = (
            f"RangeTest of {count}{several(len(self.seeds), 'seed')}, "
            f"{several(len(rates), 'rung')} from {rates[0]:.2g} to {rates[-1]:.2g}"
        )
        rows: dict[str, str] = {}
        for values, part in itertools.islice(self.parts(), SHOWN):
            found = part.suggestions[RECOMMENDED]
            if found is None:
                what, words = "no suggestion", str(part.reasons[RECOMMENDED])
            else:
                what = "suggestion"
                words = f"{found.value:.2g} [{found.low:.2g}, {found.high:.2g}]"
            rows |= {named(values): f"{what} {words}"} if values else {what: words}
        if len(self.configurations) > SHOWN:
            rows["..."] = f"{len(self.configurations) - SHOWN} more"
        go_on = "print(test), .suggestions, .bounds, .plot(), .to_pandas()"
        return title, {**rows, "Go on with": go_on}

    @functools.cached_property
    def _counted(self) -> Array:
        return divergence.counted(self.losses, self.diverged_at)

    @property
    def _bandwidth(self) -> float:
        return max(1.0, self.smoothing * len(self.learning_rates)) if self.smoothing else 0.0

    def _smooth(self, losses: Array, mask: Array) -> tuple[Array, Array]:
        return smoothing.local_lines(losses, mask, self._bandwidth)

    @functools.cached_property
    def _answers(self) -> dict[str, Array]:
        """What each rule says of each configuration, object arrays with the population's axes."""
        shape = self.losses.shape[:-2]
        answers = {name: np.empty(shape, object) for name in (*RULES, *BOUNDS)}
        for place in np.ndindex(shape):
            losses, counted = self.losses[place], self._counted[place]
            reading = read(self.learning_rates, losses, counted, self._bandwidth, self.split)
            for name, rule in {**RULES, **BOUNDS}.items():
                answers[name][place] = reading.ask(rule)
        return answers


def _gathered(answers: Array) -> Suggestion | None:
    """A population's answers as one suggestion of arrays, None where none has any."""
    found = [a.suggestion for a in answers.flat]
    if all(x is None for x in found):
        return None
    parts = ([getattr(x, part, np.nan) for x in found] for part in Suggestion._fields)
    return Suggestion(*(_shaped(values, answers.shape, float) for values in parts))


def _shaped(values: list[Any], shape: tuple[int, ...], dtype: Any) -> Any:
    """Values as an array; the one value itself where there is no population."""
    if not shape:
        return values[0]
    array = np.empty(len(values), dtype)
    array[:] = values
    return array.reshape(shape)
