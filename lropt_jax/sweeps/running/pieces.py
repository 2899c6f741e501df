"""What is one piece of work? A queue of lanes from one evaluation to another, as a pure task.

A piece takes lane state and returns lane state, so it can run anywhere: in this process with its
progress saved after each segment, or on another machine.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from lropt_jax.sweeps.keeping.models import Keep
from lropt_jax.sweeps.running.strategy import Resolved
from lropt_jax.training.visits import Itinerary

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass
class State:
    """Lanes as they stand, on the host.

    Attributes:
      leaves: the lanes' arrays, each (lanes, ...).
      diverged_at: updates taken before the first non-finite value, or -1, (lanes,).
    """

    leaves: list[np.ndarray]
    diverged_at: np.ndarray

    def rows(self, which: Sequence[int] | np.ndarray) -> State:
        """The state of some lanes, copied."""
        chosen = np.asarray(which, int)
        return State([x[chosen] for x in self.leaves], self.diverged_at[chosen])


@dataclasses.dataclass
class Piece:
    """A queue of lanes from one evaluation to another.

    Attributes:
      name: unique in the sweep.
      group: whose job it is.
      lanes: `(trial, seed number)` of each lane.
      seeds: the seed of each lane.
      numbers: the hyperparameters of each lane, by name.
      first, last: the evaluations that it makes, as numbers in the itinerary, `last` not included.
      width: lanes of the program; when there are more, the others wait for a free place.
      state: the lanes to go on with, or None to begin.
      replaced: whether `numbers` replace those in the state.
      keep: whether the lanes are needed afterwards.
      best: of which lanes the trained arrays are wanted, at the plan's end; None for none.
    """

    name: str
    group: int
    lanes: list[tuple[int, int]]
    seeds: np.ndarray
    numbers: Arrays
    first: int
    last: int
    width: int
    state: State | None = None
    replaced: bool = False
    keep: bool = False
    best: Keep | None = None

    def updates(self, itinerary: Itinerary) -> int:
        """The updates of each lane."""
        return itinerary.updates_at(self.last) - itinerary.updates_at(self.first)


@dataclasses.dataclass
class Rows:
    """The arrays of some lanes of a piece.

    Attributes:
      lanes: their numbers in the piece, (rows,).
      leaves: their arrays, each (rows, ...).
    """

    lanes: np.ndarray
    leaves: list[np.ndarray]


@dataclasses.dataclass
class Snapshot:
    """A piece as far as it has come.

    Attributes:
      step: updates taken by each lane, (lanes,).
      ended: the lanes that are at their end: the piece's, or a divergence, (lanes,).
      metrics: each metric at the piece's evaluations, (lanes, evaluations); NaN where none was.
      final: each metric over whole splits after the last update, (lanes,).
      totals: see `Run`, (lanes,).
      diverged_at: see `State`.
      under_way: the arrays of the lanes that are neither waiting nor ended.
      kept: the arrays of the lanes that have ended, in the order in which they did; empty where
        they are not needed any more.
    """

    step: np.ndarray
    ended: np.ndarray
    metrics: Arrays
    final: Arrays
    totals: Arrays
    diverged_at: np.ndarray
    under_way: Rows | None
    kept: list[Rows]

    @property
    def done(self) -> bool:
        """Whether all lanes have ended."""
        return bool(self.ended.all())

    def last(self, metric: str) -> np.ndarray:
        """A metric at the last evaluation, (lanes,); NaN for lanes that never came there."""
        seen = self.metrics.get(metric)
        return np.full(len(self.step), np.nan) if seen is None else seen[:, -1]

    @property
    def state(self) -> State:
        """The lanes of a piece that is done, and whose lanes were kept."""
        order = np.argsort(np.concatenate([rows.lanes for rows in self.kept]))
        columns = zip(*(rows.leaves for rows in self.kept), strict=True)
        return State([np.concatenate(column)[order] for column in columns], self.diverged_at)


class Watch:
    """Takes notice of what happens inside a piece; this one of nothing."""

    def seen(self, piece: Piece, snapshot: Snapshot) -> None:
        """Called with a piece that runs here, after each of its evaluations."""

    def ended(self, piece: Piece, snapshot: Snapshot, rows: Rows) -> None:
        """Called with lanes of a piece with `best` as they end; others may never be told."""


NOBODY = Watch()


class Runner(Protocol):
    """Runs pieces, in any order, here or elsewhere.

    Attributes:
      chunks: how many widths of lanes to give to a piece.
      resolved: how each group runs.
      read_back: model-steps that had been trained before.
    """

    chunks: int
    resolved: list[Resolved]
    read_back: int

    def __call__(
        self, pieces: Iterable[Piece], watch: Watch = NOBODY
    ) -> Iterator[tuple[Piece, Snapshot]]:
        """The pieces as they are done, each with what it has come to."""
