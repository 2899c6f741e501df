"""Are two values the same? Digests of data and code, and what else results depend on.

A digest is the same in every process. Functions are compared by their code, their defaults, what
they close over and the globals that they name, on and on into the user's own modules; what comes
from an installed library stands for itself by its name, and by its version elsewhere.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import pickle
import platform
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lropt_jax.schedules.base import Schedule
from lropt_jax.schedules.fingerprint import content, names_in
from lropt_jax.tasks.sources import Source
from lropt_jax.tasks.task import Task
from lropt_jax.training.config import config
from lropt_jax.training.libraries import is_library
from lropt_jax.training.population import is_key

PLAIN = (int, float, complex, str, bytes, type(None), type(Ellipsis))
SETTINGS = (  # of JAX
    "jax_enable_x64",
    "jax_default_prng_impl",
    "jax_threefry_partitionable",
    "jax_default_matmul_precision",
)
RECORDED = ("lropt_jax", "jax", "jaxlib", "optax", "flax", "numpy")


def digest(value: Any) -> str:
    """A short digest of a value: data, functions, objects, and containers of them."""
    return hashlib.blake2b(_Digest().of(value).encode(), digest_size=8).hexdigest()


def code_of(task: Task) -> str:
    """A digest of what a task computes, without its data."""
    return digest([task.init, task.loss, task.evaluate, task.summarize])


def versions() -> str:
    """The versions that results depend on."""
    found = {"python": platform.python_version()}
    for name in RECORDED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ", ".join(f"{name} {version}" for name, version in found.items())


def settings() -> dict[str, Any]:
    """The settings that results depend on: JAX's, and this package's."""
    return {name: getattr(jax.config, name) for name in SETTINGS} | config.values()


def set_settings(wanted: Mapping[str, Any]) -> None:
    """Sets settings, by the names that `settings` gives them."""
    for name, value in wanted.items():
        if name in SETTINGS:
            jax.config.update(name, value)  # type: ignore[no-untyped-call]
        else:
            setattr(config, name, value)


class _Digest:
    """One walk over a value, that meets each object once."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}
        self._kept: list[Any] = []  # so that no identity is used twice during the walk

    def of(self, value: Any) -> str:
        if isinstance(value, PLAIN):
            return f"{type(value).__name__}:{value!r}"
        if id(value) not in self._known:
            self._known[id(value)] = "recursive"
            self._kept.append(value)
            self._known[id(value)] = self._of_new(value)
        return self._known[id(value)]

    def _of_new(self, value: Any) -> str:
        library = _library_name(value)
        if library is not None:
            return f"library:{library}"
        hashed = hashlib.blake2b(digest_size=12)
        kind = type(value)
        # A person's own module is __main__ where it is the script.
        place = kind.__module__ if is_library(kind.__module__) else ""
        hashed.update(f"{place}.{kind.__qualname__};".encode())
        if isinstance(value, (np.ndarray, np.generic, jax.Array)):
            _add_array(hashed, value)
        else:
            parts = [self.of(part) for part in _parts(value)]
            hashed.update(";".join(parts).encode(errors="surrogatepass"))
        return hashed.hexdigest()


def _add_array(hashed: Any, value: Any) -> None:
    if is_key(value):
        value = jax.random.key_data(value)
    array = np.ascontiguousarray(value)
    hashed.update(f"{array.dtype}{array.shape}".encode())
    hashed.update(pickle.dumps(array.tolist()) if array.dtype.hasobject else array.tobytes())


def _parts(value: Any) -> list[Any]:
    """What a value is made of."""
    if isinstance(value, types.FunctionType):
        return _function_parts(value)
    if isinstance(value, types.CodeType):
        return [value.co_code, value.co_consts, value.co_names, value.co_varnames]
    if isinstance(value, Source):
        return value.identity()
    if isinstance(value, Schedule):
        return [value.name, value.code, value.arguments, value.state]
    if isinstance(value, types.MethodType):
        return [value.__func__, value.__self__]
    if isinstance(value, functools.partial):
        return [value.func, value.args, value.keywords]
    if isinstance(value, (list, tuple)):
        return list(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, Mapping):
        return [part for item in value.items() for part in item]
    if isinstance(value, types.ModuleType):
        file = getattr(value, "__file__", None)
        return [value.__name__, Path(file).read_bytes() if file else None]
    if isinstance(value, type):
        return _class_parts(value)
    if dataclasses.is_dataclass(value):
        fields = {f.name: getattr(value, f.name, None) for f in dataclasses.fields(value)}
        return [type(value), *fields.items()]
    if hasattr(value, "__wrapped__"):  # a jitted function, a cached one
        return [value.__wrapped__]
    if getattr(value, "__dict__", None):
        return [type(value), *vars(value).items()]
    try:
        return [type(value), pickle.dumps(value)]
    except Exception:
        return [type(value)]


def _function_parts(function: types.FunctionType) -> list[Any]:
    cells = [content(cell) for cell in function.__closure__ or ()]
    names = sorted(names_in(function.__code__) & function.__globals__.keys() - {"__name__"})
    named = [(name, function.__globals__[name]) for name in names]
    return [function.__code__, function.__defaults__, function.__kwdefaults__, cells, named]


def _class_parts(cls: type) -> list[Any]:
    own = {
        name: value
        for name, value in vars(cls).items()
        if isinstance(
            value, (types.FunctionType, staticmethod, classmethod, property, int, float, str)
        )
        and name not in ("__module__", "__doc__", "__firstlineno__")
    }
    functions = [
        (name, getattr(value, "fget", None) or getattr(value, "__func__", value))
        for name, value in sorted(own.items())
    ]
    return [cls.__qualname__, cls.__bases__, functions]


def _library_name(value: Any) -> str | None:
    """The name that a library defines a thing by; None for the user's own and for the rest."""
    if isinstance(value, types.ModuleType):
        return value.__name__ if is_library(value.__name__) else None
    module, name = getattr(value, "__module__", None), getattr(value, "__qualname__", None)
    if not (isinstance(module, str) and isinstance(name, str) and is_library(module)):
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}.{name}" if found is value else None
