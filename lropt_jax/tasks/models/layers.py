"""Layers that are cheaper than Flax's inside a compiled loop, and checks of the networks."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from lropt_jax.validation import averaging, whole_number


def dense(features: int, **options: Any) -> nn.Dense:
    """A Flax `Dense`, with `dense_product` as its product."""
    return nn.Dense(features, dot_general=dense_product, **options)


def dense_product(
    lhs: jax.Array, rhs: jax.Array, dimension_numbers: Any, **options: Any
) -> jax.Array:
    """The product of a Flax `Dense`, in a form whose gradients XLA:CPU computes faster.

    Takes the arguments of `jax.lax.dot_general` and gives its result. Left alone, the gradient of
    the weights contracts the first axis of the inputs, for which XLA:CPU has no fast product: it
    is given the inputs transposed. Elsewhere it is `jax.lax.dot_general` itself.
    """
    plain = (((lhs.ndim - 1,), (0,)), ((), ()))
    if jax.default_backend() != "cpu" or lhs.ndim != 2 or dimension_numbers != plain:
        return jax.lax.dot_general(lhs, rhs, dimension_numbers, **options)

    @jax.custom_jvp
    def product(x: jax.Array, w: jax.Array) -> jax.Array:
        return jax.lax.dot(x, w, **options)

    @product.defjvp
    def _(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
        (x, w), (dx, dw) = primals, tangents
        # Without the barrier the transposition is folded back into the product.
        transposed = jax.lax.optimization_barrier(x.T)  # type: ignore[no-untyped-call]
        by_weights = jax.lax.dot_general(transposed, dw, (((0,), (0,)), ((), ())), **options)
        return product(x, w), product(dx, w) + by_weights

    return product(lhs, rhs)


class Dropout(nn.Module):
    """Dropout by 8 random bits a unit, a quarter of the usual price.

    Attributes:
      rate: the probability that a unit is dropped, rounded to a multiple of 1/256; the units that
        are kept are scaled by the rounded rate, so the mean is exact.
    """

    rate: float

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """`x` itself unless `train`."""
        dropped = min(round(256 * self.rate), 255)
        if not train or dropped == 0:
            return x
        words = jax.random.bits(self.make_rng("dropout"), (-(-x.size // 4),), jnp.uint32)
        bits = jax.lax.bitcast_convert_type(words, jnp.uint8).reshape(-1)[: x.size]
        kept = (bits >= dropped).reshape(x.shape)
        return jnp.where(kept, x * (256 / (256 - dropped)), 0)


def check_dropout(*rates: float) -> None:
    """Raises `ValueError` for a rate outside of [0, 1)."""
    for rate in rates:
        if rate is None:
            raise ValueError(f"dropout must be {averaging.allowed}, got None")
        averaging.check("dropout", rate)


def check_counts(**counts: int) -> None:
    """Raises `ValueError` for what is no number of classes or channels."""
    for name, count in counts.items():
        whole_number(name, count)


def as_images(x: jax.Array, smallest: int) -> jax.Array:
    """`x` as (batch, height, width, channels): square images of 1 or 3 channels may be flat.

    Raises:
      ValueError: for inputs that are no images, or smaller than `smallest`.
    """
    if x.ndim == 3:
        x = x[..., None]
    if x.ndim == 2:
        for channels in (1, 3):
            side = math.isqrt(x.shape[1] // channels)
            if side * side * channels == x.shape[1]:
                x = x.reshape(len(x), side, side, channels)
                break
    if x.ndim != 4 or min(x.shape[1:3]) < smallest:
        raise ValueError(
            f"inputs must be images of at least {smallest} x {smallest}, of shape (batch, height, "
            f"width, channels) or flat squares, got shape {x.shape}"
        )
    return x
