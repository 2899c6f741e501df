"""How an optimizer is written down, so that its line can be pasted."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import optax

from lropt_jax.optimizers.catalogue import OPTIMIZERS
from lropt_jax.schedules import SCHEDULES, Schedule
from lropt_jax.validation import is_number


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
    """A function's call with arguments by name."""
    words = (f"{k}={getattr(v, '__name__', None) or value_code(v)}" for k, v in chosen.items())
    return f"{name}({', '.join(words)})"


def name_of(name: str, factory: Callable[..., Any]) -> str:
    """What a factory is called where it can be imported; else its own name, or this one."""
    for ours, constructor in OPTIMIZERS.items():
        if constructor is factory:
            return f"lropt_jax.{ours}"
    module = inspect.getmodule(factory)
    own = getattr(factory, "__qualname__", "")
    if module is None or module.__name__ == "__main__" or not own.isidentifier():
        return own if own.isidentifier() else name
    package = module.__name__
    if package.startswith("optax."):  # where it is public
        package = "optax" if hasattr(optax, own) else "optax.contrib"
    return f"{package}.{own}"


def schedule_code(rate: Any) -> str:
    """What makes a schedule, as one would write it: without defaults, a constant as its number."""
    if not isinstance(rate, Schedule):
        return _number(rate)
    if rate.name == "constant":
        return schedule_code(rate.arguments["value"])
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
        elif parameter.default is None or float(value) != float(np.float32(parameter.default)):
            words.append(f"{name}={_number(value)}")
    return f"lropt_jax.{rate.name}({', '.join(words)})"


def value_code(value: Any) -> str:
    """What is pasted for a value: a number no longer than tells it apart, else its `repr`."""
    short = is_number(value) and np.ndim(value) == 0 and np.isfinite(value)
    return _number(value) if short else repr(value)


def _number(value: Any) -> str:
    """A number as short as tells it apart at its own precision."""
    array = np.asarray(value)
    if array.dtype.kind in "iu" or float(array) == int(array):
        return str(int(array))
    return str(array if array.dtype == np.float32 else np.float32(array))
