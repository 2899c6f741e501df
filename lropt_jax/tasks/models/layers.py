"""The layers that the networks here are made of, in forms that are fast inside a compiled loop.

On a CPU XLA runs the gradients of a convolution slowly inside any loop, and slower still when the
kernels are vmapped. As slices and one matrix product they are many times faster there; an
accelerator is better off with `lax.conv_general_dilated`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

Convolution = Literal["auto", "im2col", "lax"]


def conv_function(how: Convolution) -> Callable[..., jax.Array]:
    """The function to give to a Flax `Conv` as `conv_general_dilated`.

    Args:
      how: "im2col", "lax", or "auto", which is "im2col" when JAX's default backend is the CPU and
        "lax" otherwise.

    Raises:
      ValueError: for anything else.
    """
    if how == "auto":
        how = "im2col" if jax.default_backend() == "cpu" else "lax"
    if how not in ("im2col", "lax"):
        raise ValueError(f'convolution must be "auto", "im2col" or "lax", got {how!r}')
    return im2col if how == "im2col" else jax.lax.conv_general_dilated


def im2col(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    **precision: Any,
) -> jax.Array:
    """A convolution as slices, their concatenation and one matrix product.

    Takes the arguments of `jax.lax.conv_general_dilated` and gives its result, for any number of
    spatial axes in Flax's layout: channels last, kernels (*window, in, out).

    Raises:
      ValueError: for groups, a dilated input or another layout, which "lax" can do.
    """
    axes = range(1, lhs.ndim - 1)
    size = tuple(rhs.shape[:-2])
    strides = tuple(window_strides)
    gaps = tuple(rhs_dilation or (1,) * len(size))
    _check_plain(lhs, lhs_dilation, dimension_numbers, feature_group_count, batch_group_count)

    extent = [(k - 1) * gap + 1 for k, gap in zip(size, gaps, strict=True)]
    if isinstance(padding, str):
        padding = jax.lax.padtype_to_pads([lhs.shape[a] for a in axes], extent, strides, padding)
    lhs = jnp.pad(lhs, [(0, 0), *padding, (0, 0)])
    out = [(lhs.shape[a] - e) // s + 1 for a, e, s in zip(axes, extent, strides, strict=True)]

    def shifted(offsets: tuple[int, ...]) -> jax.Array:
        start = [offset * gap for offset, gap in zip(offsets, gaps, strict=True)]
        stop = [a + (n - 1) * s + 1 for a, n, s in zip(start, out, strides, strict=True)]
        return jax.lax.slice(
            lhs, (0, *start, 0), (lhs.shape[0], *stop, lhs.shape[-1]), (1, *strides, 1)
        )

    patches = jnp.concatenate([shifted(o) for o in itertools.product(*map(range, size))], axis=-1)
    columns = patches.reshape(-1, patches.shape[-1])
    product = jnp.matmul(columns, rhs.reshape(-1, rhs.shape[-1]), **precision)
    return product.reshape(*patches.shape[:-1], rhs.shape[-1])


def _check_plain(
    lhs: jax.Array, lhs_dilation: Any, layout: Any, feature_groups: int, batch_groups: int
) -> None:
    last = lhs.ndim - 1
    spatial = tuple(range(1, last))
    expected = ((0, last, *spatial), (last, last - 1, *range(last - 1)), (0, last, *spatial))
    if feature_groups != 1 or batch_groups != 1 or any(d != 1 for d in lhs_dilation or ()):
        raise ValueError(
            "im2col does neither groups nor dilated inputs, got feature_group_count="
            f"{feature_groups}, batch_group_count={batch_groups}, lhs_dilation={lhs_dilation}; "
            'use convolution="lax"'
        )
    if isinstance(layout, jax.lax.ConvDimensionNumbers) and tuple(layout) != expected:
        raise ValueError(f'im2col is for channels last, got {layout}; use convolution="lax"')


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


def max_pool(x: jax.Array) -> jax.Array:
    """The maximum of each 2 x 2 block; a last odd row or column is dropped.

    Args:
      x: images, shape (batch, height, width, channels).
    """
    batch, height, width, channels = x.shape
    rows, columns = height // 2, width // 2
    blocks = x[:, : 2 * rows, : 2 * columns].reshape(batch, rows, 2, columns, 2, channels)
    return blocks.max((2, 4))


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
        if not 0 <= rate < 1:
            raise ValueError(f"dropout must be in [0, 1), got {rate!r}")


def check_counts(**counts: int) -> None:
    """Raises `ValueError` for a number of classes or channels below 1."""
    for name, count in counts.items():
        if count < 1:
            raise ValueError(f"{name} must be >= 1, got {count!r}")


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
