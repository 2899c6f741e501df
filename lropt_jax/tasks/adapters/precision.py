"""A network computed in another float type than its parameters have: mixed precision."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from lropt_jax.tasks.adapters.base import Network


@dataclasses.dataclass(frozen=True)
class InPrecision:
    """A network whose forward and backward passes are in `dtype`.

    The parameters, which the optimizer sees, and the model's state keep their types; so do
    running statistics, which would lose what they average. The outputs are at least float32.
    """

    network: Network
    dtype: str

    def init(self, key: jax.Array, x: Any) -> tuple[Any, Any]:
        """As the network's."""
        return self.network.init(key, x)

    def apply(
        self, params: Any, model_state: Any, x: Any, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """One forward pass."""
        params, x = (_cast(tree, self.dtype) for tree in (params, x))
        out, new = self.network.apply(params, model_state, x, key)
        new = jax.tree.map(lambda a, b: jnp.asarray(a).astype(b.dtype), new, model_state)
        wide = jax.tree.map(lambda a: a.astype(jnp.promote_types(a.dtype, jnp.float32)), out)
        return wide, new

    def variables(self, params: Any, model_state: Any) -> Any:
        """As the network's."""
        return self.network.variables(params, model_state)


def in_precision(network: Network, dtype: Any) -> Network:
    """The network in a float type; as it is for None.

    Raises:
      ValueError: for anything that is no float type, or float64 where JAX has none.
    """
    if dtype is None:
        return network
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        raise ValueError(f"dtype must be a float type (jnp.bfloat16), got {dtype!r}") from None
    if not jnp.issubdtype(found, jnp.floating):
        raise ValueError(f"dtype must be a float type (jnp.bfloat16), got {found}")
    if jax.dtypes.canonicalize_dtype(found) != found:
        raise ValueError(f"dtype={found} needs jax.config.update('jax_enable_x64', True)")
    return InPrecision(network, found.name)


def _cast(tree: Any, dtype: str) -> Any:
    def cast(x: Any) -> Any:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return jax.tree.map(cast, tree)
