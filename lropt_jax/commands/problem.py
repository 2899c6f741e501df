"""From the command's words to a `Task`: built-in data and models, or a person's own."""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import os
import pathlib
import sys
import types
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from lropt_jax.tasks.data.augmentation import crop_and_flip, standardized
from lropt_jax.tasks.data.splitting import Dataset
from lropt_jax.tasks.task import Task
from lropt_jax.validation import unknown

BATCH_SIZES = {"mnist1d": 64, "digits": 32, "mnist5k": 64}
HIDDEN = {"mnist1d": (100, 100), "digits": (32,), "mnist5k": (100,)}
AUGMENTED = ("cifar10",)
EPOCHS = {"cifar10": 200}
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
        default="mnist1d",
        help="mnist1d, digits or mnist5k; with --folder mnist, fashion_mnist or cifar10",
    )
    parser.add_argument(
        "--folder", metavar="DIR", help="where the files of mnist, fashion_mnist or cifar10 are"
    )
    parser.add_argument("--model", default="mlp", help=", ".join(MODELS))
    parser.add_argument("--batch-size", type=int, metavar="N", help="examples in a batch")


def problem(options: argparse.Namespace, what: str = "--task") -> Problem:
    """The problem that the arguments name.

    Args:
      options: the arguments of `add_arguments`.
      what: what names a person's own, for errors.

    Raises:
      ValueError: for an unknown name, or a model that the data does not fit.
    """
    if options.task:
        task = _own_task(what, options.task)
        if options.batch_size is not None:
            task = dataclasses.replace(task, batch_size=options.batch_size)
        return Problem(task, {"task": options.task, **_sizes(task)})
    if _named(options):
        return _of_name(options)
    from lropt_jax.tasks.adapters import classification_task

    if options.model not in MODELS:
        raise ValueError(unknown("model", options.model, MODELS))
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
    return title(options).replace(":", ".") + ("" if plain else f"-{options.model}")


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


def imported(what: str, name: str) -> Callable[..., Any]:
    """A person's own function by `package.module:function`, found from the current folder too, or
    by `folder/file.py:function`.

    Args:
      what: the argument that named it, for errors.
      name: its name.

    Raises:
      ValueError: when there is no such module or function; it names the nearest.
    """
    function: Callable[..., Any] = _named_in_module(what, name, "function", callable)
    return function


def _named_in_module(what: str, name: str, kind: str, fits: Callable[[Any], bool]) -> Any:
    module_name, _, own_name = name.rpartition(":")
    if not module_name or not own_name:
        raise ValueError(
            f"{what} must be package.module:{kind}, got {name!r} (a file: mine.py:{kind})"
        )
    module = _file(what, name, module_name) if module_name.endswith(".py") else None
    if module is None:
        _within_reach(os.getcwd())
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            raise ValueError(f"{what} {name}: {error}") from error
    value = getattr(module, own_name, None)
    if not fits(value):
        found = [n for n, v in vars(module).items() if fits(v) and not n.startswith("_")]
        raise ValueError(f"{what} {name}: {unknown(kind, own_name, found)}")
    return value


def _within_reach(folder: str) -> None:
    """Lets a folder's modules be imported: before installed packages, after the standard library.

    Workers start with these paths; a `json.py` in the folder would take its place there.
    """
    if folder not in sys.path:
        installed = (pathlib.Path(p).name in ("site-packages", "dist-packages") for p in sys.path)
        sys.path.insert(
            next((i for i, is_it in enumerate(installed) if is_it), len(sys.path)), folder
        )


def _file(what: str, name: str, path: str) -> types.ModuleType:
    """A file as a module, with what lies beside it within reach."""
    file = pathlib.Path(path).resolve()
    if not file.is_file():
        raise ValueError(f"{what} {name}: there is no file {path}")
    _within_reach(str(file.parent))
    # A name that is taken already, by a package or by a file of another folder, is not taken over.
    called = file.stem
    for called in (file.stem, f"{file.stem}_{zlib.crc32(bytes(file)):x}"):
        known = sys.modules.get(called)
        if known is None:
            break
        if getattr(known, "__file__", None) == str(file):
            return known
    spec = importlib.util.spec_from_file_location(called, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[called] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[called]
        raise
    return module


def _own_task(what: str, name: str) -> Task:
    task = _named_in_module(what, name, "task", lambda v: isinstance(v, Task) or callable(v))
    made = task if isinstance(task, Task) else task()
    if not isinstance(made, Task):
        raise ValueError(f"{what} {name} must be a Task or return one, got {type(made).__name__}")
    return made
