"""Which lanes of a piece may be the best? They are held as they end, and let go when others are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from lropt_jax.sweeps.keeping.models import Champions, Keep, Lane, Leaves, rows_of
from lropt_jax.sweeps.running.pieces import Piece, Rows, Snapshot, Watch


class HoldsBest(Watch):
    """Takes the arrays of lanes as they end, of those that may be among the best.

    Args:
      keep: how many, and by what.
      put: takes a lane's arrays.
      drop: lets go of those of a lane.
    """

    def __init__(
        self, keep: Keep, put: Callable[[Lane, Leaves], None], drop: Callable[[Lane], Any]
    ):
        self.keep, self._metric = keep, keep.metric
        self._champions = Champions(keep, put, drop)

    def ended(self, piece: Piece, snapshot: Snapshot, rows: Rows) -> None:
        values = snapshot.last(self._metric)
        for row, number in enumerate(rows.lanes):
            leaves = rows_of(rows.leaves, row)
            self._champions.offer(piece.lanes[number], float(values[number]), leaves)

    def recall(self, piece: Piece, snapshot: Snapshot) -> None:
        """Learns of the lanes of a piece that ended where this was not told: their arrays lie in
        their place."""
        values = snapshot.last(self._metric)
        for number, lane in enumerate(piece.lanes):
            if not self._champions.knows(lane):
                self._champions.offer(lane, float(values[number]), None)


class Holding:
    """The best lanes of a piece, held in memory.

    Attributes:
      watch: what takes them.
    """

    def __init__(self, piece: Piece, keep: Keep):
        self._held: dict[Lane, Leaves] = {}
        self._numbers = {lane: number for number, lane in enumerate(piece.lanes)}
        self.watch = HoldsBest(keep, self._held.__setitem__, self._let_go)

    @property
    def kept(self) -> list[Rows]:
        """What is held."""
        if not self._held:
            return []
        columns = zip(*self._held.values(), strict=True)
        numbers = np.array([self._numbers[lane] for lane in self._held])
        return [Rows(numbers, [np.stack(column) for column in columns])]

    def _let_go(self, lane: Lane) -> None:
        self._held.pop(lane, None)
