"""How do the lanes lie on the machine, and how many at once?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from lropt_jax.sweeps.running.strategy import check_strategy, lane_bytes
from lropt_jax.tasks.task import Task
from lropt_jax.training.lanes import Lane

# Bytes of the states that train together on a CPU. Beyond them they leave its cache: on two cores
# 8 lanes of a 784-100-10 net were 2.5 times as fast as 32, 128 of a 64-32-10 net 1.4 times.
CACHE = 6e6
WIDEST = 128  # lanes on each device
MEMORY_SHARE = 0.5  # of an accelerator's memory


def strategy_of(strategy: str, seeds: int) -> str:
    """How lanes lie on a device, "auto" resolved.

    A test is over before trying would pay. With as many lanes as fit the cache, "vmap" is fast;
    where only one fits it runs alone, as in "map".

    Args:
      strategy: as in `lr_range_test`.
      seeds: how many there are.

    Raises:
      ValueError: for an unknown strategy, or "shared" with several seeds, whose batches differ.
    """
    check_strategy(strategy)
    if strategy == "shared" and seeds > 1:
        raise ValueError(f"strategy='shared' needs seeds of one, got {seeds}: batches differ")
    return "vmap" if strategy == "auto" else strategy


def lanes_at_once(task: Task, transformation: Any, devices: Sequence[Any]) -> int:
    """As many lanes as are useful and fit, at least one a device.

    Args:
      task: what they train.
      transformation: of some lane.
      devices: to run on.
    """
    lane = jax.eval_shape(_start(task, transformation), jax.random.key(0))
    stats = None if devices[0].platform == "cpu" else devices[0].memory_stats()
    if stats and "bytes_limit" in stats:
        fit = stats["bytes_limit"] * MEMORY_SHARE * len(devices) / lane_bytes(task, lane)
    else:
        trained = (lane.params, lane.model_state, lane.opt_state)
        fit = CACHE / max(1, sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(trained)))
    return max(len(devices), int(min(WIDEST * len(devices), fit)))


def _start(task: Task, transformation: Any) -> Callable[[Any], Lane]:
    def start(key: Any) -> Lane:
        params, model_state = task.init(key)
        opt_state = transformation.init(params)
        return Lane(params, model_state, opt_state, key, jnp.zeros((), jnp.int32))

    return start
