"""What will a sweep cost? A few updates of its first program tell, and are thrown away."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.sweeps.planning.jobs import Job
from lropt_jax.sweeps.planning.plan import Plan
from lropt_jax.sweeps.running.guessing import guess
from lropt_jax.sweeps.running.placement import Placement
from lropt_jax.sweeps.running.strategy import Load, lane_bytes, lane_shapes, resolve
from lropt_jax.sweeps.running.timing import Timed
from lropt_jax.training.fast_forms import rewrites
from lropt_jax.training.layout import Layout


@dataclasses.dataclass(frozen=True)
class Cost:
    """What training takes. Times are estimates.

    Attributes:
      trainings: lanes in all.
      model_steps: updates of models in all; a rule that prunes leaves fewer.
      lanes: that train at once.
      memory: about the bytes that these need.
      seconds: about, compilation and evaluations among it.
    """

    trainings: int
    model_steps: int
    lanes: int
    memory: int
    seconds: float


def foreseen(plan: Plan, placement: Placement, programs: int = 1, times: float = 1.0) -> Cost:
    """What a plan costs on this machine.

    Args:
      plan: what is to be trained. The first of its groups is measured and stands for all.
      placement: where.
      programs: how many times as many programs as the plan has are going to be compiled.
      times: how many times its trainings are going to be done, with others like it.
    """
    devices = tuple(placement.here(plan))
    job, numbers, seeds = plan.jobs[0], plan.numbers(0), len(plan.seeds)
    load = Load(numbers, plan.lanes(0), seeds)
    resolved = resolve(load, "vmap", placement.wanted, job, devices)
    lane = lane_shapes(job, numbers, devices)
    strategy = placement.strategy
    if strategy == "auto":
        strategy = guess(job.task, lane, resolved.width // len(devices), seeds == 1, devices)
    layout = Layout(strategy, devices)
    timed = Timed(job, numbers, resolved.width, layout)
    step = timed.seconds()
    first, evaluation = _evaluation(job, numbers, resolved.width, layout)
    trainings = len(plan.configurations) * seeds
    chunks = sum(-(-plan.lanes(group) // resolved.width) for group in range(len(plan.groups)))
    once = plan.itinerary.steps * step + len(plan.itinerary.evaluations) * evaluation
    compiling = (timed.compiling + first) * len(plan.groups) * programs
    return Cost(
        round(trainings * times),
        round(plan.model_steps * times),
        resolved.width,
        resolved.width * lane_bytes(job.task, lane, rewrites(devices)),
        compiling + once * chunks * times,
    )


def together(costs: Sequence[Cost]) -> Cost:
    """Several, one after another."""
    return Cost(
        sum(c.trainings for c in costs),
        sum(c.model_steps for c in costs),
        max(c.lanes for c in costs),
        max(c.memory for c in costs),
        sum(c.seconds for c in costs),
    )


def _evaluation(
    job: Job, numbers: dict[str, np.ndarray], width: int, layout: Layout
) -> tuple[float, float]:
    """The time of the first evaluation of all lanes, which compiles it, and of each further one."""
    if job.task.valid is None:
        return 0.0, 0.0
    population = job.population(layout, numbers)
    first = {k: np.resize(v, width).astype(jnp.result_type(float)) for k, v in numbers.items()}
    lanes = population.start(jax.random.split(jax.random.key(0), width), first)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        jax.block_until_ready(population.evaluate(lanes, "valid"))  # type: ignore[no-untyped-call]
        times.append(time.perf_counter() - began)
    return times[0], times[1]
