"""From the command's words to a `Task`: built-in data and models, or a person's own."""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
from typing import Any

import numpy as np

from lropt_jax.commands.formatting import counted
from lropt_jax.commands.own_code import named_in_module, without_arguments
from lropt_jax.tasks.data.augmentation import crop_and_flip, standardized
from lropt_jax.tasks.data.splitting import Dataset
from lropt_jax.tasks.task import Task
from lropt_jax.validation import check_name

BATCH_SIZES = {"mnist1d": 64, "digits": 32, "mnist5k": 64}
HIDDEN = {"mnist1d": (100, 100), "digits": (32,), "mnist5k": (100,)}
AUGMENTED = ("cifar10",)
EPOCHS = {"cifar10": 200}
DATA = "mnist1d"  # where none is named
MODELS = ("mlp", "cnn", "vgg11", "resnet18")


@dataclasses.dataclass(frozen=True)
class Problem:
    """A task, the words that say what it is, how its lanes run best, what to choose by, and how
    many epochs are usual for it, if not as many as for all."""

    task: Task
    words: dict[str, str]
    strategy: str = "auto"
    select: str | None = None
    epochs: int | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments that choose a problem."""
    parser.add_argument(
        "--task",
        metavar="MODULE:NAME",
        help="your own: a Task, or a function that returns one (mine.py:task, package.module:task)",
    )
    parser.add_argument(
        "--problem", metavar="NAME", help="a named problem (lropt list problems), data and net"
    )
    parser.add_argument(
        "--data",
        default=DATA,
        help="mnist1d, digits or mnist5k; with --folder mnist, fashion_mnist or cifar10",
    )
    parser.add_argument(
        "--folder", metavar="DIR", help="where the files of mnist, fashion_mnist or cifar10 are"
    )
    parser.add_argument("--model", default=MODELS[0], help=", ".join(MODELS))
    parser.add_argument("--batch-size", type=counted, metavar="N", help="examples in a batch")


def problem(options: argparse.Namespace, what: str = "--task") -> Problem:
    """The problem that the arguments name.

    Args:
      options: the arguments of `add_arguments`.
      what: what names a person's own, for errors.

    Raises:
      ValueError: for an unknown name, or a model that the data does not fit.
    """
    _check_alone(options)
    if options.task is not None:
        task = _own_task(what, options.task)
        if options.batch_size is not None:
            task = dataclasses.replace(task, batch_size=options.batch_size)
        return Problem(task, {"task": options.task, **_sizes(task)})
    if _named(options) is not None:
        return _of_name(options)
    from lropt_jax.tasks.adapters import classification_task

    check_name("model", options.model, MODELS)
    data = _data(options.data, getattr(options, "folder", None))
    classes = int(np.max(data.train["y"])) + 1
    model, words = _model(options, classes)
    batch_size = options.batch_size
    if batch_size is None:
        batch_size = BATCH_SIZES.get(options.data, 128)
    augment = crop_and_flip if options.data in AUGMENTED else None
    task = classification_task(model, data, batch_size, augment=augment)
    # Said, not timed: the same command gives the same figures.
    strategy = "vmap" if options.model == "mlp" else "map"
    what = f"{options.data}, shifted and mirrored" if augment else options.data
    epochs = EPOCHS.get(options.data)
    return Problem(task, {"data": what, "model": words, **_sizes(task)}, strategy, epochs=epochs)


def _check_alone(options: argparse.Namespace) -> None:
    """Whoever names a task or a problem has named data and model.

    Raises:
      ValueError: where others are given beside it, which would be passed over.
    """
    given = {
        name: getattr(options, name, None)
        for name in ("task", "problem", "data", "folder", "model")
    }
    usual = {"data": DATA, "model": MODELS[0]}
    said = [f"--{n}" for n, value in given.items() if value not in (None, usual.get(n))]
    if len(said) > 1 and said[0] in ("--task", "--problem"):
        raise ValueError(
            f"{said[0]} says data and model: leave out {' and '.join(said[1:])}, or {said[0]}"
        )


def _data(name: str, folder: str | None) -> Dataset:
    from lropt_jax.tasks.data import load_data
    from lropt_jax.tasks.data.published import PUBLISHED

    if name in PUBLISHED and folder is None:
        raise ValueError(f"--data {name} needs --folder DIR, where its files are")
    if folder is not None:
        if name not in PUBLISHED:
            raise ValueError(f"--folder is for {', '.join(PUBLISHED)}; {name} has no files")
        folder = os.path.expanduser(folder)
    data = load_data(name, folder)
    return standardized(data) if name in PUBLISHED else data


def _named(options: argparse.Namespace) -> str | None:
    name: str | None = getattr(options, "problem", None)
    return name


def _of_name(options: argparse.Namespace) -> Problem:
    from lropt_jax.problems import problem as made
    from lropt_jax.problems.catalogue import IN_TURN, METRICS

    name = options.problem
    task = made(name)
    if options.batch_size is not None:
        task = dataclasses.replace(task, batch_size=options.batch_size)
    strategy = "map" if name in IN_TURN else "vmap"
    return Problem(task, {"problem": name, **_sizes(task)}, strategy, f"valid_{METRICS[name]}")


def title(options: argparse.Namespace) -> str:
    """What the arguments name, in a word or two."""
    return str(options.task or _named(options) or options.data)


def folder(options: argparse.Namespace) -> str:
    """The same as a part of a folder's name."""
    plain = options.task or _named(options) or options.model == "mlp"
    return as_folder(title(options)) + ("" if plain else f"-{options.model}")


def as_folder(name: str) -> str:
    """A name (of a task in a file, say) as one folder's."""
    return re.sub(r"[^\w.+=-]+", ".", name).strip(".")


def arguments(options: argparse.Namespace) -> list[str]:
    """The arguments that name it again."""
    for name in ("task", "problem"):
        if getattr(options, name, None):
            return [f"--{name}", getattr(options, name)]
    of_files = [] if getattr(options, "folder", None) is None else ["--folder", options.folder]
    return ["--data", options.data, *of_files, "--model", options.model]


def _model(options: argparse.Namespace, classes: int) -> tuple[Any, str]:
    from lropt_jax.tasks import models

    if options.model == "mlp":
        layers = (*HIDDEN.get(options.data, (256,)), classes)
        return models.mlp(layers), "mlp " + "-".join(map(str, layers))
    return getattr(models, options.model)(classes), options.model


def _sizes(task: Task) -> dict[str, str]:
    sizes = ", ".join(f"{n:,} {split}" for split, n in task.num_examples.items())
    return {"examples": sizes, "batch": str(task.batch_size)}


def _own_task(what: str, name: str) -> Task:
    task = named_in_module(what, name, "task", lambda v: isinstance(v, Task) or callable(v))
    made = task if isinstance(task, Task) else without_arguments(what, name, task)
    if not isinstance(made, Task):
        raise ValueError(f"{what} {name} must be a Task or return one, got {type(made).__name__}")
    return made
