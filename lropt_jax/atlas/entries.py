"""Who takes part, and what of each is tuned: spaces and priors, the same for every problem.

Frozen on 25 November 2026, before any result was looked at. The rule: each rate is drawn evenly in
its logarithm over four decades, [1e-4, 1] as in Schmidt, Schneider and Hennig 2021
(arXiv:2007.01547), shifted where the rate of an optimizer means something else. Momenta and decays
are what papers and libraries try around their defaults. Decay is coupled (L2) where PyTorch's is.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import optax
from optax import contrib

from lropt_jax.comparisons.families import SCHEDULE_FAMILIES, Planned
from lropt_jax.optimizers import OPTIMIZERS
from lropt_jax.sweeps.planning.space import Grid, Range, grid, log_uniform, uniform
from lropt_jax.validation import check_name

Dimension = Grid | Range
Configuration = dict[str, Any]

FROZEN = "2026-11-25"
WARMED = ("cosine", "one_cycle")  # the families with a warm-up


@dataclasses.dataclass(frozen=True)
class Entry:
    """An optimizer that takes part.

    Attributes:
      name: in every table.
      factory: makes it.
      rates: the learning rates that are drawn.
      further: what else is tuned, by the factory's argument.
      defaults: what the factory is used with by somebody who tunes nothing.
      source: whose defaults these are.
      fixed: arguments that stay as they are.
    """

    name: str
    factory: Callable[..., Any]
    rates: Range
    further: Mapping[str, Dimension]
    defaults: Mapping[str, float]
    source: str
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def space(self) -> dict[str, Dimension]:
        """What configurations are drawn from: the names that all have in common come first.

        "family" is the schedule's place in `SCHEDULE_FAMILIES`: constant, linear to 0, cosine to 0
        after a warm-up, one cycle. "warm" is the part of the updates that rises, in the last two.
        """
        families = grid(*range(len(SCHEDULE_FAMILIES)))
        warm = log_uniform(0.02, 0.4)
        return {"learning_rate": self.rates, "family": families, "warm": warm, **self.further}

    @property
    def default(self) -> Configuration:
        """The configuration of somebody who tunes nothing: a constant rate."""
        return {"family": 0.0, "warm": 0.1, **self.defaults}

    def planned(self, steps: int) -> Planned:
        """The factory of `numbers`, for a training of so many updates: all schedules are one
        program."""
        return Planned(self.factory, self.fixed, steps)

    def numbers(self, configuration: Mapping[str, float], steps: int) -> dict[str, float]:
        """A configuration as the numbers that it is trained with."""
        given = {k: float(v) for k, v in configuration.items()}
        family, warm = given.pop("family"), given.pop("warm")
        rises = round(warm * steps) if SCHEDULE_FAMILIES[int(family)] in WARMED else 0
        return {**given, "schedule": family, "warmup_steps": float(rises)}

    def code(self, configuration: Mapping[str, float], steps: int) -> str:
        """The line that makes the optimizer of a configuration, to paste."""
        short = {k: float(f"{v:.4g}") for k, v in configuration.items()}
        return self.planned(steps).code(self.numbers(short, steps))


def prodigy(learning_rate: Any = 1.0, b2: Any = 0.999, weight_decay: Any = 0.0) -> Any:
    """`optax.contrib.prodigy` with its second beta by name."""
    return contrib.prodigy(learning_rate, (0.9, b2), weight_decay=weight_decay)


def muon(learning_rate: Any, beta: Any = 0.95, weight_decay: Any = 0.1) -> Any:
    """`optax.contrib.muon` whose steps are as long as AdamW's (arXiv:2502.16982): one rate serves
    the matrices and all else, and decay too."""
    return contrib.muon(
        learning_rate, beta=beta, weight_decay=weight_decay, adam_weight_decay=weight_decay,
        consistent_rms=0.2,
    )  # fmt: skip


RATES = log_uniform(1e-4, 1.0)
_AVERAGED = log_uniform(1e-3, 10.0)  # the gradient's average, which is ten times shorter
_FACTOR = log_uniform(1e-2, 100.0)  # multiplies a step that has a length of its own
_SIGNS = log_uniform(1e-5, 0.1)  # arXiv:2302.06675: 3 to 10 times less than AdamW's

MOMENTUM = grid(0.0, 0.8, 0.9, 0.95, 0.99)
B1 = grid(0.8, 0.9, 0.95)
B2 = grid(0.95, 0.99, 0.999)
NU = uniform(0.3, 1.0)
L2 = log_uniform(1e-6, 1e-2)  # coupled; PyTorch's examples have 1e-4 and 5e-4
DECAY = log_uniform(1e-3, 1.0)  # decoupled, times the rate of Adam
DECAY_OF_SGD = log_uniform(1e-5, 1e-2)  # times the rate of SGD, a hundred times Adam's

# What an argument of a reader's own optimizer is drawn from.
BY_NAME: dict[str, Dimension] = {
    "momentum": MOMENTUM, "b1": B1, "beta": B1, "b2": B2, "nu": NU, "nu1": NU, "l2": L2,
    "weight_decay": DECAY,
}  # fmt: skip

_ADAM: dict[str, Dimension] = {"b1": B1, "b2": B2}
_TORCH, _PAPER = "PyTorch", "the authors"


def _ours(
    name: str,
    rates: Range,
    further: Mapping[str, Dimension],
    source: str,
    rate: float,
    fixed: Mapping[str, Any] | None = None,
    **defaults: float,
) -> Entry:
    factory = OPTIMIZERS[name]
    parameters = inspect.signature(factory).parameters
    given = {n: defaults.get(n, parameters[n].default or 0.0) for n in further}
    whole = {"learning_rate": rate, **given}
    return Entry(name, factory, rates, further, whole, source, fixed or {})


# Decay is L2 but for those that are named for decoupled decay, or have their own.
ENTRIES: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        _ours("sgd", RATES, {"momentum": MOMENTUM, "l2": L2}, _TORCH, 1e-3),
        # Nesterov's momentum: the heavy ball is `sgd`'s.
        _ours("sgdw", RATES, {"momentum": MOMENTUM, "weight_decay": DECAY_OF_SGD}, _PAPER, 0.1,
              {"nesterov": True}),
        _ours("adagrad", RATES, {"l2": L2}, _TORCH, 1e-2),
        _ours("adadelta", _FACTOR, {"rho": grid(0.8, 0.9, 0.95, 0.99), "l2": L2}, _TORCH, 1.0),
        _ours("rmsprop", RATES, {"decay": grid(0.9, 0.95, 0.99, 0.999), "momentum": MOMENTUM,
                                 "l2": L2}, _TORCH, 1e-2),
        _ours("adam", RATES, {**_ADAM, "l2": L2}, _TORCH, 1e-3),
        _ours("adamw", RATES, {**_ADAM, "weight_decay": DECAY}, _TORCH, 1e-3),
        _ours("amsgrad", RATES, {**_ADAM, "l2": L2}, _TORCH, 1e-3),
        _ours("nadam", RATES, {**_ADAM, "l2": L2}, _TORCH, 2e-3),
        _ours("nadamw", RATES, {**_ADAM, "weight_decay": DECAY}, "PyTorch (decoupled)", 2e-3),
        _ours("adamax", RATES, {**_ADAM, "l2": L2}, _TORCH, 2e-3),
        _ours("adabelief", RATES, {**_ADAM, "weight_decay": DECAY}, _PAPER, 1e-3),
        _ours("qhm", _AVERAGED, {"momentum": grid(0.9, 0.95, 0.99, 0.999), "nu": NU, "l2": L2},
              _PAPER, 1.0),
        _ours("qhadam", RATES, {"b1": grid(0.9, 0.95, 0.995), "b2": B2, "nu1": NU, "l2": L2},
              _PAPER, 1e-3),
        _ours("qhadamw", RATES, {"b1": grid(0.9, 0.95, 0.995), "b2": B2, "nu1": NU,
                                 "weight_decay": DECAY}, _PAPER, 1e-3),
        _ours("lars", _FACTOR, {"momentum": MOMENTUM, "weight_decay": DECAY_OF_SGD},
              "ours: the paper scales its rate with the batch", 1.0),
        _ours("lamb", RATES, {**_ADAM, "weight_decay": DECAY}, _PAPER, 1e-3),
        _ours("swats", RATES, {**_ADAM, "l2": L2}, _PAPER, 1e-3),
        _ours("local_gains", RATES, {"beta": log_uniform(0.005, 0.2), "momentum": MOMENTUM,
                                     "l2": L2}, "ours: the lecture names none", 1e-2),
        # The rate is where its steps begin, and the schedule does nothing.
        _ours("rprop", RATES, {"eta_minus": grid(0.3, 0.5, 0.7), "eta_plus": grid(1.1, 1.2, 1.4)},
              _TORCH, 1e-2),
        Entry("muon", muon, RATES, {"beta": grid(0.9, 0.95, 0.98), "weight_decay": DECAY},
              {"learning_rate": 1e-3, "beta": 0.95, "weight_decay": 0.1}, _PAPER),
        Entry("lion", optax.lion, _SIGNS, {"b1": B1, "b2": grid(0.95, 0.98, 0.99),
                                           "weight_decay": log_uniform(1e-2, 10.0)},
              {"learning_rate": 1e-4, "b1": 0.9, "b2": 0.99, "weight_decay": 1e-3}, "Optax"),
        Entry("schedule_free_adamw", contrib.schedule_free_adamw, RATES,
              {"b1": grid(0.9, 0.95, 0.98), "b2": B2, "weight_decay": DECAY},
              {"learning_rate": 2.5e-3, "b1": 0.9, "b2": 0.999, "weight_decay": 0.0}, "Optax",
              {"warmup_steps": None}),
        Entry("prodigy", prodigy, _FACTOR, {"b2": B2, "weight_decay": DECAY},
              {"learning_rate": 1.0, "b2": 0.999, "weight_decay": 0.0}, _PAPER),
    )
}  # fmt: skip

# Whose reruns set the targets, as in AlgoPerf: AdamW, NAdamW, Nesterov, heavy ball.
REFERENCES = ("adamw", "nadamw", "sgdw", "sgd")


def entry(name: str) -> Entry:
    """An optimizer of the Atlas by its name.

    Raises:
      ValueError: for an unknown name; it lists the known ones and the nearest.
    """
    check_name("optimizer of the Atlas", name, ENTRIES)
    return ENTRIES[name]


def own_entry(name: str, factory: Callable[..., Any]) -> Entry:
    """A reader's own optimizer, tuned as all others are.

    Args:
      name: in every table.
      factory: of a learning rate, given by position or as `learning_rate`. Arguments that are
        called as in `BY_NAME` are tuned; `factory.space`, a mapping of names to spaces, says
        otherwise.

    Raises:
      ValueError: for a function without `learning_rate`, or that needs what nobody gives it.
    """
    parameters = inspect.signature(factory).parameters
    space = dict(getattr(factory, "space", {n: BY_NAME[n] for n in parameters if n in BY_NAME}))
    rates = space.pop("learning_rate", RATES)
    needed = [
        n for n, p in parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    lacking = [n for n in needed if n != "learning_rate" and n not in space]
    if next(iter(parameters), "") != "learning_rate" or lacking:
        raise ValueError(
            f"--add {name}: it must be a function of learning_rate, and of others that have "
            f"defaults or a place in its .space; it takes {', '.join(parameters) or 'nothing'}"
        )
    defaults = {n: _default(parameters[n].default, d) for n, d in space.items()}
    rate = parameters["learning_rate"].default
    defaults["learning_rate"] = float(rate) if isinstance(rate, (int, float)) else 1e-3
    # What the design calls its own schedule by stays as the factory has it.
    fixed = {n: parameters[n].default for n in ("schedule", "warmup_steps") if n in parameters}
    return Entry(name, factory, rates, space, defaults, "its own", fixed)


def _default(given: Any, dimension: Dimension) -> float:
    return float(given) if isinstance(given, (int, float)) else float(dimension.at(0.5))
