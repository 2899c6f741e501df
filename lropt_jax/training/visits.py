"""When the host visits a training: its segments, its evaluations and its microbatches."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.schedules import as_schedule
from lropt_jax.training.segment import BatchOrder, Feed
from lropt_jax.validation import whole_number

LONGEST_SEGMENT = 1024  # updates: bounds the host's part of a feed, and how long a visit waits


@dataclasses.dataclass(frozen=True)
class Itinerary:
    """When the host visits: the updates of each segment and the microbatches of each update.

    Attributes:
      steps: updates in all.
      eval_every: updates between evaluations.
      microbatches: int array (steps + 1,), the first microbatch of each update; None when every
        update takes one.
    """

    steps: int
    eval_every: int
    microbatches: np.ndarray | None = None

    @property
    def evaluations(self) -> list[int]:
        """After how many updates there is an evaluation; always after the last."""
        stops = range(self.eval_every, self.steps, self.eval_every)
        return [*stops, self.steps]

    @property
    def capacity(self) -> int:
        """Updates in the longest segment."""
        return min(self.eval_every, self.steps, LONGEST_SEGMENT)

    def segments(self, start: int, stop: int) -> Iterator[tuple[int, int]]:
        """The segments, `(first, last)`, between two evaluations."""
        for first in range(start, stop, self.capacity):
            yield first, min(first + self.capacity, stop)

    def evaluations_made(self, step: np.ndarray) -> np.ndarray:
        """How many evaluations lie behind lanes that have taken `step` updates."""
        return np.searchsorted(self.evaluations, step, side="right")

    def next_evaluation(self, step: np.ndarray) -> np.ndarray:
        """After how many updates the next evaluation is, for lanes that have taken `step`."""
        return np.take([*self.evaluations, self.steps], self.evaluations_made(step))

    def last_evaluation(self, step: np.ndarray) -> np.ndarray:
        """After how many updates the last evaluation was, 0 before the first."""
        return np.take([0, *self.evaluations], self.evaluations_made(step))

    def feed(
        self, orders: list[BatchOrder], first: int | np.ndarray, last: int | np.ndarray
    ) -> Feed:
        """What lanes are fed from update `first` to `last - 1`, padded to capacity.

        Args:
          orders: one a lane.
          first, last: one number, or one a lane; all lanes make equally many updates.
        """
        firsts, lasts = (np.broadcast_to(x, len(orders)).tolist() for x in (first, last))
        spans = list(zip(firsts, lasts, strict=True))
        if self.microbatches is None:
            order = [order(*span) for order, span in zip(orders, spans, strict=True)]
            return Feed(_padded(order, self.capacity))
        starts = [self.microbatches[a : b + 1] for a, b in spans]
        order = [o(int(s[0]), int(s[-1])) for o, s in zip(orders, starts, strict=True)]
        offsets = np.stack(
            [np.pad(s - s[0], (0, self.capacity + 1 - len(s)), "edge") for s in starts]
        )
        return Feed(_padded(order, self._most_microbatches), offsets.astype(np.int32))

    @property
    def _most_microbatches(self) -> int:
        """Microbatches in the largest segment, so that all have one shape."""
        assert self.microbatches is not None
        stops = [0, *self.evaluations]
        spans = [
            self.microbatches[last] - self.microbatches[first]
            for start, stop in itertools.pairwise(stops)
            for first, last in self.segments(start, stop)
        ]
        return int(max(spans))


def itinerary(steps: int, eval_every: int | None, accumulate: Any = None) -> Itinerary:
    """An `Itinerary` from a user's arguments.

    Raises:
      ValueError: when `steps`, `eval_every` or a value of `accumulate` is not a whole number >= 1.
    """
    steps = whole_number("steps", steps)
    every = steps if eval_every is None else min(whole_number("eval_every", eval_every), steps)
    if accumulate is None:
        return Itinerary(steps, every)
    counts = np.asarray(jax.vmap(as_schedule(accumulate))(jnp.arange(steps)))
    rounded = np.round(counts)
    if (
        not np.all(np.isfinite(counts))
        or np.any(rounded < 1)
        or np.any(abs(counts - rounded) > 1e-3)
    ):
        raise ValueError(
            "accumulate must be a whole number of microbatches >= 1 at every update, "
            f"got values from {counts.min():g} to {counts.max():g}"
        )
    return Itinerary(steps, every, np.concatenate([[0], np.cumsum(rounded.astype(np.int64))]))


def _padded(parts: list[np.ndarray], length: int) -> np.ndarray:
    order = np.zeros((len(parts), length, parts[0].shape[1]), np.int32)
    for row, part in zip(order, parts, strict=True):
        row[: len(part)] = part
    return order
