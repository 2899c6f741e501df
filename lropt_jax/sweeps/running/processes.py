"""One program on many hosts: under `jax.distributed` each process trains its share of the pieces.

Pieces do not talk to each other; between rungs the processes exchange what they have come to, so
that all of them decide alike and hold the whole table.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lropt_jax.sweeps.running.pieces import NOBODY, Piece, Runner, Snapshot, Watch


class AcrossProcesses:
    """Runs every n-th piece here and learns of the others from the other processes.

    Args:
      run: runs pieces on this process's devices.

    Attributes:
      chunks: one width a piece, so that all processes have their share.
      resolved: how each group runs, as the first process found it.
      read_back: model-steps that any of them had trained before.
    """

    chunks = 1
    read_back = 0

    def __init__(self, run: Runner):
        self._run = run
        run.resolved = self.resolved = exchanged(run.resolved)[0]

    def __call__(
        self, pieces: Iterable[Piece], watch: Watch = NOBODY
    ) -> Iterator[tuple[Piece, Snapshot]]:
        everything = list(pieces)
        own = everything[jax.process_index() :: jax.process_count()]
        outcomes = {piece.name: outcome for piece, outcome in self._run(own, watch)}
        known: dict[str, Snapshot] = {}
        self.read_back = 0
        for theirs, read_back in exchanged((outcomes, self._run.read_back)):
            known |= theirs
            self.read_back += read_back
        for piece in everything:
            yield piece, known[piece.name]


def exchanged(value: Any) -> list[Any]:
    """Each process's value, in the order of the processes. All must call it."""
    from jax.experimental import multihost_utils

    packed = np.frombuffer(pickle.dumps(value), np.uint8)
    gather: Any = multihost_utils.process_allgather
    lengths = np.asarray(gather(np.array(len(packed), np.int32))).ravel()
    padded = np.zeros(int(lengths.max()), np.uint8)
    padded[: len(packed)] = packed
    rows = np.asarray(gather(padded)).reshape(len(lengths), -1)
    return [pickle.loads(row[:n].tobytes()) for row, n in zip(rows, lengths, strict=True)]


def own_directory(directory: Any) -> Path:
    """The first process's directory is the one that was named; each other has one beside it."""
    path, index = Path(directory), jax.process_index()
    return path if index == 0 else path.with_name(f"{path.name}-process{index}")
