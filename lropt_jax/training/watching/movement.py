"""How far an update goes, and by which angle it turns the weights."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def moved(before: Any, after: Any) -> dict[str, jax.Array]:
    """The squares of what an update did to each leaf, and to all as one vector.

    Args:
      before, after: the parameters.

    Returns:
      By name, (1 + leaves,), the first number that of all: of the weights before, of the update
      along them, of it across them, and their product.
    """
    pairs = zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)
    vectors = [(_flat(x), _flat(y) - _flat(x)) for x, y in pairs]
    length = jnp.stack([jnp.sum(w * w) for w, _ in vectors])
    product = jnp.stack([jnp.sum(w * d) for w, d in vectors])
    update = jnp.stack([jnp.sum(d * d) for _, d in vectors])
    whole = _share(product.sum(), length.sum())
    across_all = sum(jnp.sum((d - whole.astype(d.dtype) * w) ** 2) for w, d in vectors)
    across = jnp.stack([
        jnp.sum((d - _share(p, s).astype(d.dtype) * w) ** 2)
        for (w, d), p, s in zip(vectors, product, length, strict=True)
    ])  # fmt: skip

    def with_all(each: Any, of_all: Any = None) -> Any:
        return jnp.concatenate([jnp.stack([each.sum() if of_all is None else of_all]), each])

    return {
        "length": with_all(length),
        "product": with_all(product),
        "update": with_all(update),
        "across": with_all(across, across_all),
    }


def _flat(x: Any) -> Any:
    """A leaf as a vector of real numbers of at least 32 bits."""
    x = jnp.ravel(x)
    x = jnp.concatenate([x.real, x.imag]) if jnp.iscomplexobj(x) else x
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def _share(product: Any, length: Any) -> Any:
    return product / jnp.where(length > 0, length, 1)


def update_ratios(squares: dict[str, np.ndarray]) -> np.ndarray:
    """The length of the update over that of the weights before it; NaN where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: np.ndarray = np.sqrt(squares["update"] / squares["length"])
    return ratios


def rotations(squares: dict[str, np.ndarray]) -> np.ndarray:
    """The angle between the weights before and after, in radians; NaN where these were 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        root = np.sqrt(squares["length"])
        angles: np.ndarray = np.arctan2(
            np.sqrt(squares["across"]), root + squares["product"] / root
        )
    return angles
