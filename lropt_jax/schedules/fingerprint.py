"""When are two functions the same? So that an inline lambda does not compile its program again."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import sys
import types
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import jax
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

SMALL_ARRAY = 1024  # elements up to which arrays are compared by value


class Fingerprint(Generic[F]):
    """A function that equals another with the same code and the same values around it.

    Compared are the code, the defaults, the closure and the globals that the code names, these
    by value where they are plain values and by identity elsewhere. Functions that can be
    imported by name are themselves. Two evaluations of one lambda are therefore equal, and a
    changed global makes them differ. What a function has as `Carried` is data: it may differ.

    Attributes:
      function: the function.
      carried: the data that it has around it, in the order in which the code comes to it. Equal
        functions have as many, of the same structures.
    """

    def __init__(self, function: F):
        self.function = function
        self.carried: list[Carried] = []
        self._key = _Walk(self.carried).key(function, frozenset(), outermost=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


_handed: contextvars.ContextVar[Mapping[int, Any] | None] = contextvars.ContextVar(
    "handed", default=None
)


class Carried:
    """Data that a function has around it, and reads from here whenever it is called.

    A program that was compiled from one of two functions that are equal but for this serves the
    other: it takes the data as an argument, and hands it to the function, see `handing`.

    Args:
      data: a tree of concrete numbers, or of tracers.
    """

    def __init__(self, data: Any):
        self._data = data

    @property
    def data(self) -> Any:
        """The data; in a program, what it was handed."""
        handed = _handed.get()
        return self._data if handed is None else handed.get(id(self), self._data)

    @property
    def arrays(self) -> Any:
        """The data with a strongly typed array for each number, as a program takes it."""
        return jax.tree.map(lambda x: np.asarray(x, jax.numpy.result_type(x)), self._data)

    @property
    def structure(self) -> Hashable:
        """All of it but the numbers."""
        leaves, structure = jax.tree.flatten(self._data)
        return structure, tuple((np.shape(x), jax.numpy.result_type(x)) for x in leaves)


class Aside:
    """What a function has around it without a part in what it does, for an error's words."""

    def __init__(self, value: Any):
        self.value = value


@contextlib.contextmanager
def handing(carried: Sequence[Carried], data: Sequence[Any]) -> Iterator[None]:
    """Within it, a function that has `carried` around it finds this data there."""
    token = _handed.set({id(c): values for c, values in zip(carried, data, strict=True)})
    try:
        yield
    finally:
        _handed.reset(token)


class _Same:
    """An object compared by identity, and kept alive so that its identity stays its own."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


class _Walk:
    """Through a function and all that it refers to."""

    def __init__(self, carried: list[Carried]):
        self._carried = carried

    def key(self, value: Any, seen: frozenset[int], outermost: bool = False) -> Hashable:
        """What an equal value has too."""
        if id(value) in seen:
            return "recursive"
        inner = functools.partial(self.key, seen=seen | {id(value)})
        if isinstance(value, Carried):
            return ("carried", self._place(value), value.structure)
        if isinstance(value, Aside):
            return "aside"
        if isinstance(value, types.FunctionType):
            if not outermost and _importable(value):
                return _Same(value)
            return _function_key(value, inner)
        if isinstance(value, types.MethodType):
            return ("method", inner(value.__func__, outermost=outermost), inner(value.__self__))
        if isinstance(value, functools.partial):
            parts = (value.args, value.keywords)
            return ("partial", inner(value.func, outermost=outermost), inner(parts))
        if isinstance(value, (list, tuple)):
            return (type(value), tuple(inner(v) for v in value))
        if isinstance(value, dict):
            return (type(value), tuple((inner(k), inner(v)) for k, v in value.items()))
        small = isinstance(value, np.ndarray) and value.size <= SMALL_ARRAY
        if small and not value.dtype.hasobject:
            return (value.shape, value.dtype.str, value.tobytes())
        try:
            hash(value)
        except TypeError:
            return _Same(value)
        return (type(value), value)  # 1, 1.0 and True are equal, but not the same

    def _place(self, carried: Carried) -> int:
        """Where it stands in the list; the same data twice is not two that may differ."""
        places = [i for i, other in enumerate(self._carried) if other is carried]
        if places:
            return places[0]
        self._carried.append(carried)
        return len(self._carried) - 1


def _function_key(function: types.FunctionType, inner: Callable[[Any], Hashable]) -> Hashable:
    cells = tuple(inner(content(cell)) for cell in function.__closure__ or ())
    names = sorted(names_in(function.__code__) & function.__globals__.keys())
    globals_ = tuple((name, inner(function.__globals__[name])) for name in names)
    defaults = (inner(function.__defaults__), inner(function.__kwdefaults__))
    # One namespace: another one's may be emptied (a module reloaded) before a program is traced.
    namespace = _Same(function.__globals__)
    return ("function", _bare(function.__code__), defaults, cells, namespace, globals_)


def _bare(code: types.CodeType) -> types.CodeType:
    """The code wherever it is written."""
    inner = tuple(_bare(c) if isinstance(c, types.CodeType) else c for c in code.co_consts)
    return code.replace(
        co_consts=inner,
        co_filename="",
        co_firstlineno=1,
        co_linetable=b"",
        co_qualname=code.co_name,
    )


def content(cell: types.CellType) -> Any:
    """What a closure has in a cell."""
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def names_in(code: types.CodeType) -> set[str]:
    """The names that code refers to, that of the functions in it too."""
    nested = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*(names_in(c) for c in nested))


def _importable(function: types.FunctionType) -> bool:
    module = sys.modules.get(function.__module__)
    return getattr(module, function.__qualname__, None) is function
