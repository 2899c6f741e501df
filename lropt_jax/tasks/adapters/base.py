"""What every model looks like once it is adapted: a few pure functions."""

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
    "is_train": True,
    "deterministic": False,
    "use_running_average": False,
    "inference": False,
    "eval": False,
}


class Network(Protocol):
    """A model as pure functions; compares equal to one adapted from an equal model."""

    def init(self, key: jax.Array, x: Any) -> tuple[Any, Any]:
        """Makes (params, model_state) for inputs of the shape of `x`."""

    def apply(
        self, params: Any, model_state: Any, x: Any, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """(outputs, model_state): in training mode with a key, in evaluation mode with None."""

    def variables(self, params: Any, model_state: Any) -> Any:
        """What the model's own library calls a trained model: variables, or a module."""


def mode_arguments(call: Callable[..., Any], train: bool) -> dict[str, Any]:
    """The arguments of a module's call that say whether it is trained, found by their names."""
    names = inspect.signature(call).parameters
    return {name: in_training == train for name, in_training in _MODES.items() if name in names}
