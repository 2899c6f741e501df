"""Schedules written as text: `warmup(cosine_decay(0.1, 90), 10)`, read without running code."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any

from lropt_jax.schedules import SCHEDULES, Schedule
from lropt_jax.validation import unknown

# What a required argument is when nothing was said, so that every name alone draws something.
EXAMPLES: dict[str, str] = {
    "value": "0.1",
    "init_value": "0.1",
    "end_value": "0.0",
    "peak_value": "0.1",
    "base_value": "0.01",
    "power": "2",
    "decay_rate": "0.03",
    "transition_steps": "100",
    "decay_steps": "100",
    "first_cycle_steps": "30",
    "steps_up": "20",
    "total_steps": "100",
    "warmup_steps": "10",
    "stable_steps": "60",
    "steps": "10",
    "steps_per_epoch": "20",
    "boundaries": "[40, 80]",
    "values": "[0.1, 0.05, 0.01]",
    "schedule": "cosine_decay(0.1, 90)",
    "schedules": "[linear(0.0, 0.1, 40), 0.1, cosine_decay(0.1, 40)]",
}
OWN_EXAMPLES = {
    "exponential_decay": {"decay_rate": "0.97"},
    "time_decay": {"decay_rate": "0.001"},
    "per_epoch": {"schedule": "step_decay(0.1, every=2)"},
}


def read_schedule(text: str, settings: Mapping[str, str] | None = None) -> Schedule:
    """A schedule from its name, or from a call with numbers, texts, lists and schedules.

    Args:
      text: "one_cycle", "one_cycle(0.1, 100)" or "2 * linear(0.1, 0, 50)".
      settings: arguments as text, by name, for a name alone; required ones that are missing
        get an example's value.

    Raises:
      KeyError: for an unknown schedule, or a setting that it does not take.
      ValueError: for text that is no schedule, or numbers out of range.
    """
    if text.isidentifier():
        return _from_name(text, settings or {})
    if settings:
        raise ValueError(f"settings go with a schedule's name alone, not with {text!r}")
    value = read_value(text)
    if not isinstance(value, Schedule):
        raise ValueError(f"{text!r} is no schedule")
    return value


def read_value(text: str) -> Any:
    """A number, a truth value, a list, a schedule, or else the text itself."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return text
    return text if isinstance(tree, ast.Name) else _value(tree, text)


def _from_name(name: str, settings: Mapping[str, str]) -> Schedule:
    constructor = _constructor(name)
    parameters = inspect.signature(constructor).parameters
    unknown = [key for key in settings if key not in parameters]
    if unknown:
        raise KeyError(f"{name} has no {unknown[0]!r}; it takes {', '.join(parameters)}")
    examples = {**EXAMPLES, **OWN_EXAMPLES.get(name, {})}
    required = {
        key: examples[key]
        for key, parameter in parameters.items()
        if parameter.default is parameter.empty or key == "total_steps"
    }
    given = {**required, **settings}
    result: Schedule = constructor(**{key: read_value(value) for key, value in given.items()})
    return result


def _constructor(name: str) -> Any:
    if name not in SCHEDULES:
        raise KeyError(unknown("schedule", name, SCHEDULES))
    return SCHEDULES[name]


def _value(node: ast.expr, text: str) -> Any:
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, text)
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _value(left, text) * _value(right, text)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item, text) for item in items]
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=keywords):
            named = {k.arg: _value(k.value, text) for k in keywords if k.arg is not None}
            return _constructor(name)(*[_value(a, text) for a in arguments], **named)
    raise ValueError(f"cannot read {ast.unparse(node)!r} in {text!r}")
