"""Named starting points: which optimizers the command compares, on which grids and shapes."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from lropt_jax import schedules
from lropt_jax.optimizers import OPTIMIZERS
from lropt_jax.optimizers.code_lines import name_of, schedule_code, value_code
from lropt_jax.schedules.fingerprint import Fingerprint
from lropt_jax.sweeps.planning.space import Grid, Range, choice, log_grid, log_uniform, uniform
from lropt_jax.validation import check_name, first_line, unknown


@dataclasses.dataclass(frozen=True)
class Recipe:
    """An optimizer as a comparison tunes it.

    Attributes:
      factory: its constructor.
      fixed: the arguments that are not tuned.
      learning_rates: the grid to begin with; a choice on its edge widens it.
      further: what else may be tuned, by name.
    """

    factory: Callable[..., Any]
    fixed: Mapping[str, Any]
    learning_rates: Grid
    further: Mapping[str, Grid | Range]

    def entry(
        self, shape: Callable[[Any, int], Any], steps: int, everything: bool = False
    ) -> tuple[Callable[..., Any], dict[str, Any]]:
        """A factory whose learning rate is the peak of a schedule, and its space, for `compare`.

        Args:
          shape: the schedule's, of a peak and a number of updates.
          steps: updates of the training.
          everything: whether the further numbers are tuned too: the rates and they are sampled
            then, so that `compare` needs a number of trials.
        """
        if not everything:
            scheduled = Scheduled(self.factory, self.fixed, shape, steps)
            return scheduled, {"learning_rate": self.learning_rates}
        fixed = {k: v for k, v in self.fixed.items() if k not in self.further}
        rates = log_uniform(self.learning_rates.values[0], self.learning_rates.values[-1])
        scheduled = Scheduled(self.factory, fixed, shape, steps)
        return scheduled, {"learning_rate": rates, **self.further}


class Scheduled:
    """An optimizer whose learning rate is the peak of a schedule.

    Args:
      factory: its constructor.
      fixed: arguments that are given already.
      shape: the schedule's, of a peak and a number of updates.
      steps: updates of the training.
    """

    def __init__(
        self,
        factory: Callable[..., Any],
        fixed: Mapping[str, Any],
        shape: Callable[[Any, int], Any],
        steps: int,
    ):
        self.factory, self.fixed, self.shape, self.steps = factory, dict(fixed), shape, steps
        signature = inspect.signature(factory)
        names = [
            p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for n, p in signature.parameters.items()
            if n not in fixed
        ]
        own = signature.parameters.get("learning_rate")
        self._by_name = own is not None and own.kind is not own.POSITIONAL_ONLY
        self.__signature__ = signature.replace(parameters=names)
        self.__name__ = getattr(factory, "__name__", "optimizer")

    def __eq__(self, other: object) -> bool:
        """Whether a program that was compiled for one serves the other."""
        return isinstance(other, Scheduled) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)

    @property
    def _key(self) -> Any:
        factory = Fingerprint(functools.partial(self.factory, **self.fixed))
        return type(self), factory, Fingerprint(self.shape), self.steps

    def __call__(self, learning_rate: Any, **others: Any) -> Any:
        try:
            return self._made(self.shape(learning_rate, self.steps), others)
        except Exception as error:
            if self._takes(learning_rate, others):
                raise ValueError(
                    f"{self.__name__} cannot take a schedule as its learning_rate, which it is "
                    f"given here ({first_line(error)}); one of its own is to be left out"
                ) from None
            raise

    def _takes(self, rate: Any, others: Mapping[str, Any]) -> bool:
        try:
            self._made(rate, others)
        except Exception:
            return False
        return True

    def _made(self, rate: Any, others: Mapping[str, Any]) -> Any:
        if self._by_name:
            return self.factory(learning_rate=rate, **self.fixed, **others)
        return self.factory(rate, **self.fixed, **others)

    def code(self, chosen: Mapping[str, Any]) -> str:
        """The line that makes the optimizer of a configuration."""
        given = {**self.fixed, **chosen}
        return self.line(self.shape(given.pop("learning_rate"), self.steps), given)

    def line(self, rate: Any, others: Mapping[str, Any]) -> str:
        """The line that makes it of a schedule and its other arguments."""
        words = "".join(f", {name}={value_code(value)}" for name, value in others.items())
        return f"{name_of(self.__name__, self.factory)}({schedule_code(rate)}{words})"


# Where the useful rates of a family lie, two decades around the middle.
_GRADIENT = log_grid(0.01, 1.0, 7)  # the step is a gradient
_MOMENTUM = log_grid(0.003, 0.3, 7)  # the step adds up to ten gradients
_SIGN = log_grid(0.0003, 0.03, 7)  # each coordinate moves by about the rate
_RATIO = log_grid(0.1, 10.0, 7)  # the step is scaled by a trust ratio or a root of its own

_GRIDS = {
    "sgd": _GRADIENT, "qhm": _GRADIENT, "local_gains": _GRADIENT, "adagrad": _GRADIENT,
    "sgdw": _MOMENTUM, "adadelta": _RATIO, "lars": _RATIO,
}  # fmt: skip

# What else is worth tuning, by the argument's name.
_FURTHER: dict[str, Grid | Range] = {
    "momentum": choice(0.8, 0.9, 0.95, 0.98, 0.99), "nu": uniform(0.3, 1.0),
    "b1": choice(0.8, 0.9, 0.95), "b2": choice(0.95, 0.99, 0.999),
    "nu1": uniform(0.3, 1.0), "decay": choice(0.9, 0.99, 0.999), "rho": choice(0.8, 0.9, 0.95),
    "weight_decay": log_uniform(1e-4, 1.0), "trust_coefficient": log_uniform(1e-4, 1e-2),
    "beta": log_uniform(0.005, 0.2),
}  # fmt: skip

# Those of each optimizer; plain SGD, Adagrad and Rprop have none.
_TUNED = {
    "sgdw": ("momentum", "weight_decay"), "qhm": ("momentum", "nu"), "lars": ("momentum",),
    "rmsprop": ("decay",), "adadelta": ("rho",), "local_gains": ("beta",),
    "adam": ("b1", "b2"), "amsgrad": ("b1", "b2"), "adamax": ("b1", "b2"), "nadam": ("b1", "b2"),
    "adabelief": ("b1", "b2"), "swats": ("b1", "b2"), "qhadam": ("b1", "b2", "nu1"),
    "adamw": ("b1", "b2", "weight_decay"), "nadamw": ("b1", "b2", "weight_decay"),
    "qhadamw": ("b1", "b2", "nu1", "weight_decay"), "lamb": ("b1", "b2", "weight_decay"),
    "momentum": ("momentum",), "nesterov": ("momentum",),
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
    further = {argument: _FURTHER[argument] for argument in _TUNED.get(name, ())}
    if name in _VARIANTS:
        base, fixed, rates = _VARIANTS[name]
        return Recipe(OPTIMIZERS[base], fixed, rates, further)
    if name not in OPTIMIZERS:
        raise ValueError(unknown("optimizer", name, recipes()))
    return Recipe(OPTIMIZERS[name], {}, _GRIDS.get(name, _SIGN), further)


def foreign(what: str, name: str, factory: Callable[..., Any]) -> Recipe:
    """The recipe of a factory that is none of ours: its learning rate alone, from where an
    optimizer lies whose steps are about as long as its rate.

    Raises:
      ValueError: for a factory without an argument `learning_rate`, or that needs others.
    """
    parameters = inspect.signature(factory).parameters
    needed = [
        n for n, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    if "learning_rate" not in parameters or needed not in ([], ["learning_rate"]):
        raise ValueError(
            f"{what} {name}: it must be a function of learning_rate, whose other arguments have "
            f"defaults; it takes {', '.join(parameters) or 'nothing'}"
        )
    return Recipe(factory, {}, _SIGN, {})


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
    check_name("schedule", name, SHAPES)
    return SHAPES[name]
