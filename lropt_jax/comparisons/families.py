"""An optimizer with its whole schedule as data: its kind, its peak, its warm-up, in one program."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from lropt_jax import schedules
from lropt_jax.comparisons.recipes import Scheduled
from lropt_jax.schedules import Schedule, schedule
from lropt_jax.schedules.shapes import progress, remaining, since
from lropt_jax.validation import Finite, NonNegativeSteps, PositiveSteps, check_name

# A schedule's family, and by its place here its number in a configuration.
SCHEDULE_FAMILIES = ("constant", "linear", "cosine", "one_cycle")
OWN = ("schedule", "warmup_steps", "total_steps")  # the names that are the schedule's


def of_family(family: str, peak: Any, steps: Any, warmup_steps: Any) -> Schedule:
    """The schedule of a family, as one would write it.

    Args:
      family: "constant", "linear" (to 0), "cosine" (to 0), or "one_cycle", which rises for
        `warmup_steps` on a cosine of its own.
      peak: the highest value.
      steps: updates of the training.
      warmup_steps: of a linear warm-up before the schedule, which takes the rest; 0 for none.

    Raises:
      ValueError: for an unknown family; it lists the known ones.
    """
    check_name("schedule family", family, SCHEDULE_FAMILIES)
    if family == "one_cycle":
        return schedules.one_cycle(peak, steps, warmup_fraction=warmup_steps / steps)
    rest = steps - warmup_steps
    after = {
        "constant": lambda: schedules.constant(peak),
        "linear": lambda: schedules.linear(peak, 0.0, rest),
        "cosine": lambda: schedules.cosine_decay(peak, rest),
    }[family]()
    if isinstance(warmup_steps, (int, float)) and not warmup_steps:
        return after
    return schedules.warmup(after, warmup_steps)


@schedule
def by_number(
    count: Any,
    peak_value: Finite,
    total_steps: PositiveSteps,
    warmup_steps: NonNegativeSteps,
    family: Finite,
) -> Any:
    """The same with the family's number as data: all of them share a program.

    Args:
      peak_value: the highest value.
      total_steps: updates of the training.
      warmup_steps: fewer than `total_steps`.
      family: its place in `SCHEDULE_FAMILIES`.
    """
    part = progress(since(count, warmup_steps), total_steps - warmup_steps)
    falling = jnp.stack([jnp.ones_like(part), *(remaining(s, part) for s in ("linear", "cosine"))])
    number = jnp.asarray(family).astype(int)
    rising = jnp.where(count < warmup_steps, progress(count, warmup_steps), 1.0)
    cycle = schedules.one_cycle(peak_value, total_steps, warmup_steps / total_steps)(count)
    usual = peak_value * rising * falling[jnp.minimum(number, len(falling) - 1)]
    return jnp.where(number < len(falling), usual, cycle)


class Planned(Scheduled):
    """An optimizer whose schedule is data: a factory of `learning_rate` (its peak), `schedule` (the
    family's number), `warmup_steps`, `total_steps`, and the optimizer's own numbers.

    Args:
      factory: its constructor.
      fixed: arguments that are given already.
      steps: updates of the training; None: they are data too, `total_steps`, so that trainings of
        every length share a program.
    """

    def __init__(
        self, factory: Callable[..., Any], fixed: Mapping[str, Any], steps: int | None = None
    ):
        super().__init__(factory, fixed, schedules.cosine_decay, steps or 0)
        names = OWN[:2] if steps else OWN
        own = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
        signature = self.__signature__
        self.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *own])

    def __call__(self, learning_rate: Any, **others: Any) -> Any:
        total = others.pop("total_steps", self.steps)
        family, warm = others.pop("schedule"), others.pop("warmup_steps")
        return self.factory(by_number(learning_rate, total, warm, family), **self.fixed, **others)

    def optimizer(self, chosen: Mapping[str, Any]) -> Any:
        """The optimizer of a configuration, its schedule as one would write it."""
        rate, others = self._parts(chosen)
        return self.factory(rate, **self.fixed, **others)

    def code(self, chosen: Mapping[str, Any]) -> str:
        """The line that makes it."""
        rate, others = self._parts(chosen)
        return self.line(rate, {**self.fixed, **others})

    def _parts(self, chosen: Mapping[str, Any]) -> tuple[Schedule, dict[str, Any]]:
        others = {k: v for k, v in chosen.items() if k not in ("learning_rate", *OWN)}
        family = SCHEDULE_FAMILIES[int(chosen["schedule"])]
        warm, total = int(chosen["warmup_steps"]), int(chosen.get("total_steps", self.steps))
        return of_family(family, chosen["learning_rate"], total, warm), others


def stretched(chosen: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """A configuration of a `Planned` for a training of another length."""
    warm = round(chosen["warmup_steps"] * steps / chosen["total_steps"])
    return {**chosen, "total_steps": steps, "warmup_steps": min(warm, steps - 1)}
