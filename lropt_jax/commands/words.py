"""What the words of a sweep's file may be: the one table of them, and how they are refused."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from lropt_jax.sweeps import pbt, successive_halving
from lropt_jax.sweeps.running.strategy import check_strategy
from lropt_jax.validation import check_name


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a value may be, in words that go on from "must be", and whether one is."""

    allowed: str
    holds: Callable[[Any], bool]


def is_number(value: Any) -> bool:
    """Whether a value of a TOML file is a finite number."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _is_whole(value: Any, least: int) -> bool:
    return is_number(value) and value == int(value) and value >= least


def _is_strategy(value: Any) -> bool:
    try:
        check_strategy(value)
    except ValueError:
        return False
    return isinstance(value, str)


def _list_of(holds: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and bool(value) and all(map(holds, value))


TEXT = Kind("a text", lambda value: isinstance(value, str) and bool(value))
NUMBER = Kind("a number", is_number)
WHOLE = Kind("a whole number >= 1", lambda value: _is_whole(value, 1))
NATURAL = Kind("a whole number >= 0", lambda value: _is_whole(value, 0))
SEEDS = Kind(
    "a whole number >= 1, or a list of whole numbers >= 0",
    lambda value: _is_whole(value, 1) or _list_of(lambda seed: _is_whole(seed, 0))(value),
)
MODE = Kind("'min' or 'max'", lambda value: value in ("min", "max"))
STRATEGY = Kind("'auto', 'vmap', 'map', 'map:k' or 'shared'", _is_strategy)

RULES: dict[str, Callable[..., Any]] = {"successive_halving": successive_halving, "pbt": pbt}

SECTIONS: dict[str, dict[str, Kind]] = {
    "task": {"data": TEXT, "folder": TEXT, "model": TEXT, "batch_size": WHOLE, "function": TEXT},
    "optimizer": {"name": TEXT, "schedule": TEXT, "function": TEXT},
    "space": {},  # the names are the optimizer's and the task's
    "train": {
        "steps": WHOLE, "epochs": WHOLE, "seeds": SEEDS, "evaluations": WHOLE, "eval_every": WHOLE,
        "trials": WHOLE, "key": NATURAL, "strategy": STRATEGY, "width": WHOLE, "metric": TEXT,
        "mode": MODE, "directory": TEXT,
    },
    "prune": {
        "rule": Kind(" or ".join(map(repr, RULES)), lambda value: value in list(RULES)),
        "eta": NUMBER, "min_steps": WHOLE, "every": WHOLE, "fraction": NUMBER,
        "factors": Kind("a list of numbers", _list_of(is_number)),
        "names": Kind("a list of texts", _list_of(TEXT.holds)),
        "metric": TEXT, "mode": MODE,
    },
}  # fmt: skip


def checked(words: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """A file's sections, each of them there, with known words whose values are of their kind.

    Raises:
      ValueError: for the first that is not; it names the section, the word and what is allowed.
    """
    for name, section in words.items():
        check_name("section", name, SECTIONS)
        if not isinstance(section, dict):
            raise ValueError(f"[{name}] must be a section of its own, got {name} = {section!r}")
    if not words.get("space"):
        raise ValueError("there must be a section [space] that names a hyperparameter")
    for name, section in words.items():
        kinds = SECTIONS[name]
        if name == "prune":
            kinds = _of_rule(section)
        for word, value in section.items() if kinds else ():
            check_name(f"word in [{name}]", word, kinds)
            if not kinds[word].holds(value):
                raise ValueError(f"[{name}] {word} must be {kinds[word].allowed}, got {value!r}")
    sections = {name: dict(words.get(name, {})) for name in SECTIONS}
    for name, section in sections.items():
        for word, value in section.items():
            if SECTIONS[name].get(word) in (WHOLE, NATURAL):
                section[word] = int(value)  # 40.0 is a whole number too
    return sections


def _of_rule(section: Mapping[str, Any]) -> dict[str, Kind]:
    """The words of a pruning rule: its own arguments."""
    kinds, rule = SECTIONS["prune"], section.get("rule", "successive_halving")
    if not kinds["rule"].holds(rule):
        return kinds
    takes = {"rule", *inspect.signature(RULES[rule]).parameters}
    return {word: kind for word, kind in kinds.items() if word in takes}
