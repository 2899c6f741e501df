"""A person's own tasks and optimizers, by where they are: `package.module:name`, `file.py:name`."""

from __future__ import annotations

import contextlib
import importlib.util
import inspect
import os
import pathlib
import sys
import types
import zlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from lropt_jax.validation import unknown

if TYPE_CHECKING:
    from lropt_jax.comparisons.recipes import Recipe


def optimizer_named(what: str, name: str) -> Recipe:
    """The recipe of an optimizer wherever it is from: one of ours by its name, one of a package
    (`optax.lion`), or a person's own (`package.module:factory`, `file.py:factory`).

    Args:
      what: the argument that named it, for errors.
      name: its name.

    Raises:
      ValueError: when there is none; it names the nearest. For a factory that is none of
        `learning_rate` alone.
    """
    from lropt_jax.comparisons.recipes import foreign, recipe

    if ":" in name or "." in name:
        return foreign(what, name, factory(what, name))
    return recipe(name)


def factory(what: str, name: str) -> Callable[..., Any]:
    """A function of a package, `optax.lion`, or as `imported` finds it. See there."""
    module, _, own = name.rpartition(".")
    dotted = ":" not in name and module and own != "py"
    return imported(what, f"{module}:{own}" if dotted else name)


def imported(what: str, name: str) -> Callable[..., Any]:
    """A person's own function by `package.module:function`, found from the current folder too, or
    by `folder/file.py:function`.

    Args:
      what: the argument that named it, for errors.
      name: its name.

    Raises:
      ValueError: when there is no such module or function; it names the nearest.
    """
    function: Callable[..., Any] = named_in_module(what, name, "function", callable)
    return function


def named_in_module(what: str, name: str, kind: str, fits: Callable[[Any], bool]) -> Any:
    """What stands in a module or a file by its name there, see `imported`.

    Args:
      what: the argument that named it, for errors.
      name: where it is, and its name.
      kind: what it is to be, in a word.
      fits: whether something is that.

    Raises:
      ValueError: when there is no such module, or nothing in it that fits; it names the nearest.
    """
    module_name, _, own_name = name.rpartition(":")
    if not module_name or not own_name:
        raise ValueError(
            f"{what} must be package.module:{kind}, got {name!r} (a file: mine.py:{kind})"
        )
    if module_name.endswith(".py"):
        module = _file(what, name, os.path.expanduser(module_name))
    else:
        module = _module(what, name, module_name)
    value = getattr(module, own_name, None)
    if not fits(value) and hasattr(module, own_name):
        raise ValueError(f"{what} {name}: {own_name} must be a {kind}, got {value!r}")
    if not fits(value):
        found = [n for n, v in vars(module).items() if fits(v) and not n.startswith("_")]
        raise ValueError(f"{what} {name}: {unknown(kind, own_name, found)}")
    return value


def without_arguments(what: str, name: str, function: Callable[..., Any]) -> Any:
    """What a person's function returns that needs none.

    Raises:
      ValueError: for one that needs some.
    """
    try:
        inspect.signature(function).bind()
    except TypeError as error:
        raise ValueError(f"{what} {name}: it must need no arguments: {error}") from None
    except ValueError:  # it has no signature
        pass
    return function()


def _module(what: str, name: str, called: str) -> types.ModuleType:
    """A module by its dotted name, found from the current folder too."""
    if called.endswith(".ipynb"):
        raise ValueError(
            f"{what} {name}: a notebook is no module; write its cells to a file, "
            f"`jupyter nbconvert --to script {called}`, and name that"
        )
    if not all(part.isidentifier() for part in called.split(".")):
        file = f"; did you mean {called}.py?" if os.path.exists(f"{called}.py") else ""
        raise ValueError(f"{what} {name}: {called} is no name of a module{file}")
    _within_reach(os.getcwd())
    try:
        with _arguments_of_its_own(called):
            return importlib.import_module(called)
    except ModuleNotFoundError as error:
        raise ValueError(f"{what} {name}: {error}") from error


@contextlib.contextmanager
def _arguments_of_its_own(name: str) -> Iterator[None]:
    """A file that reads its command line when it is imported does not find that of `lropt`."""
    ours, sys.argv = sys.argv, [name]
    try:
        yield
    finally:
        sys.argv = ours


def _within_reach(folder: str) -> None:
    """Lets a folder's modules be imported: before installed packages, after the standard library.

    Workers start with these paths; a `json.py` in the folder would take its place there.
    """
    if folder not in sys.path:
        installed = (pathlib.Path(p).name in ("site-packages", "dist-packages") for p in sys.path)
        sys.path.insert(
            next((i for i, is_it in enumerate(installed) if is_it), len(sys.path)), folder
        )


def _of_package(file: pathlib.Path) -> types.ModuleType | None:
    """A file of a package under its own name there, so that `from . import` works; None for one
    of no package, or of one whose name is taken."""
    root, parts = file.parent, [] if file.stem == "__init__" else [file.stem]
    while (root / "__init__.py").is_file():
        root, parts = root.parent, [root.name, *parts]
    if root == file.parent or not all(part.isidentifier() for part in parts):
        return None
    _within_reach(str(root))
    package = importlib.util.find_spec(parts[0])
    if package is None or package.origin != str(root / parts[0] / "__init__.py"):
        return None
    _within_reach(str(file.parent))
    with _arguments_of_its_own(str(file)):
        return importlib.import_module(".".join(parts))


def _file(what: str, name: str, path: str) -> types.ModuleType:
    """A file as a module, with what lies beside it within reach."""
    file = pathlib.Path(path).resolve()
    if not file.is_file():
        where = "" if os.path.isabs(path) else f" in {os.getcwd()}"
        raise ValueError(f"{what} {name}: there is no file {path}{where}")
    if found := _of_package(file):
        return found
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
        with _arguments_of_its_own(path):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[called]
        raise
    return module
