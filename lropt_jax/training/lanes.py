"""What is a lane, a segment, a visit? Read this first; everything else in this wing works on these.

A **lane** is one model in training: parameters, what else the model carries, the optimizer's
state, a key and a count of updates. Nothing else is needed to go on, on any machine.

A **segment** takes a lane through some updates in one compiled loop, with the data on the device
(`segment.py`). It is fed which examples each update sees. How many updates it makes is data, so
one program serves every length; where a segment ends changes no bit.

A **visit** is when the host looks in between segments: it evaluates, shows the schedules what it
has seen, saves, prunes (`run.py`). An `Itinerary` says when (`visits.py`).

A **population** is lanes that share their code: a task and an optimizer (`population.py`). Their
numbers differ, since these are data in the optimizer's state. No lane ever reads another, so one
that diverges leaves the others as they are, to the bit. A fit is a population of one.

A **layout** says how lanes lie on the machine: at once by `vmap`, in turn by `map`, in blocks, over
several devices by `shard_map` (`layout.py`).

What is random in a lane comes from its key alone: update t draws from the key folded with t, and
the order of its examples in epoch e from the key's words and e. So a lane's future is the same
whatever trains beside it, and wherever it was interrupted.
"""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import numpy as np


class Lane(NamedTuple):
    """One model in training.

    Attributes:
      params: the parameters.
      model_state: what else the model carries (batch statistics), or an empty tree.
      opt_state: the optimizer's state.
      key: the lane's random key; step t draws from it folded with t.
      step: updates taken so far, int32.
    """

    params: Any
    model_state: Any
    opt_state: Any
    key: jax.Array
    step: jax.Array


class Feed(NamedTuple):
    """What a segment is fed, for at most `capacity` updates.

    Attributes:
      order: the examples of each microbatch, int32 (microbatches, batch size).
      starts: the first microbatch of each update, int32 (capacity + 1,), or None when every
        update takes one; update i takes microbatches `starts[i]` to `starts[i + 1] - 1`.
      settings: hyperparameters to set before each update, by name, (capacity,).
    """

    order: Any
    starts: Any = None
    settings: Mapping[str, Any] = {}  # a NamedTuple default, never mutated


class Fetched:
    """What a segment is fed, with the examples that it sees, which are on their way to the devices.

    Args:
      feed: the feed, its examples numbered as they lie in `examples`.
      examples: a future of a pytree of arrays.
    """

    def __init__(self, feed: Feed, examples: concurrent.futures.Future[Any]):
        self.feed, self.examples = feed, examples


class BatchOrder:
    """In which order a lane sees its training examples.

    A fresh permutation each epoch, the last partial batch dropped, drawn on the host from the
    lane's key: on a CPU NumPy permutes thirty times faster than JAX.

    Args:
      words: the key's words (`jax.random.key_data`).
      examples: in the training split.
      batch_size: of a microbatch.
      read: bytes of an example that is read on the host; 0 where the data lie on the device.
    """

    def __init__(self, words: np.ndarray, examples: int, batch_size: int, read: int = 0):
        self.words = tuple(int(w) for w in words)
        self.batch_size, self.read, self._examples = batch_size, read, examples
        self._per_epoch = examples // batch_size
        self._epoch = functools.lru_cache(maxsize=4)(self._draw)

    def _draw(self, epoch: int) -> np.ndarray:
        order = np.random.default_rng([*self.words, epoch]).permutation(self._examples)
        whole = order[: self._per_epoch * self.batch_size]
        return whole.reshape(self._per_epoch, self.batch_size).astype(np.int32)

    def __call__(self, start: int, stop: int) -> np.ndarray:
        """The examples of microbatches `start` to `stop - 1`, (stop - start, batch size)."""
        parts = []
        while start < stop:
            epoch, first = divmod(start, self._per_epoch)
            last = min(self._per_epoch, first + stop - start)
            parts.append(self._epoch(epoch)[first:last])
            start += last - first
        return np.concatenate(parts) if parts else np.zeros((0, self.batch_size), np.int32)
