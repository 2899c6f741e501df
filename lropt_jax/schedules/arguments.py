"""What each argument of a schedule may be: read from its annotation, checked when it is given."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from lropt_jax.schedules.base import Schedule, from_callable
from lropt_jax.validation import Constraint, finite, is_number


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What one argument may be.

    Attributes:
      kind: "number", "numbers" (a sequence), "switch" (a bool), "choice" (of strings), or "any".
      constraint: of its numbers.
      choices: the strings of a choice.
      optional: whether None is allowed.
    """

    kind: Literal["number", "numbers", "switch", "choice", "any"] = "any"
    constraint: Constraint = finite
    choices: tuple[str, ...] = ()
    optional: bool = False

    def accept(self, name: str, value: Any) -> Any:
        """The value as it is kept: Python ints as floats, sequences as tuples, callables static.

        Raises:
          ValueError: for a value that is not allowed, naming the argument and the value.
          TypeError: for something that is no number, schedule, string or bool at all.
        """
        if isinstance(value, np.bool_):
            value = bool(value)
        if value is None:
            if self.optional:
                return None
            raise TypeError(f"{name} must be given, got None")
        if self.kind == "choice" and not (isinstance(value, str) and value in self.choices):
            words = ", ".join(map(repr, self.choices))
            raise ValueError(f"{name} must be one of {words}, got {value!r}")
        if self.kind == "switch" and not _is_truth(value):
            raise ValueError(f"{name} must be True or False, got {value!r}")
        if self.kind in ("choice", "switch"):
            return value
        if self.kind == "numbers" and not _is_sequence(value):
            raise TypeError(f"{name} must be a sequence of numbers, got {value!r}")
        if self.kind == "number" and not is_number(value):
            raise TypeError(f"{name} must be a number, got {value!r}")
        return self._kept(name, value)

    def _kept(self, name: str, value: Any) -> Any:
        if isinstance(value, (bool, str, Schedule)) or (_is_truth(value) and self.kind == "any"):
            return value
        if is_number(value):
            self.constraint.check(name, value)
            return float(value) if isinstance(value, (int, np.integer)) else value
        if isinstance(value, (list, tuple)):
            item = dataclasses.replace(self, kind="number" if self.kind == "numbers" else "any")
            return tuple(item.accept(f"{name}[{i}]", x) for i, x in enumerate(value))
        if callable(value):
            return from_callable(value)
        raise TypeError(
            f"{name} must be a number, a schedule or a callable of count, got {value!r}"
        )


def allowed_arguments(
    formula: Callable[..., Any], parameters: Sequence[inspect.Parameter]
) -> dict[str, Allowed]:
    """What each of a formula's arguments may be."""
    try:
        hints = typing.get_type_hints(formula, include_extras=True)
    except NameError:  # an annotation with a name that only a type checker knows
        hints = {}
    return {p.name: _allowed(hints.get(p.name, Any), p.default is None) for p in parameters}


def _allowed(hint: Any, optional: bool) -> Allowed:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = [h for h in typing.get_args(hint) if h is not type(None)] or [Any]
        return _allowed(hint, optional=True)
    if hint is bool:
        return Allowed("switch", optional=optional)
    if typing.get_origin(hint) is Literal:
        return Allowed("choice", choices=typing.get_args(hint), optional=optional)
    if typing.get_origin(hint) is tuple:
        items = _allowed(typing.get_args(hint)[0], optional=False)
        kind: Any = "numbers" if items.kind == "number" else "any"
        return Allowed(kind, items.constraint, optional=optional)
    for extra in getattr(hint, "__metadata__", ()):
        if isinstance(extra, Constraint):
            return Allowed("number", extra, optional=optional)
    return Allowed(optional=optional)


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool) or getattr(value, "dtype", None) == jnp.bool_


def _is_sequence(value: Any) -> bool:
    return isinstance(value, (list, tuple)) or (is_number(value) and np.ndim(value) > 0)
