"""From a file's words to a sweep's arguments."""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from lropt_jax.commands.own_code import imported, optimizer_named
from lropt_jax.commands.problem import DATA, MODELS, problem
from lropt_jax.commands.words import RULES, checked, is_number
from lropt_jax.comparisons.recipes import Scheduled, shape
from lropt_jax.sweeps import choice, grid, integer, log_grid, log_uniform, uniform
from lropt_jax.tasks.metrics import direction, known_metric, names_of_metrics, usual_metric
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.validation import unknown

LISTS: dict[str, Callable[..., Any]] = {
    "grid": grid,
    "choice": choice,
    "static": lambda values: choice(values, static=True),
}
RANGES: dict[str, tuple[Callable[..., Any], str]] = {
    "log_grid": (log_grid, "low, high, n"),
    "uniform": (uniform, "low, high"),
    "log_uniform": (log_uniform, "low, high"),
    "integer": (integer, "low, high"),
    "log_integer": (lambda low, high: integer(low, high, log=True), "low, high"),
}
PLAIN = (str, bool, int, float)  # what a value of TOML may be, but for dates


@dataclasses.dataclass(frozen=True)
class Described:
    """A sweep as its file describes it: what is trained, further `arguments` of `sweep`, the metric
    that its trials are ranked by and which way ("min", "max"), where it is kept."""

    task: Task
    optimizer: Callable[..., Any]
    space: dict[str, Any]
    arguments: dict[str, Any]
    metric: str
    mode: str
    directory: Path | None


def read(path: Path) -> Described:
    """Reads a file. What can be refused is, before anything is trained.

    Raises:
      ValueError: for a file that is no TOML, unknown words (it names the nearest), or values
        that do not fit: it names the section, the word, the value and what is allowed.
      OSError: for a file that cannot be read.
    """
    try:
        words = checked(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {error}") from error
    train = words["train"]
    space = {name: _dimension(name, value) for name, value in words["space"].items()}
    task = _task(words["task"])
    steps = _steps(train, task)
    arguments: dict[str, Any] = {
        k: train[k] for k in ("seeds", "trials", "key", "strategy", "width") if k in train
    }
    arguments |= {"steps": steps, "eval_every": _eval_every(train, steps)}
    metric, mode = _metric(train, task)
    if words["prune"]:
        arguments["prune"] = _rule(words["prune"], train, task)
    directory = train.get("directory")
    return Described(
        task,
        _optimizer(words["optimizer"], steps),
        space,
        arguments,
        metric,
        mode,
        None if directory is None else Path(directory),
    )


def _task(words: Mapping[str, Any]) -> Task:
    if "function" in words and {"data", "folder", "model"} & set(words):
        raise ValueError("[task] must have either a function, or data and a model")
    options = argparse.Namespace(
        task=words.get("function"),
        data=words.get("data", DATA),
        folder=words.get("folder"),
        model=words.get("model", MODELS[0]),
        batch_size=words.get("batch_size"),
    )
    try:
        return problem(options, "function").task
    except ValueError as error:
        raise ValueError(f"[task] {error}") from error


def _optimizer(words: Mapping[str, Any], steps: int) -> Callable[..., Any]:
    """A function of named numbers: the user's own, or one of ours under a schedule."""
    if "function" in words:
        if set(words) != {"function"}:
            raise ValueError("[optimizer] must have either a function, or a name and a schedule")
        return imported("[optimizer] function", words["function"])
    if "name" not in words:
        raise ValueError("[optimizer] must have a name or a function")
    try:
        found = optimizer_named("name", words["name"])
        schedule = shape(words.get("schedule", "constant"))
    except ValueError as error:
        raise ValueError(f"[optimizer] {error}") from None
    return Scheduled(found.factory, found.fixed, schedule, steps)


def _steps(train: Mapping[str, Any], task: Task) -> int:
    if ("steps" in train) == ("epochs" in train):
        raise ValueError("[train] must have either steps or epochs")
    return int(train["steps"] if "steps" in train else train["epochs"] * task.steps_per_epoch)


def _eval_every(train: Mapping[str, Any], steps: int) -> int:
    if "eval_every" in train and "evaluations" in train:
        raise ValueError("[train] must have either eval_every or evaluations")
    if "eval_every" in train:
        return int(train["eval_every"])
    return max(1, steps // int(train.get("evaluations", 10)))


def _metric(train: Mapping[str, Any], task: Task) -> tuple[str, str]:
    """What trials are ranked by and which way."""
    check_task(task)
    known, _ = names_of_metrics(task)
    if "metric" not in train:
        metric = usual_metric(known, what="[train] metric")
    else:
        metric = known_metric(train["metric"], known, "[train] metric")
    try:
        return metric, direction(metric, train.get("mode"))
    except ValueError as error:
        raise ValueError(f"[train] {error}") from None


def _rule(words: Mapping[str, Any], train: Mapping[str, Any], task: Task) -> Any:
    given = {k: v for k, v in words.items() if k != "rule"}
    if "metric" in given:
        known_metric(given["metric"], names_of_metrics(task)[0], "[prune] metric")
    else:
        given |= {k: train[k] for k in ("metric", "mode") if k in train and k not in given}
    rule = RULES[words.get("rule", "successive_halving")]
    try:
        return rule(**given)
    except (TypeError, ValueError) as error:
        raise ValueError(f"[prune] {error}") from None


def _dimension(name: str, value: Any) -> Any:
    if isinstance(value, PLAIN):
        return value
    if isinstance(value, list):
        value = {"grid": value}
    kinds = {**LISTS, **RANGES}
    if not isinstance(value, dict) or len(value) != 1:
        raise ValueError(
            f"[space] {name} must be a number, a text, true, false, a list of these, or one of "
            f"{', '.join(f'{{ {kind} = [...] }}' for kind in kinds)}, got {_short(value)}"
        )
    ((kind, given),) = value.items()
    if kind not in kinds:
        raise ValueError(f"[space] {name}: {unknown('kind', kind, kinds)}")
    numbers = kind in RANGES
    fits = is_number if numbers else lambda v: isinstance(v, PLAIN)
    if not isinstance(given, list) or not given or not all(map(fits, given)):
        items = "numbers" if numbers else "numbers, texts, true and false"
        raise ValueError(f"[space] {name}: {kind} must be a list of {items}, got {given!r}")
    try:
        if not numbers:
            return LISTS[kind](given)
        make, takes = RANGES[kind]
        if len(given) != len(takes.split()):
            raise ValueError(f"{kind} must be [{takes}], got {given!r}")
        return make(*given)
    except ValueError as error:
        raise ValueError(f"[space] {name}: {error}") from None


def _short(value: Any) -> str:
    words = repr(value)
    return words if len(words) <= 60 else words[:57] + "..."
