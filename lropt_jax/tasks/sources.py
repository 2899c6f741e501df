"""Examples that stay on the host and are read when they are needed: files, data sets of libraries.

A `Source` reads any examples by their numbers, in whatever form the thing that it reads has them.
"""

from __future__ import annotations

import concurrent.futures
import os
import threading
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from lropt_jax.tasks.arrays import as_split, shape_of
from lropt_jax.tasks.mapped import file_of, place_of, rows_of

PROBED = 64  # examples whose values stand for all of them where data are compared

RANDOM_ACCESS = (
    "give something with len() and examples by their numbers, thing[numpy.array([3, 5])] or "
    "thing[3]: arrays, a numpy.memmap, a grain source, a Hugging Face or map-style torch data set"
)


class Some(dict[str, Any]):
    """A few examples that stand for many."""


class Source:
    """A split whose examples lie on the host.

    Args:
      name: the split's, for errors.
      given: a pytree of arrays, or anything with a length that gives examples by their numbers,
        several at once or one at a time.

      names: of the parts of an example that is a tuple, which becomes a dict.

    Attributes:
      given: the same.
      example: the shapes and dtypes of one example, a pytree.
      check: what raises `ValueError` for examples, a pytree of arrays, that do not fit the task.

    Raises:
      ValueError: for what cannot be read so; it says why, and what can.
    """

    def __init__(self, name: str, given: Any, names: tuple[str, ...] | None = None):
        self.name, self.given, self.names = name, given, names
        self.check: Callable[[Any], None] | None = None
        self._lock = threading.Lock()
        self._threads: tuple[int, Any] | None = None
        self._length = _length(name, given)
        self._read = _reader(name, given, self._length)
        first = self.read(np.zeros(1, np.int64))
        self.example = jax.tree.map(lambda x: shape_of(x.shape[1:], x.dtype), first)

    def __len__(self) -> int:
        return self._length

    @property
    def bytes(self) -> int:
        """Of one example."""
        return sum(
            int(np.prod(x.shape)) * np.dtype(x.dtype).itemsize
            for x in jax.tree.leaves(self.example)
        )

    def read(self, numbers: np.ndarray) -> Any:
        """The examples of these numbers, ascending and each once: a pytree of arrays."""
        with self._lock:  # few files can be read by two threads at once
            read = self._read(numbers)
            if self.names is not None:
                read = dict(zip(self.names, read, strict=True))
            arrays = as_split(self.name, read)
        if self.check is not None:
            self.check(arrays)
        return arrays

    def ahead(self, numbers: np.ndarray, rows: int, where: Any) -> concurrent.futures.Future[Any]:
        """The same in a thread, in arrays of so many rows, of which the last mean nothing.

        Args:
          numbers: as in `read`.
          rows: at least as many.
          where: the devices that the arrays are put on.
        """

        def placed() -> Any:
            padded = jax.tree.map(lambda x: _with_rows(x, rows), self.read(numbers))
            ready: Any = jax.block_until_ready
            return ready(jax.device_put(padded, where))

        process = os.getpid()
        if self._threads is None or self._threads[0] != process:  # a fork has no threads
            pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="lropt-data")
            self._threads = process, pool
        future: concurrent.futures.Future[Any] = self._threads[1].submit(placed)
        return future

    def identity(self) -> list[Any]:
        """What tells one data set from another without reading all of it."""
        if _is_arrays(self.given):
            return [_array_identity(x) for x in jax.tree.leaves(self.given)]
        return [len(self), str(self.example), self.some()]

    def some(self) -> Any:
        """A few of the examples, spread evenly."""
        read = self.read(np.unique(np.linspace(0, len(self) - 1, PROBED).astype(np.int64)))
        return Some(read) if isinstance(read, dict) else read

    def __reduce__(self) -> Any:
        if not _is_arrays(self.given):
            return Source, (self.name, self.given, self.names)
        leaves, structure = jax.tree.flatten(self.given)
        return _opened, (self.name, structure, [_closed(x) for x in leaves])


def is_hosted(split: Any) -> bool:
    """Whether a split stays on the host: it is no pytree of arrays in memory."""
    if hasattr(split, "__next__"):  # an iterator, which JAX takes for no leaf
        return True
    leaves = jax.tree.leaves(split)
    if any(file_of(x) is not None or _is_on_disk(x) for x in leaves):
        return True
    return len(leaves) == 1 and leaves[0] is split and not _is_array(split) and _is_container(split)


def _is_on_disk(x: Any) -> bool:
    """Whether it looks like an array but reads a file."""
    return type(x).__module__.partition(".")[0] in ("h5py", "zarr", "tensorstore")


def _is_array(x: Any) -> bool:
    return hasattr(x, "dtype") or hasattr(x, "__array__")


def _is_container(x: Any) -> bool:
    return hasattr(x, "__getitem__") or hasattr(x, "__iter__") or hasattr(x, "__next__")


def _is_arrays(given: Any) -> bool:
    return all(_is_array(x) for x in jax.tree.leaves(given))


def _length(name: str, given: Any) -> int:
    if not hasattr(given, "__next__") and _is_arrays(given):
        leaves = jax.tree.leaves(given)
        sizes = {x.shape[:1] for x in leaves}
        if len(sizes) > 1 or () in sizes:
            raise ValueError(
                f"the arrays of {name} must have the same number of examples, got {sizes}"
            )
        length = len(leaves[0])
    else:
        length = _counted(name, given)
    if not 0 < length < 2**31:
        raise ValueError(f"{name} must hold from 1 to 2**31 - 1 examples, got {length:,}")
    return length


def _counted(name: str, given: Any) -> int:
    kind = type(given).__name__
    if not hasattr(given, "__getitem__"):
        data = getattr(given, "dataset", None)
        inner = f": give its data set, {name}=loader.dataset" if data is not None else ""
        raise ValueError(
            f"{name} is a {kind}, which hands out examples in an order of its own{inner}; "
            f"{RANDOM_ACCESS}"
        )
    try:
        return len(given)
    except TypeError as error:
        raise ValueError(f"{name} is a {kind} without a length; {RANDOM_ACCESS}") from error


def _reader(name: str, given: Any, length: int) -> Callable[[np.ndarray], Any]:
    """How its examples are read: by an array of numbers, by a list of them, or one by one."""
    if _is_arrays(given):
        rows = jax.tree.map(rows_of, given)
        return lambda numbers: jax.tree.map(lambda read: read(numbers), rows)
    if hasattr(given, "__getitems__"):
        return lambda numbers: _stacked(given.__getitems__(numbers.tolist()))
    if all(_takes(given, np.linspace(0, length - 1, k).astype(int)) for k in (2, 3)):
        return lambda numbers: _columns(given[numbers])

    def one_by_one(numbers: np.ndarray) -> Any:
        return _stacked([given[int(i)] for i in numbers])

    try:
        one_by_one(np.zeros(1, np.int64))
    except Exception as error:
        raise ValueError(
            f"{name} is a {type(given).__name__} whose first example cannot be read: "
            f"{type(error).__name__}: {error}; {RANDOM_ACCESS}"
        ) from error
    return one_by_one


def _takes(given: Any, numbers: np.ndarray) -> bool:
    """Whether several examples come at once, with an axis of their own."""
    try:
        leaves = jax.tree.leaves(_columns(given[numbers]))
    except Exception:
        return False
    return bool(leaves) and all(x.shape[:1] == numbers.shape for x in leaves)


def _columns(batch: Any) -> Any:
    """A batch with its columns as arrays, which some libraries give as lists of values."""

    def is_column(x: Any) -> bool:
        return isinstance(x, list) and not (x and _is_array(x[0]))

    return jax.tree.map(np.asarray, batch, is_leaf=is_column)


def _stacked(examples: Any) -> Any:
    """Examples side by side; what is already a batch as it is."""
    if isinstance(examples, list) and examples:
        columns = [_columns(example) for example in examples]
        return jax.tree.map(lambda *x: np.stack([np.asarray(y) for y in x]), *columns)
    return examples


def _with_rows(array: np.ndarray, rows: int) -> np.ndarray:
    if len(array) == rows:
        return array
    whole = np.zeros((rows, *array.shape[1:]), array.dtype)
    whole[: len(array)] = array
    return whole


def _array_identity(array: Any) -> list[Any]:
    file = file_of(array)
    if file is None:
        return [array]
    stat = os.stat(str(file.filename))
    layout = [str(array.dtype), list(array.shape), list(array.strides), place_of(array, file)]
    return [*layout, stat.st_size, stat.st_mtime_ns]


def _closed(array: Any) -> Any:
    """An array that travels by the name of its file, where it has one."""
    file = file_of(array)
    if file is None or not array.flags.c_contiguous:
        return np.asarray(array)
    return str(file.filename), array.dtype.str, place_of(array, file), array.shape


def _opened(name: str, structure: Any, closed: list[Any]) -> Source:
    def opened(x: Any) -> Any:
        if not isinstance(x, tuple):
            return x
        file, dtype, offset, shape = x
        return np.memmap(file, dtype, mode="r", offset=offset, shape=shape)

    return Source(name, jax.tree.unflatten(structure, [opened(x) for x in closed]))
