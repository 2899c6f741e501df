"""When are two functions the same? So that an inline lambda does not compile its program again."""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

import numpy as np

F = TypeVar("F", bound=Callable[..., Any])

SMALL_ARRAY = 1024  # elements up to which arrays are compared by value


class Fingerprint(Generic[F]):
    """A function that equals another with the same code and the same values around it.

    Compared are the code, the defaults, the closure and the globals that the code names, these
    by value where they are plain values and by identity elsewhere. Functions that can be
    imported by name are themselves. Two evaluations of one lambda are therefore equal, and a
    changed global makes them differ.
    """

    def __init__(self, function: F):
        self.function = function
        self._key = _key(function, frozenset(), outermost=True)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and self._key == other._key

    def __hash__(self) -> int:
        return hash(self._key)


class _Same:
    """An object compared by identity, and kept alive so that its identity stays its own."""

    def __init__(self, value: Any):
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def _key(value: Any, seen: frozenset[int], outermost: bool = False) -> Hashable:
    if id(value) in seen:
        return "recursive"
    inner = functools.partial(_key, seen=seen | {id(value)})
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
        return (dict, tuple((inner(k), inner(v)) for k, v in value.items()))
    if isinstance(value, np.ndarray) and value.size <= SMALL_ARRAY and not value.dtype.hasobject:
        return (value.shape, value.dtype.str, value.tobytes())
    try:
        hash(value)
    except TypeError:
        return _Same(value)
    return (type(value), value)  # 1, 1.0 and True are equal, but not the same


def _function_key(function: types.FunctionType, inner: Callable[[Any], Hashable]) -> Hashable:
    cells = tuple(inner(_content(cell)) for cell in function.__closure__ or ())
    names = sorted(_names(function.__code__) & function.__globals__.keys())
    globals_ = tuple((name, inner(function.__globals__[name])) for name in names)
    defaults = (inner(function.__defaults__), inner(function.__kwdefaults__))
    # One namespace: another one's may be emptied (a module reloaded) before a program is traced.
    namespace = _Same(function.__globals__)
    return ("function", function.__code__, defaults, cells, namespace, globals_)


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not yet filled
        return None


def _names(code: types.CodeType) -> set[str]:
    nested = [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return set(code.co_names).union(*(_names(c) for c in nested))


def _importable(function: types.FunctionType) -> bool:
    module = sys.modules.get(function.__module__)
    return getattr(module, function.__qualname__, None) is function
