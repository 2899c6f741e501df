"""From a file's words to a sweep's arguments."""

from __future__ import annotations

import argparse
import dataclasses
import tomllib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from lropt_jax.commands.problem import imported, problem
from lropt_jax.comparisons.recipes import Scheduled, recipe, shape
from lropt_jax.sweeps import (
    choice,
    grid,
    log_grid,
    log_uniform,
    pbt,
    successive_halving,
    uniform,
)
from lropt_jax.tasks.metrics import direction, known_metric, names_of_metrics, usual_metric
from lropt_jax.tasks.task import Task, check_task
from lropt_jax.validation import unknown

DIMENSIONS: dict[str, Callable[..., Any]] = {
    "grid": lambda *values: grid(list(values)),
    "choice": lambda *values: choice(list(values)),
    "log_grid": log_grid,
    "uniform": uniform,
    "log_uniform": log_uniform,
}
RULES: dict[str, Callable[..., Any]] = {"successive_halving": successive_halving, "pbt": pbt}
SECTIONS = ("task", "optimizer", "space", "train", "prune")
TRAIN = (
    "steps", "epochs", "seeds", "evaluations", "eval_every", "trials", "key", "strategy", "width",
    "metric", "mode", "directory",
)  # fmt: skip


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
    """Reads a file.

    Raises:
      ValueError: for a file that is no TOML, unknown words (it names the nearest), or values
        that do not fit.
      OSError: for a file that cannot be read.
    """
    try:
        words = tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {error}") from error
    _known("section", words, SECTIONS)
    if "space" not in words:
        raise ValueError(f"{path}: there must be a section [space]")
    train = dict(words.get("train", {}))
    _known("word in [train]", train, TRAIN)
    task = _task(words.get("task", {}))
    steps = _steps(train, task)
    arguments = {k: train[k] for k in ("seeds", "trials", "key", "strategy", "width") if k in train}
    arguments |= {"steps": steps, "eval_every": _eval_every(train, steps)}
    if "prune" in words:
        arguments["prune"] = _rule(dict(words["prune"]), train.get("metric"), train.get("mode"))
    directory = train.get("directory")
    return Described(
        task,
        _optimizer(words.get("optimizer", {}), steps),
        {name: _dimension(name, value) for name, value in words["space"].items()},
        arguments,
        *_metric(train, task),
        None if directory is None else Path(directory),
    )


def _task(words: Mapping[str, Any]) -> Task:
    _known("word in [task]", words, ("data", "model", "batch_size", "function"))
    options = argparse.Namespace(
        task=words.get("function"),
        data=words.get("data", "mnist1d"),
        model=words.get("model", "mlp"),
        batch_size=words.get("batch_size"),
    )
    return problem(options).task


def _optimizer(words: Mapping[str, Any], steps: int) -> Callable[..., Any]:
    """A function of named numbers: the user's own, or one of ours under a schedule."""
    _known("word in [optimizer]", words, ("name", "schedule", "function"))
    if "function" in words:
        return imported("function", words["function"])
    if "name" not in words:
        raise ValueError("[optimizer] must have a name or a function")
    found, schedule = recipe(words["name"]), shape(words.get("schedule", "constant"))
    return Scheduled(found.factory, found.fixed, schedule, steps)


def _steps(train: dict[str, Any], task: Task) -> int:
    if ("steps" in train) == ("epochs" in train):
        raise ValueError("[train] must have either steps or epochs")
    if "steps" in train:
        steps: int = train["steps"]
        return steps
    if not isinstance(train["epochs"], int) or train["epochs"] < 1:
        raise ValueError(f"epochs must be a whole number >= 1, got {train['epochs']!r}")
    return int(train["epochs"] * task.steps_per_epoch)


def _eval_every(train: dict[str, Any], steps: int) -> int | None:
    if "eval_every" in train and "evaluations" in train:
        raise ValueError("[train] must have either eval_every or evaluations")
    if "eval_every" in train:
        every: int = train["eval_every"]
        return every
    evaluations = train.get("evaluations", 10)
    if not isinstance(evaluations, int) or evaluations < 1:
        raise ValueError(f"evaluations must be a whole number >= 1, got {evaluations!r}")
    return max(1, steps // evaluations)


def _metric(train: Mapping[str, Any], task: Task) -> tuple[str, str]:
    """What trials are ranked by and which way, found before anything is trained."""
    check_task(task)
    known, _ = names_of_metrics(task)
    if "metric" not in train:
        metric = usual_metric(known, what="[train] metric")
    else:
        metric = known_metric(train["metric"], known, "[train] metric")
    return metric, direction(metric, train.get("mode"))


def _rule(words: dict[str, Any], metric: str | None, mode: str | None) -> Any:
    name = words.pop("rule", "successive_halving")
    if name not in RULES:
        raise ValueError(unknown("rule", name, RULES))
    if metric is not None and "metric" not in words:
        words["metric"] = metric
        if mode is not None:
            words.setdefault("mode", mode)
    try:
        return RULES[name](**words)
    except TypeError as error:
        raise ValueError(f"[prune] {error}") from error


def _dimension(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        return grid(value) if isinstance(value, list) else value
    if len(value) != 1:
        raise ValueError(f"[space] {name} must be a value or one of {', '.join(DIMENSIONS)}")
    ((kind, arguments),) = value.items()
    if kind not in DIMENSIONS:
        raise ValueError(f"[space] {name}: {unknown('kind', kind, DIMENSIONS)}")
    if not isinstance(arguments, list):
        raise ValueError(f"[space] {name}: {kind} must be a list, got {arguments!r}")
    try:
        return DIMENSIONS[kind](*arguments)
    except TypeError as error:
        raise ValueError(f"[space] {name}: {error}") from error


def _known(what: str, words: Mapping[str, Any], known: Collection[str]) -> None:
    for word in words:
        if word not in known:
            raise ValueError(unknown(what, word, known))
