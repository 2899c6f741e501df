"""What is tried first: the ordered list of whole configurations that ships, row by row."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import importlib.resources
import inspect
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lropt_jax.comparisons.families import SCHEDULE_FAMILIES, Planned
from lropt_jax.comparisons.recipes import foreign, recipe
from lropt_jax.validation import is_scalar

FILE = "ordered.json"
OWN = ("optimizer", "relative", "absolute", "schedule", "warmup")


@dataclasses.dataclass(frozen=True)
class Row:
    """A whole configuration, whatever the problem.

    Attributes:
      optimizer: a name that `lropt compare` knows ("adamw", "nesterov"), or one that can be
        imported ("optax.lion").
      relative: the peak rate over the suggestion of a range test of this optimizer, or None.
      absolute: the peak rate where there is no such suggestion.
      schedule: one of `SCHEDULE_FAMILIES`.
      warmup: the part of the updates that rises.
      numbers: the optimizer's own, by the factory's arguments.
      learned: whether trainings on other problems taught it, or somebody wrote it down.
    """

    optimizer: str
    relative: float | None
    absolute: float
    schedule: str
    warmup: float
    numbers: Mapping[str, float]
    learned: bool = False

    def configuration(self, steps: int, suggestion: float | None) -> dict[str, float]:
        """Its numbers for a training of so many updates.

        Args:
          steps: updates.
          suggestion: the range test's, or None.
        """
        relative = self.relative is not None and suggestion is not None
        rate = self.relative * suggestion if relative else self.absolute  # type: ignore[operator]
        return {
            "learning_rate": float(f"{rate:.4g}"),
            "schedule": SCHEDULE_FAMILIES.index(self.schedule),
            "warmup_steps": min(round(self.warmup * steps), steps - 1),
            "total_steps": steps,
            **self.numbers,
        }

    def as_json(self) -> dict[str, Any]:
        """As it stands in the file."""
        own = {name: getattr(self, name) for name in OWN}
        return {**own, **self.numbers}


def row(words: Mapping[str, Any]) -> Row:
    """A row of the file.

    Raises:
      ValueError: for a schedule or a number that there cannot be.
    """
    if words["schedule"] not in SCHEDULE_FAMILIES:
        raise ValueError(f"schedule must be one of {SCHEDULE_FAMILIES}, got {words['schedule']!r}")
    if not words["absolute"] > 0 or not 0 <= words["warmup"] < 1:
        raise ValueError(f"absolute must be > 0 and warmup in [0, 1), got {dict(words)!r}")
    numbers = {k: float(v) for k, v in words.items() if k not in OWN}
    return Row(numbers=numbers, **{name: words[name] for name in OWN})


def shipped() -> tuple[str | None, tuple[Row, ...]]:
    """What the list that ships was learned from (None: a hand-made prior alone), and its rows: one
    that was learned, one of the prior, and so on.

    The prior has other optimizers, for problems unlike those that the others were learned on; on
    any problem the search goes on with the side that leads (`lropt_jax.tuning.moves`).
    """
    held = _read()
    learned = [dataclasses.replace(row(words), learned=True) for words in held["learned"]]
    pairs = itertools.zip_longest(learned, map(row, held["prior"]))
    return held["learned_from"], tuple(one for pair in pairs for one in pair if one is not None)


def seen() -> dict[str, tuple[float, float]]:
    """The lowest and the highest rate that a range test suggested on the problems that the list was
    learned on, by optimizer."""
    return {name: (low, high) for name, (low, high) in _read()["suggested"].items()}


@functools.cache
def _read() -> dict[str, Any]:
    text = importlib.resources.files("lropt_jax.tuning").joinpath(FILE).read_text("utf-8")
    held: dict[str, Any] = json.loads(text)
    return held


def complete(rows: Sequence[Row]) -> list[Row]:
    """The rows, each with all numbers that one of its optimizer has, by their usual values, so that
    those of an optimizer share a program."""
    names: dict[str, dict[str, float]] = {}
    for one in rows:
        held = names.setdefault(one.optimizer, dict(_found(one.optimizer)[1]))
        held.update({n: _usual(one.optimizer, n) for n in one.numbers if n not in held})
    return [
        dataclasses.replace(one, numbers={**names[one.optimizer], **one.numbers}) for one in rows
    ]


def planned(optimizer: str) -> Planned:
    """The factory of an optimizer of the list: its numbers and its schedule are data."""
    factory, _, structure = _found(optimizer)
    return Planned(factory, structure)


def plain(optimizer: str) -> Callable[..., Any]:
    """The same as a factory of the learning rate alone, for its range test."""
    factory, numbers, structure = _found(optimizer)
    return functools.partial(factory, **numbers, **structure)


@functools.cache
def _found(optimizer: str) -> tuple[Any, dict[str, float], dict[str, Any]]:
    """A factory, and what is fixed of it: numbers (a momentum), which are data, and structure."""
    if "." in optimizer:
        module, _, name = optimizer.rpartition(".")
        found = foreign("list", optimizer, getattr(importlib.import_module(module), name))
    else:
        found = recipe(optimizer)
    numbers = {k: float(v) for k, v in found.fixed.items() if is_scalar(v)}
    return found.factory, numbers, {k: v for k, v in found.fixed.items() if k not in numbers}


def _usual(optimizer: str, name: str) -> float:
    default = inspect.signature(_found(optimizer)[0]).parameters[name].default
    return float(default) if isinstance(default, (int, float)) else 0.0
