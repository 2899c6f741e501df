"""What every model looks like once it is adapted: two pure functions."""

from __future__ import annotations

from typing import Any, Protocol

import jax


class Network(Protocol):
    """A model as two pure functions; compares equal to one adapted from an equal model."""

    def init(self, key: jax.Array, x: jax.Array) -> tuple[Any, Any]:
        """Makes (params, model_state) for inputs of the shape of `x`."""

    def apply(
        self, params: Any, model_state: Any, x: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """(outputs, model_state): in training mode with a key, in evaluation mode with None."""
