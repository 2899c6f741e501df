"""Which adapter is a model's? The libraries that are known, in the order they are asked."""

from __future__ import annotations

from typing import Any

from lropt_jax.tasks.adapters.base import Network
from lropt_jax.validation import require


def adapt(model: Any) -> Network:
    """The network of a linen module or of a function `rngs -> nnx module`.

    Raises:
      TypeError: for anything else.
      ImportError: when Flax is not installed.
    """
    require("a model", "flax", "flax")
    from flax import linen, nnx

    from lropt_jax.tasks.adapters.linen import LinenNetwork
    from lropt_jax.tasks.adapters.nnx import NnxNetwork

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
