"""How much may it cost? Trainings, model-steps or seconds, what is spent of them, and the end."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import time
from typing import Any

from lropt_jax.progress import Progress, several
from lropt_jax.validation import whole_number

INTERRUPTED = "interrupted"  # why a tuning ended
EPOCHS = 20  # of a training, where nobody says
TRAININGS = 8  # that a budget of model-steps or time should at least allow, where nobody says
UNKNOWN = 1000  # updates that a plan has while nobody knows how many there will be
UNITS = {"s": 1.0, "sec": 1.0, "second": 1.0, "seconds": 1.0, "min": 60.0, "minute": 60.0,
         "minutes": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0}  # fmt: skip
_WORDS = re.compile(r"\s*([0-9.]+(?:e[+-]?[0-9]+)?)\s*([a-z][a-z -]*?)\s*", re.IGNORECASE)
ALLOWED = (
    'a whole number of trainings >= 1, a time ("5min", "90s", "1h") or model-steps ("2e5 steps")'
)


class OutOfTime(Exception):
    """The budget's time is over."""


@dataclasses.dataclass(frozen=True)
class Budget:
    """What `tune` may spend: exactly one of these is given.

    Attributes:
      trainings: of `steps` updates.
      model_steps: updates of models.
      seconds: of time, all that happens among it.
    """

    trainings: int | None = None
    model_steps: int | None = None
    seconds: float | None = None

    def total(self, steps: int) -> float:
        """The model-steps, for trainings of so many updates; infinite where time is what counts."""
        if self.trainings is not None:
            return self.trainings * steps
        return math.inf if self.model_steps is None else self.model_steps

    def __str__(self) -> str:
        if self.trainings is not None:
            return several(self.trainings, "training")
        if self.model_steps is not None:
            return f"{self.model_steps:,} model-steps"
        assert self.seconds is not None
        return f"{self.seconds / 60:.3g} min" if self.seconds >= 120 else f"{self.seconds:.3g} s"


def read_budget(budget: Any) -> Budget:
    """A budget as it is given to `tune`.

    Raises:
      ValueError: for anything but a count, a time and a number of model-steps.
    """
    number = budget
    if isinstance(budget, str):
        with contextlib.suppress(ValueError):  # "1e3" is a count, too
            number = float(budget)
    if not isinstance(number, str):
        try:
            return Budget(trainings=whole_number("budget", number))
        except ValueError:
            raise ValueError(f"budget must be {ALLOWED}, got {budget!r}") from None
    found = _WORDS.fullmatch(budget)
    try:
        value = float(found[1]) if found else math.nan
    except ValueError:
        value = math.nan
    unit = found[2].lower() if found else ""
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"budget must be {ALLOWED}, got {budget!r}")
    if unit in UNITS:
        return Budget(seconds=value * UNITS[unit])
    if unit in ("steps", "step", "model-steps", "model steps", "updates") and value >= 1:
        return Budget(model_steps=int(value))
    raise ValueError(f"budget must be {ALLOWED}, got {budget!r}")


class Meter:
    """What a tuning has spent, and a `Progress` that ends it when its time is over.

    Args:
      budget: what it may spend.
      bar: what a person sees.
      total: model-steps that it shows.
      began: when, by `time.monotonic()`; earlier where time was spent in earlier calls.
    """

    def __init__(self, budget: Budget, bar: Progress, total: int, began: float):
        self.budget, self._bar, self._began = budget, bar, began
        self._deadline, self._total, self._done = math.inf, total, 0
        self.best = ""

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds; infinite where time does not count."""
        return math.inf if self.budget.seconds is None else self.budget.seconds - self.seconds

    def until(self, reserve: float) -> None:
        """What is trained now ends when no more than so many seconds are left."""
        self._deadline = self.seconds + self.left - reserve

    def advance(self, model_steps: int) -> None:
        self._done += model_steps
        self._bar.advance(model_steps)
        if self.budget.seconds is not None:  # as many more as there is time for
            share = min(1.0, self.seconds / self.budget.seconds)
            more = round(self._done / max(share, 1e-3)) - self._total
            self._total += more
            self._bar.skip(-more)
        if self.seconds > self._deadline:
            raise OutOfTime

    def skip(self, model_steps: int) -> None:
        if self.budget.seconds is None:
            self._bar.skip(model_steps)

    def describe(self, what: str) -> None:
        self._bar.describe(what)

    def note(self, what: str) -> None:
        self._bar.note(self.best or what)
