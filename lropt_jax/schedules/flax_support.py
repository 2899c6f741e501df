"""`flax.serialization` learns to save our types as soon as flax is there, and not before."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from lropt_jax.validation import is_number

_MODULE = "flax.serialization"


_waiting: list[Callable[[ModuleType], None]] = []


def when_loaded(register: Callable[[ModuleType], None]) -> None:
    """Calls `register(flax.serialization)` now, or at the moment that flax is imported."""
    if hasattr(sys.modules.get(_MODULE), "register_serialization_state"):
        register(sys.modules[_MODULE])
        return
    _waiting.append(register)
    if len(_waiting) == 1:
        sys.meta_path.insert(0, _OnImport())


class _OnImport(importlib.abc.MetaPathFinder):
    """Lets the import of flax's serialization run as ever, and registers after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != _MODULE:
            return None
        sys.meta_path.remove(self)  # the other finders know where flax is
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            sys.meta_path.insert(0, self)
        if spec is not None and spec.loader is not None:
            self._register_after(spec.loader)
        return spec

    def _register_after(self, loader: Any) -> None:
        execute = loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for register in _waiting:
                register(module)
            sys.meta_path.remove(self)

        loader.exec_module = exec_module


def restored(serialization: Any, name: str, own: Any, saved: Any) -> Any:
    """What was saved in the place of a number, a schedule, or a tuple of them.

    Args:
      serialization: flax's module.
      name: what an error calls it.
      own: what stands there.
      saved: the state dict.

    Raises:
      ValueError: for a schedule that was saved where a number stands.
    """
    if isinstance(own, tuple) and isinstance(saved, Mapping) and len(saved) == len(own):
        pairs = [(i, x, saved.get(str(i))) for i, x in enumerate(own)]
        return tuple(restored(serialization, f"{name}[{i}]", x, y) for i, x, y in pairs)
    if isinstance(saved, Mapping) and is_number(own):
        raise ValueError(
            f"{name}: the schedule {next(iter(saved), '')} was saved, but here is a number: "
            "restore into the state of an optimizer that is built alike"
        )
    return serialization.from_state_dict(own, saved, name)
