"""What every model looks like once it is adapted: two pure functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Protocol

import jax

# The arguments that tell a module whether it is being trained, with their value when it is.
_MODES = {
    "train": True,
    "training": True,
    "is_training": True,
    "deterministic": False,
    "use_running_average": False,
}


class Network(Protocol):
    """A model as two pure functions; compares equal to one adapted from an equal model."""

    def init(self, key: jax.Array, x: jax.Array) -> tuple[Any, Any]:
        """Makes (params, model_state) for inputs of the shape of `x`."""

    def apply(
        self, params: Any, model_state: Any, x: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """(outputs, model_state): in training mode with a key, in evaluation mode with None."""


def mode_arguments(call: Callable[..., Any], train: bool) -> dict[str, Any]:
    """The arguments of a module's call that say whether it is trained, found by their names."""
    names = inspect.signature(call).parameters
    return {name: in_training == train for name, in_training in _MODES.items() if name in names}


def adapt(model: Any) -> Network:
    """The network of a linen module or of a function `rngs -> nnx module`.

    Raises:
      TypeError: for anything else.
      ImportError: when Flax is not installed.
    """
    try:
        from flax import linen, nnx
    except ImportError as error:
        raise ImportError("a model needs Flax: pip install 'lropt-jax[flax]'") from error
    from lropt_jax.adapters.linen import LinenNetwork
    from lropt_jax.adapters.nnx import NnxNetwork

    if isinstance(model, linen.Module):
        return LinenNetwork(model)
    if isinstance(model, nnx.Module):
        raise TypeError(
            "an nnx model must be a function rngs -> module, so that each seed can make its own "
            f"weights, got a {type(model).__name__} that is made already"
        )
    if not callable(model) or (isinstance(model, type) and issubclass(model, linen.Module)):
        raise TypeError(
            f"model must be a Flax linen module or a function rngs -> nnx module, got {model!r}"
        )
    return NnxNetwork(model)
