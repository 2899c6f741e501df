"""How an optimizer is written down, so that its line can be pasted."""

from __future__ import annotations

import ast
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from lropt_jax.schedules import SCHEDULES, Schedule
from lropt_jax.validation import is_scalar


def code_of(name: str, factory: Callable[..., Any], chosen: Mapping[str, Any]) -> str:
    """The line that makes an optimizer, as one would write it.

    Args:
      name: what it is called where it cannot be imported.
      factory: makes it; one with an attribute `code` says itself how: `code(chosen)`.
      chosen: its arguments.
    """
    if hasattr(factory, "code"):
        return str(factory.code(chosen))
    return call(name_of(name, factory), chosen)


def call(name: str, chosen: Mapping[str, Any]) -> str:
    """A function's call with arguments by name; a value that no code makes (a lambda) stands as the
    argument's name."""
    words = (f"{k}={value_code(v, k)}" for k, v in chosen.items())
    return f"{name}({', '.join(words)})"


def name_of(name: str, factory: Callable[..., Any]) -> str:
    """What a function is called where it can be imported; else its own name, or this one."""
    module, own = inspect.getmodule(factory), getattr(factory, "__qualname__", "")
    if module is None or module.__name__ == "__main__" or not own.isidentifier():
        return own if own.isidentifier() else name
    parts = module.__name__.split(".")
    for count in range(1, len(parts)):  # where it is public
        package = ".".join(parts[:count])
        public = getattr(sys.modules.get(package), own, None)
        if public is not None and inspect.unwrap(public) is inspect.unwrap(factory):
            return f"{package}.{own}"
    return f"{module.__name__}.{own}"


def schedule_code(rate: Any) -> str:
    """What makes a schedule, as one would write it: without defaults, a constant as its number."""
    if not isinstance(rate, Schedule):
        numbers = isinstance(rate, (np.ndarray, jax.Array)) and np.ndim(rate)
        return value_code(list(np.asarray(rate)) if numbers else rate)
    if rate.name == "constant":
        return schedule_code(rate.arguments["value"])
    if rate.name == "product":
        return " * ".join(schedule_code(factor) for factor in rate.arguments.values())
    if rate.name not in SCHEDULES:  # a person's own
        return call(rate.name, rate.arguments)
    parameters = inspect.signature(SCHEDULES[rate.name]).parameters
    words: list[str] = []
    for place, (name, parameter) in enumerate(parameters.items()):
        value = rate.arguments.get(name, parameter.default)
        if isinstance(value, Schedule) or parameter.default is parameter.empty:
            written = schedule_code(value)
            words.append(written if place == len(words) else f"{name}={written}")
        elif isinstance(value, (str, bool)) or value is None:
            if value != parameter.default:
                words.append(f"{name}={value!r}")
        elif parameter.default is None or np.float32(value) != np.float32(parameter.default):
            words.append(f"{name}={_number(value)}")
    return f"lropt_jax.{rate.name}({', '.join(words)})"


def value_code(value: Any, name: str = "...") -> str:
    """What is pasted for a value: code that makes it again.

    Args:
      value: a number (no longer than tells it apart), a schedule, a function or a type by where it
        can be imported from, a container or an array of these; else its `repr`, where that is code.
      name: stands for what no code makes.
    """
    if isinstance(value, Schedule):
        return schedule_code(value)
    if is_scalar(value):
        return _number(value) if math.isfinite(value) else f'float("{float(value)}")'
    if isinstance(value, (np.ndarray, jax.Array)):
        return f"numpy.array({np.asarray(value).tolist()!r}, {str(value.dtype)!r})"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {value_code(v, name)}' for k, v in value.items())}}}"
    if type(value) in (list, tuple):
        items = ", ".join(value_code(v, name) for v in value)
        return f"[{items}]" if isinstance(value, list) else f"({items}{',' * (len(value) == 1)})"
    if callable(value) and hasattr(value, "__name__"):
        return name_of(name, value)
    words = repr(value)
    try:
        ast.parse(words, mode="eval")
    except SyntaxError:
        return name
    return words


def _number(value: Any) -> str:
    """A number as short as tells it apart at its own precision."""
    array = np.asarray(value)
    if array.dtype.kind in "iu" or float(array) == int(array):
        return str(int(array))
    return str(array if array.dtype == np.float32 else np.float32(array))
