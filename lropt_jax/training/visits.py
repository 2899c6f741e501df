"""When the host visits a training: its segments, its evaluations and its microbatches."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.schedules import as_schedule
from lropt_jax.training.lanes import BatchOrder, Feed
from lropt_jax.validation import is_scalar, whole_number

LONGEST_SEGMENT = 1024  # updates: bounds how long a visit waits
SHORTEST_ROOM = 128  # updates: the host's part of a segment is small beside so many
READ_BYTES = 2**25  # of examples that are read on the host for a segment
FEED_BYTES = 2**20  # that a feed should not exceed: all of it goes to the devices each time


class Room(NamedTuple):
    """What a segment has room for: the shapes of its feed.

    It depends on the task and the population alone, and not on how long they train, so that a
    training of another length, or with other evaluations, needs no other program.

    Attributes:
      updates: at most.
      microbatches: at most.
    """

    updates: int
    microbatches: int


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

    def room(self, orders: Sequence[BatchOrder]) -> Room:
        """What a segment of lanes with these orders, one a lane, has room for."""
        fit = FEED_BYTES // (4 * len(orders) * orders[0].batch_size)
        updates = min(LONGEST_SEGMENT, max(SHORTEST_ROOM, power_of_two(fit + 1) // 2))
        if read := len({o.words for o in orders}) * orders[0].batch_size * orders[0].read:
            updates = max(1, min(updates, power_of_two(READ_BYTES // read + 1) // 2))
        if self.microbatches is None:
            return Room(updates, updates)
        return Room(updates, max(updates, power_of_two(int(np.diff(self.microbatches).max()))))

    def fitting(self, room: Room, first: int | np.ndarray, stop: int | np.ndarray) -> int:
        """How many updates a segment may make that begins at `first`; lanes may be apart."""
        updates = min(room.updates, int(np.min(np.subtract(stop, first))))
        if self.microbatches is None:
            return updates
        starts = self.microbatches[first]
        last = np.searchsorted(self.microbatches, starts + room.microbatches, side="right") - 1
        return min(updates, int(np.min(last - first)))

    def segments(self, start: int, stop: int, room: Room) -> Iterator[tuple[int, int]]:
        """The segments, `(first, last)`, between two evaluations."""
        while start < stop:
            last = start + self.fitting(room, start, stop)
            yield start, last
            start = last

    def updates_at(self, evaluation: int) -> int:
        """After how many updates an evaluation is, the first being 1; 0 before it."""
        return min(evaluation * self.eval_every, self.steps)

    def evaluations_made(self, step: np.ndarray) -> np.ndarray:
        """How many evaluations lie behind lanes that have taken `step` updates."""
        whole = -(-self.steps // self.eval_every)
        return np.where(step < self.steps, step // self.eval_every, whole)

    def next_evaluation(self, step: np.ndarray) -> np.ndarray:
        """After how many updates the next evaluation is, for lanes that have taken `step`."""
        return ((self.evaluations_made(step) + 1) * self.eval_every).clip(max=self.steps)

    def last_evaluation(self, step: np.ndarray) -> np.ndarray:
        """After how many updates the last evaluation was, 0 before the first."""
        return (self.evaluations_made(step) * self.eval_every).clip(max=self.steps)

    def feed(
        self, orders: list[BatchOrder], first: int | np.ndarray, last: int | np.ndarray
    ) -> Feed:
        """What lanes are fed from update `first` to `last - 1`, padded to the room there is.

        Args:
          orders: one a lane.
          first, last: one number, or one a lane; all lanes make equally many updates.
        """
        room = self.room(orders)
        firsts, lasts = (np.broadcast_to(x, len(orders)).tolist() for x in (first, last))
        spans = list(zip(firsts, lasts, strict=True))
        if self.microbatches is None:
            order = [order(*span) for order, span in zip(orders, spans, strict=True)]
            return Feed(_padded(order, room.microbatches))
        starts = [self.microbatches[a : b + 1] for a, b in spans]
        order = [o(int(s[0]), int(s[-1])) for o, s in zip(orders, starts, strict=True)]
        offsets = np.stack(
            [np.pad(s - s[0], (0, room.updates + 1 - len(s)), "edge") for s in starts]
        )
        return Feed(_padded(order, room.microbatches), offsets.astype(np.int32))


def itinerary(steps: int, eval_every: int | None, accumulate: Any = None) -> Itinerary:
    """An `Itinerary` from a user's arguments.

    Raises:
      ValueError: when `steps`, `eval_every` or a value of `accumulate` is not a whole number >= 1.
    """
    steps = whole_number("steps", steps)
    every = steps if eval_every is None else min(whole_number("eval_every", eval_every), steps)
    if accumulate is None:
        return Itinerary(steps, every)
    counts = _curve(accumulate, steps)
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


def _curve(number: Any, steps: int) -> np.ndarray:
    """A number or a schedule over the updates, in parts of one shape."""
    if is_scalar(number):
        return np.full(steps, float(number))
    values = jax.vmap(as_schedule(number, "accumulate"))
    try:
        parts = [
            values(first + jnp.arange(LONGEST_SEGMENT))
            for first in range(0, steps, LONGEST_SEGMENT)
        ]
    except jax.errors.ConcretizationTypeError:  # plain Python that asks a count how large it is
        return np.array([float(number(count)) for count in range(steps)])
    return np.concatenate(parts)[:steps]


def power_of_two(least: int) -> int:
    """The smallest power of two that is not below."""
    return 1 << max(least - 1, 0).bit_length()


def _padded(parts: list[np.ndarray], length: int) -> np.ndarray:
    order = np.zeros((len(parts), length, parts[0].shape[1]), np.int32)
    for row, part in zip(order, parts, strict=True):
        row[: len(part)] = part
    return order
