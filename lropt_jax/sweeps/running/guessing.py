"""How do lanes lie best, as far as that is known before any is timed? What fits into the cache."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
from typing import Any

import jax
import numpy as np

from lropt_jax.schedules.fingerprint import Fingerprint
from lropt_jax.tasks.examples import batch_of
from lropt_jax.tasks.task import Task
from lropt_jax.training.fast_forms import for_gradient, rewrites
from lropt_jax.training.lanes import Lane
from lropt_jax.training.population import is_key

CACHE_SHARE = 1 / 3  # of a core's own cache, for the lanes that train at one time
LEAST_CACHE = 0.5e6  # bytes; with less at one time there is more to start than to compute
UNKNOWN_CACHE = 2e6  # bytes, where the system does not tell
CACHED = 128  # traced functions that are kept


def guess(task: Task, lane: Lane, local: int, one_seed: bool, devices: tuple[Any, ...]) -> str:
    """The strategy for so many lanes on each device.

    On a CPU those that train at one time should stay in the cache that a core has for itself (of
    the last one, which all share, a virtual machine sees more than its part): lanes whose
    parameters, moments, gradient and activations are too many for it run in blocks, or one after
    another. Small ones run at once, which costs least for each.

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
        cache = max(CACHE_SHARE * _own_cache(), LEAST_CACHE)
        fit = cache / trained_bytes(task, lane, rewrites(devices))
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
    return _kept(
        Fingerprint(task.loss), fast, Shapes.of((lane, batch_of(task.train, task.batch_size)))
    )


@functools.lru_cache(CACHED)
def _kept(loss: Fingerprint[Any], fast: bool, shapes: Shapes) -> int:
    function = for_gradient(loss.function) if fast else loss.function

    def kept(lane: Lane, batch: Any) -> Any:
        def of_params(params: Any) -> Any:
            return function(params, lane.model_state, batch, lane.key)[0]

        return jax.vjp(of_params, lane.params)[1]

    return bytes_of(jax.eval_shape(kept, *shapes.tree()))


@dataclasses.dataclass(frozen=True)
class Shapes:
    """Those of a tree's arrays, as a key for what is found by tracing them."""

    structure: Any
    leaves: tuple[jax.ShapeDtypeStruct, ...]

    @classmethod
    def of(cls, tree: Any) -> Shapes:
        """The shapes of a tree of arrays, or of their shapes."""
        leaves, structure = jax.tree.flatten(tree)
        shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in leaves]  # type: ignore[no-untyped-call]
        return cls(structure, tuple(shapes))

    def tree(self) -> Any:
        """The tree of shapes."""
        return jax.tree.unflatten(self.structure, self.leaves)


def bytes_of(tree: Any) -> int:
    """Of all arrays of a tree, or of their shapes."""

    def size(x: Any) -> int:
        itemsize = 8 if is_key(x) else int(np.dtype(x.dtype).itemsize)
        return int(math.prod(x.shape)) * itemsize

    return sum(size(x) for x in jax.tree.leaves(tree))


@functools.cache
def _own_cache() -> float:
    """Bytes of the largest cache that a core of this CPU has for itself."""
    sizes = [0.0]
    for index in pathlib.Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        try:
            words = (index / "size").read_text().strip()
            threads = (index / "shared_cpu_list").read_text().strip()
            siblings = pathlib.Path("/sys/devices/system/cpu/cpu0/topology/thread_siblings_list")
            if threads == siblings.read_text().strip():
                sizes.append(float(words[:-1]) * {"K": 2**10, "M": 2**20}[words[-1]])
        except (OSError, ValueError, KeyError, IndexError):
            continue
    return max(sizes) or UNKNOWN_CACHE
