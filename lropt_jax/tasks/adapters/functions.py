"""Pairs of functions (init, apply) as networks: hand-written models, Haiku's transformed ones."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax

from lropt_jax.tasks.adapters.base import mode_arguments

_STATE = ("state", "model_state")
_KEY = ("key", "rng")


@dataclasses.dataclass(frozen=True)
class FunctionsNetwork:
    """Two functions, `init(key, x) -> params` and `apply(params, x) -> outputs` of a whole batch.

    `apply` is given more where its arguments after the first are named so, in any order:
    `state` (or `model_state`), and then init returns (params, state) and apply (outputs, state);
    `key` (or `rng`), which is None in evaluation; and a mode (`train`, `is_training`, ...).
    `init` may do without `x`.
    """

    make: Callable[..., Any]
    call: Callable[..., Any]

    def init(self, key: jax.Array, x: Any) -> tuple[Any, Any]:
        """What the first function makes."""
        made = self.make(key, x) if _positional(self.make) != 1 else self.make(key)
        if not self._has_state:
            return made, {}
        if not (isinstance(made, tuple) and len(made) == 2):
            raise TypeError("init must return (params, state), since apply takes a state")
        return made

    def apply(
        self, params: Any, model_state: Any, x: Any, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """One forward pass."""
        special = {**dict.fromkeys(_STATE, model_state), **dict.fromkeys(_KEY, key)}
        positional, named = [params], mode_arguments(self.call, train=key is not None)
        x_given = False
        for name, parameter in list(inspect.signature(self.call).parameters.items())[1:]:
            if x_given or parameter.kind is inspect.Parameter.KEYWORD_ONLY:
                named |= {name: special[name]} if name in special else {}
            elif name not in named:
                x_given = name not in special
                positional.append(x if x_given else special[name])
        out = self.call(*positional, **named)
        return out if self._has_state else (out, model_state)

    def variables(self, params: Any, model_state: Any) -> Any:
        """The parameters; (params, state) where there is a state."""
        return (params, model_state) if self._has_state else params

    @property
    def _has_state(self) -> bool:
        return any(name in inspect.signature(self.call).parameters for name in _STATE)


def _positional(function: Callable[..., Any]) -> int:
    """How many positional arguments a function takes; -1 for any number."""
    kinds = [p.kind for p in inspect.signature(function).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return -1
    taken = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(kind in taken for kind in kinds)
