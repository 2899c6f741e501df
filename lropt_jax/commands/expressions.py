"""Values and schedules written as text, `warmup(cosine_decay(0.1, 90), 10)`; no code is run."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Mapping
from typing import Any

from lropt_jax.schedules import SCHEDULES, Schedule
from lropt_jax.validation import check_name

WORDS = {"true": True, "false": False, "none": None, "inf": math.inf}


def read_schedule(text: str, settings: Mapping[str, str] | None = None) -> Schedule:
    """A schedule from its name, or from a call with numbers, texts, lists and schedules.

    Args:
      text: "one_cycle", "one_cycle(0.1, 100)" or "2 * linear(0.1, 0, 50)".
      settings: arguments as text, by name, for a name alone; the others are its example's.

    Raises:
      ValueError: for an unknown schedule, a setting that it does not take, text that is no
        schedule, or numbers out of range.
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
    """A number, true, false, none, a list, a schedule, or else the text itself."""
    if text.strip().lower() in WORDS:
        return WORDS[text.strip().lower()]
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        return text
    return text if isinstance(tree, ast.Name) else _value(tree, text)


def _from_name(name: str, settings: Mapping[str, str]) -> Schedule:
    constructor = _constructor(name)
    parameters = inspect.signature(constructor).parameters
    for key in settings:
        check_name(f"argument of {name}", key, parameters)
    example: Schedule = constructor.example(**{k: read_value(v) for k, v in settings.items()})
    return example


def _constructor(name: str) -> Any:
    check_name("schedule", name, SCHEDULES)
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
