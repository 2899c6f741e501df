"""What does a step cost, in time and memory, and where does training start?"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.guessing import bytes_of
from lropt_jax.sweeps.running.strategy import Resolved
from lropt_jax.sweeps.running.timing import Timed
from lropt_jax.tasks.task import Task
from lropt_jax.training.layout import Layout

ROUNDS = 3
Name = TypeVar("Name")


@dataclasses.dataclass(frozen=True, eq=False)
class Ran:
    """A plan, and how one of its groups ran, by default the first."""

    plan: Plan
    devices: tuple[Any, ...]
    resolved: Resolved
    group: int = 0

    @property
    def layout(self) -> Layout:
        return Layout(self.resolved.strategy, self.devices)

    @property
    def width(self) -> int:
        return self.resolved.width


def step_seconds(ran: Mapping[Name, Ran]) -> dict[Name, float]:
    """Seconds of one update of one model within its population, the least of several rounds in
    turns, so that a busy moment of the machine hits all alike."""
    timed = {
        name: Timed(r.plan.jobs[r.group], r.plan.numbers(r.group), r.width, r.layout)
        for name, r in ran.items()
    }
    rounds = [{name: t.seconds() for name, t in timed.items()} for _ in range(ROUNDS)]
    return {name: min(r[name] for r in rounds) / ran[name].width for name in ran}


def state_ratio(tx: optax.GradientTransformation, task: Task) -> float:
    """The bytes of an optimizer's state over those of the parameters, its few numbers left out."""
    params = jax.eval_shape(lambda key: task.init(key)[0], jax.random.key(0))
    size = bytes_of(jax.eval_shape(tx.init, params))
    try:
        alone = bytes_of(jax.eval_shape(tx.init, {}))
    except Exception:  # labels by path, masks: there are those that need a parameter
        alone = 0
    return (size - alone) / max(bytes_of(params), 1)


def before_training(ran: Ran) -> dict[str, float]:
    """The validation metrics of a plan's models before their first update, means over seeds."""
    job, width = ran.plan.jobs[0], ran.width
    seeds = np.array(ran.plan.seeds, np.uint32)[:width]
    keys = job.keys(np.resize(seeds, width))
    numbers = {
        k: np.resize(v, width).astype(jnp.result_type(float))
        for k, v in ran.plan.numbers(0).items()
    }
    population = job.population(ran.layout, numbers)
    values = population.evaluate(population.start(keys, numbers), "valid")
    return {k: float(np.asarray(v, float)[: len(seeds)].mean()) for k, v in values.items()}
