"""Rows of memory-mapped files, read from the file and not through its mapping.

Pages that are mapped count as a process's memory, and the system maps many beside each that is
asked for: training on a file by its mapping takes as much memory as the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

AT_ONCE = 2**20  # bytes of a file that are read at once, about
BETWEEN = 2**12  # bytes that are read for nothing rather than in two pieces


def rows_of(array: Any) -> Callable[[np.ndarray], Any]:
    """What gives rows of an array by their ascending numbers."""
    file = file_of(array)
    if file is None or array.strides[0] < 0 or not array[:1].flags.c_contiguous:
        return lambda numbers: array[numbers]
    read = _Rows(array, file)
    return read if read.are_there() else lambda numbers: array[numbers]


class _Rows:
    """Rows of an array that a file holds, each in one piece."""

    def __init__(self, array: Any, file: np.memmap[Any, Any]):
        self._array, self._path, self._mode = array, str(file.filename), file.mode
        self._place = place_of(array, file)
        self._step, self._size = array.strides[0], array[:1].nbytes
        self._file = _name_of(self._path)

    def are_there(self) -> bool:
        """Whether the file of this name is the one that is mapped, as far as two rows tell."""
        if self._file is None or self._mode == "c":  # what is written stays in this process
            return False
        ends = np.unique([0, len(self._array) - 1])
        try:
            return bool(self(ends).tobytes() == self._array[ends].tobytes())
        except OSError:
            return False

    def __call__(self, numbers: np.ndarray) -> Any:
        if _name_of(self._path) != self._file:  # another one lies there now; the mapping remains
            return self._array[numbers]
        rows = np.empty((len(numbers), *self._array.shape[1:]), self._array.dtype)
        if rows.nbytes:
            into = rows.reshape(-1).view(np.uint8).reshape(len(rows), self._size)
            with open(self._path, "rb", buffering=0) as opened:
                for part in self._spans(numbers):
                    into[part] = self._span(opened, numbers[part])
        return rows

    def _spans(self, numbers: np.ndarray) -> Iterator[slice]:
        """Those of rows that are read at once: with little between them."""
        places = numbers * self._step
        apart = np.diff(places) > self._size + BETWEEN
        ends = np.flatnonzero(apart | (np.diff(places // AT_ONCE) > 0)) + 1
        return map(slice, [0, *ends.tolist()], [*ends.tolist(), len(numbers)])

    def _span(self, opened: io.FileIO, numbers: np.ndarray) -> np.ndarray:
        first = int(numbers[0])
        rows = int(numbers[-1]) - first + 1
        bytes_ = np.empty((rows - 1) * self._step + self._size, np.uint8)
        opened.seek(self._place + first * self._step)
        filled = 0
        while filled < len(bytes_):
            more = opened.readinto(bytes_.data[filled:])
            if not more:
                raise OSError(f"{self._path} has become shorter than the array that it holds")
            filled += more
        shape = rows, self._size
        held = np.lib.stride_tricks.as_strided(bytes_, shape, (self._step, 1), writeable=False)
        return held if len(numbers) == rows else held[numbers - first]


def file_of(x: Any) -> np.memmap[Any, Any] | None:
    """The memory-mapped file that an array is a view of."""
    found = None
    while isinstance(x, np.ndarray):
        if isinstance(x, np.memmap) and x.filename is not None:
            found = x
        x = x.base
    return found


def place_of(array: Any, file: np.memmap[Any, Any]) -> int:
    """Where in its file the first number of an array is, in bytes."""
    where = array.__array_interface__["data"][0] - file.__array_interface__["data"][0]
    return int(file.offset + where)


def _name_of(path: str) -> tuple[int, int] | None:
    """What tells a file from another one of the same name."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino
