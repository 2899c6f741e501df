"""`flax.serialization` learns to save schedules as soon as flax is there, and not before."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

_MODULE = "flax.serialization"


def register_when_loaded(schedule_type: type[Any]) -> None:
    """Registers the type with flax now, or at the moment that flax is imported."""
    if hasattr(sys.modules.get(_MODULE), "register_serialization_state"):
        _register(sys.modules[_MODULE], schedule_type)
    else:
        sys.meta_path.insert(0, _OnImport(schedule_type))


class _OnImport(importlib.abc.MetaPathFinder):
    """Lets the import of flax's serialization run as ever, and registers after it."""

    def __init__(self, schedule_type: type[Any]):
        self.schedule_type = schedule_type

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
            _register(module, self.schedule_type)
            sys.meta_path.remove(self)

        loader.exec_module = exec_module


def _register(serialization: ModuleType, schedule_type: type[Any]) -> None:
    def to_state_dict(s: Any) -> dict[str, Any]:
        numbers = {**s._data, **s._state}
        return {k: serialization.to_state_dict(v) for k, v in numbers.items()}

    def from_state_dict(s: Any, saved: dict[str, Any]) -> Any:
        def restore(numbers: dict[str, Any]) -> dict[str, Any]:
            return {k: serialization.from_state_dict(v, saved[k]) for k, v in numbers.items()}

        return schedule_type(s._constructor, restore(s._data), s._static, restore(s._state))

    serialization.register_serialization_state(
        schedule_type, to_state_dict, from_state_dict, override=True
    )
