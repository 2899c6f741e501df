"""Flax modules, linen and nnx, as networks of pure functions. The only adapter to import Flax."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import jax

from lropt_jax.adapters.base import Network

try:
    from flax import linen
except ImportError as error:
    raise ImportError("Flax modules need Flax: pip install 'lropt-jax[flax]'") from error

# The argument that tells a module whether it is being trained, and its value when it is.
_MODES = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
}


def adapt(model: Any) -> Network:
    """The network of a linen module; raises `TypeError` for anything that is no model."""
    if isinstance(model, linen.Module):
        return LinenNetwork(model, _mode_of(model))
    raise TypeError(f"model must be a Flax linen module, got {model!r}")


@dataclasses.dataclass(frozen=True)
class LinenNetwork:
    """A linen module: params are its collection "params", model_state all its other ones."""

    module: linen.Module
    mode: str | None

    def init(self, key: jax.Array, x: jax.Array) -> tuple[Any, Any]:
        """The module's variables, made in evaluation mode, so without drawing for dropout."""
        variables = dict(self.module.init(key, x, **self._mode(train=False)))
        params = variables.pop("params", {})
        return params, variables

    def apply(
        self, params: Any, model_state: Any, x: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """One forward pass."""
        variables = {"params": params, **model_state}
        mode = self._mode(train=key is not None)
        # Flax draws from "params" for every stream that is not given by its own name.
        rngs = None if key is None else {"params": key}
        if key is None or not model_state:
            logits: Any = self.module.apply(variables, x, rngs=rngs, **mode)
            return logits, model_state
        mutable = list(model_state)
        logits, new_state = self.module.apply(variables, x, rngs=rngs, mutable=mutable, **mode)
        return logits, {**model_state, **new_state}

    def __hash__(self) -> int:
        try:
            return hash((self.module, self.mode))
        except TypeError:  # a field that cannot be hashed, an array for example
            return hash((type(self.module), self.mode))

    def _mode(self, train: bool) -> dict[str, Any]:
        return {} if self.mode is None else {self.mode: _MODES[self.mode] == train}


def _mode_of(module: linen.Module) -> str | None:
    names = inspect.signature(module.__call__).parameters
    found = [name for name in _MODES if name in names]
    if len(found) > 1:
        raise ValueError(
            f"{type(module).__name__}.__call__ must have one argument for the mode, "
            f"has {', '.join(found)}"
        )
    return found[0] if found else None
