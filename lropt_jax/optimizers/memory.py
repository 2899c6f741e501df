"""What the optimizers keep beside the parameters, in bytes: measured on a state that was made."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.optimizers.catalogue import OPTIMIZERS

SIZE = 4096  # numbers in the smaller of the two states; the larger has twice as many
RATE = 0.1

# Beside each optimizer as it comes: settings that keep more.
SETTINGS: dict[str, tuple[dict[str, Any], ...]] = {
    "local_gains": ({"momentum": 0.9},),
    "rmsprop": ({"momentum": 0.9}, {"centered": True}),
    "sgd": ({"momentum": 0.9},),
}


class Memory(NamedTuple):
    """What one optimizer keeps.

    Attributes:
      optimizer: the call, without the learning rate.
      per_parameter: bytes for each parameter.
      fixed: bytes for numbers, counts and the like, whatever the size of the net (of one leaf).
    """

    optimizer: str
    per_parameter: float
    fixed: int


def state_bytes(tx: optax.GradientTransformation, size: int, dtype: Any = jnp.float32) -> int:
    """The bytes of a transformation's state for `size` parameters of one leaf."""
    state = tx.init(jnp.zeros(size, dtype))
    return sum(
        np.asarray(jax.random.key_data(x) if _is_key(x) else x).nbytes for x in _arrays(state)
    )


def memory_table(dtype: Any = jnp.float32) -> list[Memory]:
    """All optimizers, those that keep least first.

    Args:
      dtype: of the parameters.
    """
    found = []
    for name, make in OPTIMIZERS.items():
        for setting in ({}, *SETTINGS.get(name, ())):
            tx = make(RATE, **setting)
            small, large = (state_bytes(tx, n, dtype) for n in (SIZE, 2 * SIZE))
            words = ", ".join(f"{k}={v!r}" for k, v in setting.items())
            each = (large - small) / SIZE
            found.append(
                Memory(f"{name}({words})" if words else name, each, round(small - each * SIZE))
            )
    return sorted(found, key=lambda row: row.per_parameter)


def _arrays(state: Any) -> list[Any]:
    return [x for x in jax.tree.leaves(state) if hasattr(x, "dtype")]


def _is_key(x: Any) -> bool:
    return bool(jnp.issubdtype(x.dtype, jax.dtypes.prng_key))
