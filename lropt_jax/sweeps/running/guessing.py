"""How do lanes lie best, as far as that is known before any is timed? What fits into the cache."""

from __future__ import annotations

import functools
import math
import pathlib
from typing import Any

import jax
import numpy as np

from lropt_jax.tasks.examples import batch_of
from lropt_jax.tasks.task import Task
from lropt_jax.training.fast_forms import for_gradient, rewrites
from lropt_jax.training.lanes import Lane
from lropt_jax.training.population import is_key

CACHE_SHARE = 0.25  # of the last cache, for the lanes that train at one time
UNKNOWN_CACHE = 32e6  # bytes, where the system does not tell


def guess(task: Task, lane: Lane, local: int, one_seed: bool, devices: tuple[Any, ...]) -> str:
    """The strategy for so many lanes on each device.

    On a CPU those that train at one time should stay in its last cache: lanes whose parameters,
    moments, gradient and activations are too many for it run in blocks, or one after another.
    Small ones run at once, which costs least for each.

    Args:
      task: what they train.
      lane: its shapes.
      local: lanes on each device.
      one_seed: whether all of them see the same batches.
      devices: to run on.
    """
    if local == 1:
        return "vmap"  # one lane alone on a device runs as it is
    block = local
    if devices[0].platform == "cpu":
        fit = (
            CACHE_SHARE
            * _last_cache()
            / (len(devices) * trained_bytes(task, lane, rewrites(devices)))
        )
        block = 2 ** round(math.log2(max(fit, 1)))
    if block >= local:
        return "shared" if one_seed else "vmap"
    return "map" if block == 1 else f"map:{block}"


def trained_bytes(task: Task, lane: Lane, fast: bool) -> int:
    """About the bytes that an update of a lane goes through."""
    return bytes_of(lane) + bytes_of(lane.params) + backward_bytes(task, lane, fast)


def backward_bytes(task: Task, lane: Lane, fast: bool) -> int:
    """What the backward pass keeps of a batch.

    Args:
      task: what is trained.
      lane: its shapes.
      fast: whether convolutions and poolings are rewritten.
    """
    loss = for_gradient(task.loss) if fast else task.loss

    def kept(lane: Lane, batch: Any) -> Any:
        def of_params(params: Any) -> Any:
            return loss(params, lane.model_state, batch, lane.key)[0]

        return jax.vjp(of_params, lane.params)[1]

    return bytes_of(jax.eval_shape(kept, lane, batch_of(task.train, task.batch_size)))


def bytes_of(tree: Any) -> int:
    """Of all arrays of a tree, or of their shapes."""

    def size(x: Any) -> int:
        itemsize = 8 if is_key(x) else int(np.dtype(x.dtype).itemsize)
        return int(math.prod(x.shape)) * itemsize

    return sum(size(x) for x in jax.tree.leaves(tree))


@functools.cache
def _last_cache() -> float:
    """Bytes of the largest cache of a CPU."""
    sizes = [0.0]
    for file in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*/size"):
        try:
            words = file.read_text().strip()
            sizes.append(float(words[:-1]) * {"K": 2**10, "M": 2**20}[words[-1]])
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return max(sizes) or UNKNOWN_CACHE
