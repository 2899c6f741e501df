"""What does a step cost, and where does training start? Measured on programs that are compiled."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.strategy import Resolved, Timed
from lropt_jax.training.layout import Layout

ROUNDS = 3


@dataclasses.dataclass(frozen=True, eq=False)
class Ran:
    """A plan, and how its first group ran."""

    plan: Plan
    devices: tuple[Any, ...]
    resolved: Resolved

    @property
    def layout(self) -> Layout:
        return Layout(self.resolved.strategy, self.devices)

    @property
    def width(self) -> int:
        return self.resolved.width


def step_seconds(ran: Mapping[str, Ran]) -> dict[str, float]:
    """Seconds of one update of one model within its population, the least of several rounds in
    turns, so that a busy moment of the machine hits all alike."""
    timed = {
        name: Timed(r.plan.jobs[0], r.plan.numbers(0), r.width, r.layout) for name, r in ran.items()
    }
    rounds = [{name: t.seconds() for name, t in timed.items()} for _ in range(ROUNDS)]
    return {name: min(r[name] for r in rounds) / ran[name].width for name in ran}


def before_training(ran: Ran) -> dict[str, float]:
    """The validation metrics of a plan's models before their first update, means over seeds."""
    job, width = ran.plan.jobs[0], ran.width
    root = jax.random.wrap_key_data(jnp.asarray(job.key), impl=job.key_type)
    seeds = np.array(ran.plan.seeds, np.uint32)[:width]
    keys = jax.vmap(lambda s: jax.random.fold_in(root, s))(jnp.asarray(np.resize(seeds, width)))
    numbers = {
        k: np.resize(v, width).astype(jnp.result_type(float))
        for k, v in ran.plan.numbers(0).items()
    }
    population = job.population(ran.layout, numbers)
    values = population.evaluate(population.start(keys, numbers), "valid")
    return {k: float(np.asarray(v, float)[: len(seeds)].mean()) for k, v in values.items()}
