"""What models score that have learned nothing."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from lropt_jax.tasks.sources import Source
from lropt_jax.tasks.task import Task
from lropt_jax.training.layout import jit_once


def untrained(task: Task, metric: str, seeds: int, examples: int) -> np.ndarray | None:
    """A metric of models before their first update, on the first examples of the validation split.

    Args:
      task: what would be trained.
      metric: its name in what `task.evaluate` returns.
      seeds: how many models, from seed 0 on.
      examples: at most.

    Returns:
      One value a model, (seeds,); None where it is no mean over examples, or those lie on the disk.
    """
    if isinstance(task.valid, Source):
        return None
    batch = jax.tree.map(lambda x: np.asarray(x[:examples]), task.valid)

    @jit_once
    def values(key: jax.Array, batch: Any) -> Any:
        return task.evaluate(*task.init(key), batch)

    found = [values(jax.random.key(seed), batch) for seed in range(seeds)]
    if metric not in found[0]:
        return None
    return np.array([np.mean(one[metric]) for one in found], float)
