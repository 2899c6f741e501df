"""Rows of memory-mapped files, read from the file and not through its mapping.

Pages that are mapped count as a process's memory, and the system maps many beside each that is
asked for: training on a file by its mapping takes as much memory as the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import numpy as np

AT_ONCE = 2**19  # bytes of a file that are read at once, about
BETWEEN = 2**15  # bytes that are read for nothing, which is as quick as another call


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
            into = rows.reshape(-1).view(np.uint8).data
            with open(self._path, "rb", buffering=0) as opened:
                self._read(opened, numbers, into)
        return rows

    def _read(self, opened: io.FileIO, numbers: np.ndarray, into: memoryview) -> None:
        """The bytes of rows, span by span: what is read at once, with little between its rows.

        Where nothing lies between them they go to their place at once. A batch of scattered rows is
        made of such spans, of one row each, so that the loop holds nothing but what these need.
        """
        step, size = self._step, self._size
        places = numbers * step
        apart = np.diff(places) > size + BETWEEN
        ends = np.flatnonzero(apart | (np.diff(places // AT_ONCE) > 0)) + 1
        starts, stops = np.append(0, ends), np.append(ends, len(numbers))
        length = places[stops - 1] - places[starts] + size
        rows = stops - starts
        whole = (rows == 1) | ((step == size) & (length == rows * size))
        between = np.empty(length[~whole].max(initial=0), np.uint8)
        spans = starts, stops, places[starts] + self._place, length, whole
        for start, stop, place, bytes_, is_whole in zip(*(x.tolist() for x in spans), strict=True):
            opened.seek(place)
            if is_whole:
                self._fill(opened, into[start * size : stop * size])
                continue
            self._fill(opened, between.data[:bytes_])
            shape = int(numbers[stop - 1] - numbers[start]) + 1, size
            held = np.lib.stride_tricks.as_strided(between, shape, (step, 1), writeable=False)
            wanted = np.frombuffer(into[start * size : stop * size], np.uint8).reshape(-1, size)
            # All are there; "raise" would copy once more.
            held.take(numbers[start:stop] - numbers[start], axis=0, out=wanted, mode="clip")

    def _fill(self, opened: io.FileIO, found: memoryview) -> None:
        filled = 0
        while filled < len(found):
            more = opened.readinto(found[filled:])
            if not more:
                raise OSError(f"{self._path} has become shorter than the array that it holds")
            filled += more


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
