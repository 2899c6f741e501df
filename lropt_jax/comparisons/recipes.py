"""Named starting points: which optimizers the command compares, on which grids and shapes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from lropt_jax import schedules
from lropt_jax.optimizers import OPTIMIZERS
from lropt_jax.sweeps.planning.space import Grid, log_grid
from lropt_jax.validation import unknown


@dataclasses.dataclass(frozen=True)
class Recipe:
    """An optimizer as a comparison tunes it.

    Attributes:
      factory: its constructor.
      fixed: the arguments that are not tuned.
      learning_rates: the grid to begin with; a choice on its edge widens it.
    """

    factory: Callable[..., Any]
    fixed: Mapping[str, Any]
    learning_rates: Grid

    def entry(
        self, shape: Callable[[Any, int], Any], steps: int, learning_rates: Grid | None = None
    ) -> tuple[Callable[..., Any], dict[str, Any]]:
        """A factory of `learning_rate` under a schedule, and its space, for `compare`."""
        factory, fixed = self.factory, dict(self.fixed)

        def scheduled(learning_rate: Any) -> Any:
            return factory(shape(learning_rate, steps), **fixed)

        return scheduled, {"learning_rate": learning_rates or self.learning_rates}


# Where the useful rates of a family lie, two decades around the middle.
_GRADIENT = log_grid(0.01, 1.0, 7)  # the step is a gradient
_MOMENTUM = log_grid(0.003, 0.3, 7)  # the step adds up to ten gradients
_SIGN = log_grid(0.0003, 0.03, 7)  # each coordinate moves by about the rate
_RATIO = log_grid(0.1, 10.0, 7)  # the step is scaled by a trust ratio or a root of its own

_GRIDS = {
    "sgd": _GRADIENT, "qhm": _GRADIENT, "local_gains": _GRADIENT, "adagrad": _GRADIENT,
    "sgdw": _MOMENTUM, "adadelta": _RATIO, "lars": _RATIO,
}  # fmt: skip

# Variants that go by a name of their own.
_VARIANTS: dict[str, tuple[str, dict[str, Any], Grid]] = {
    "momentum": ("sgd", {"momentum": 0.9}, _MOMENTUM),
    "nesterov": ("sgd", {"momentum": 0.9, "nesterov": True}, _MOMENTUM),
}

DEFAULT_OPTIMIZERS = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw")


def recipe(name: str) -> Recipe:
    """The recipe of an optimizer by its name: one of `OPTIMIZERS`, "momentum" or "nesterov".

    Raises:
      ValueError: for an unknown name; it lists the known ones and the nearest.
    """
    if name in _VARIANTS:
        base, fixed, rates = _VARIANTS[name]
        return Recipe(OPTIMIZERS[base], fixed, rates)
    if name not in OPTIMIZERS:
        raise ValueError(unknown("optimizer", name, recipes()))
    return Recipe(OPTIMIZERS[name], {}, _GRIDS.get(name, _SIGN))


def recipes() -> list[str]:
    """All names that `recipe` knows."""
    return sorted({*OPTIMIZERS, *_VARIANTS})


def _warmup_cosine(peak: Any, steps: int) -> Any:
    warm = max(1, steps // 20)
    return schedules.warmup(schedules.cosine_decay(peak, max(1, steps - warm)), warm)


# A schedule's shape over a training of so many steps, by its peak.
SHAPES: dict[str, Callable[[Any, int], Any]] = {
    "constant": lambda peak, steps: schedules.constant(peak),
    "cosine": lambda peak, steps: schedules.cosine_decay(peak, steps),
    "linear": lambda peak, steps: schedules.linear(peak, 0.0, steps),
    "exponential": lambda peak, steps: schedules.exponential_decay(peak, 0.01, steps),
    "step": lambda peak, steps: schedules.step_decay(peak, 0.1, max(1, -(-steps // 3))),
    "warmup_cosine": _warmup_cosine,
}


def shape(name: str) -> Callable[[Any, int], Any]:
    """A schedule's shape by its name.

    Raises:
      ValueError: for an unknown name; it lists the known ones and the nearest.
    """
    if name not in SHAPES:
        raise ValueError(unknown("schedule", name, SHAPES))
    return SHAPES[name]
