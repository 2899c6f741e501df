"""Who may be tried? The optimizers of the list, a person's own, and what he uses now."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optax

from lropt_jax.comparisons.families import SCHEDULE_FAMILIES, stretched
from lropt_jax.optimizers.code_lines import code_of
from lropt_jax.sweeps.planning.checks import check_names
from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.sweeps.planning.jobs import takes
from lropt_jax.sweeps.planning.space import Range, Spaces, listed
from lropt_jax.sweeps.results.frames import beside
from lropt_jax.sweeps.running.costs import state_ratio
from lropt_jax.tasks.task import Task
from lropt_jax.tuning.configurations import Row, planned
from lropt_jax.validation import check_entries

BASELINE = "baseline"
SLACK = 0.01  # of the parameters' bytes: counters are no moments
Configuration = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Contender:
    """An optimizer that may be tried.

    Attributes:
      name: in every table.
      factory: makes a configuration's optimizer.
      rows: its configurations in the list, by their place there; none for a person's own.
      space: what a person's own may be; None for one of the list.
      task: what it is for.
    """

    name: str
    factory: Callable[..., optax.GradientTransformation]
    rows: Mapping[int, Row] = dataclasses.field(default_factory=dict)
    space: Spaces | None = None
    task: Task | None = None

    @functools.cached_property
    def memory(self) -> float:
        """Bytes of its state over those of the parameters, its few numbers left out."""
        assert self.task is not None
        return state_ratio(self.factory(**self.own_first()), self.task)

    def own_first(self) -> Configuration:
        """The numbers of its first configuration that are the optimizer's."""
        first = self.first()
        if self.rows:
            return first
        return {k: v for k, v in first.items() if k in takes(self.factory, first, self.task)}

    def first(self, steps: int = 100) -> Configuration:
        """Its first configuration, for a training of so many updates."""
        if self.rows:
            return next(iter(self.rows.values())).configuration(steps, None)
        return {} if self.space is None else first_of(self.space)

    def optimizer(
        self, chosen: Mapping[str, Any], steps: int | None = None
    ) -> optax.GradientTransformation:
        """The optimizer of a configuration, as a person would write it; that of the list for a
        training of so many updates."""
        if not self.rows:
            return self.factory(**chosen)
        made: Any = self.factory
        return made.optimizer(chosen if steps is None else stretched(chosen, steps))

    def code(self, chosen: Mapping[str, Any]) -> str:
        """The line that makes it."""
        if self.name == BASELINE:
            return BASELINE
        return code_of(f"candidates[{self.name!r}][0]", self.factory, chosen)

    def words(self, chosen: Mapping[str, Any]) -> Configuration:
        """A configuration for people: with the optimizer's and the schedule's names."""
        found: Configuration = {"optimizer": self.name}
        if self.name != BASELINE:
            shown = {k: v for k, v in chosen.items() if not self.rows or k != "total_steps"}
            found |= beside(shown, found)
        if self.rows:
            found["schedule"] = SCHEDULE_FAMILIES[int(chosen["schedule"])]
        return found


def of_list(rows: Sequence[Row], task: Task) -> dict[str, Contender]:
    """The optimizers of the list, in the order in which they first stand there."""
    found: dict[str, Contender] = {}
    for row in rows:
        if row.optimizer not in found:
            own = {p: r for p, r in enumerate(rows) if r.optimizer == row.optimizer}
            factory = planned(row.optimizer)
            found[row.optimizer] = Contender(row.optimizer, factory, own, task=task)
    return found


def of_candidates(candidates: Any, task: Task) -> dict[str, Contender]:
    """A person's own factories with their spaces.

    Raises:
      ValueError: for anything but a mapping of names to `(factory, space)`.
    """
    if candidates is None:
        return {}
    check_entries("candidates", candidates)
    found = {}
    for name, entry in candidates.items():
        if name == BASELINE:
            raise ValueError(f"candidates must not be named {name!r}: that is what baseline= is")
        factory, space = entry
        try:
            first = first_of(space)
            check_names(factory, task, [first])
            found[name] = Contender(name, factory, space=space, task=task)
            state_ratio(found[name].factory(**found[name].own_first()), task)
        except (TypeError, ValueError) as error:
            raise ValueError(f"candidates[{name!r}]: {error}") from error
    return found


def of_baseline(baseline: Any, task: Task) -> Contender | None:
    """What a person uses now: a transformation, or a function without arguments that makes one.

    Raises:
      ValueError: for anything else; a factory that needs arguments is told how to go on.
    """
    if baseline is None:
        return None
    if hasattr(baseline, "init") and hasattr(baseline, "update"):
        return Contender(BASELINE, _alone(lambda: baseline), task=task)
    if not callable(baseline):
        raise ValueError(
            "baseline must be a transformation (optax.adamw(3e-4)) or a function without "
            f"arguments that returns one, got {baseline!r}"
        )
    needed = [
        n for n, p in inspect.signature(baseline).parameters.items()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]  # fmt: skip
    if needed:
        raise ValueError(
            f"baseline must be what you use now, but it needs {', '.join(needed)}: give the "
            f"transformation, {getattr(baseline, '__name__', 'factory')}({needed[0]}=...), or "
            "lambda: ...; with a space it is one of candidates"
        )
    made = baseline()
    if not (hasattr(made, "init") and hasattr(made, "update")):
        raise ValueError(f"baseline must return a transformation, got {type(made).__name__}")
    return Contender(BASELINE, _alone(baseline), task=task)


def _alone(make: Callable[[], Any]) -> Callable[..., Any]:
    """What has no numbers, as a factory of one that nothing depends on: a sweep needs a name."""

    def baseline(nothing: Any = 0.0) -> Any:
        return make()

    return baseline


def within_memory(contenders: Mapping[str, Contender], memory: Any) -> dict[str, Contender]:
    """Those whose state is not larger.

    Raises:
      ValueError: for a limit that is none, or that leaves nobody.
    """
    if memory is None:
        return dict(contenders)
    number = isinstance(memory, (int, float)) and not isinstance(memory, bool)
    if not number or not (np.isfinite(memory) and memory >= 0):
        raise ValueError(f"memory must be a number >= 0 or None, got {memory!r}")
    found = {name: c for name, c in contenders.items() if c.memory <= memory + SLACK}
    if not found:
        least = min(contenders.values(), key=lambda c: c.memory)
        raise ValueError(
            f"memory={memory!r} leaves no optimizer: {least.name} needs least, a state of "
            f"{least.memory:.3g} times the parameters"
        )
    return found


def first_of(space: Spaces) -> Configuration:
    """The first configuration of a space."""
    sampled = any(isinstance(v, Range) for one in listed(space) for v in one.values())
    return draw(space, 1 if sampled else None)[0]
