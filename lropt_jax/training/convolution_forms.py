"""A convolution as slices and products, or as several smaller ones: what it is, in each form.

Every form takes x, (batch, *space, in), w, (*window, in / groups, out), and how the one is
convolved with the other, and gives (batch, *space, out). Forms that are made of smaller
convolutions are told what computes these.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

PATCHES = 2**26  # bytes of patches that lie in memory at once


class Convolution(NamedTuple):
    """How x, (batch, *space, in), is convolved with w, (*window, in / groups, out).

    The first four have one entry an axis of space; see `jax.lax.conv_general_dilated`.
    """

    strides: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    spread: tuple[int, ...]  # lhs_dilation
    gaps: tuple[int, ...]  # rhs_dilation
    groups: int
    batch_groups: int
    precision: Any
    dtype: Any  # preferred_element_type

    def space(self, x: Any, w: Any) -> list[int]:
        """The lengths of the result's axes of space."""
        spread = [(n - 1) * d + 1 for n, d in zip(x.shape[1:-1], self.spread, strict=True)]
        reach = [(k - 1) * d + 1 for k, d in zip(w.shape[:-2], self.gaps, strict=True)]
        padded = [n + sum(p) for n, p in zip(spread, self.padding, strict=True)]
        return [(n - r) // s + 1 for n, r, s in zip(padded, reach, self.strides, strict=True)]

    def padded(self, x: Any) -> Any:
        """x as it lies under the window: with zeros around it, or cut where they are below 0."""
        space = [(*p, d - 1) for p, d in zip(self.padding, self.spread, strict=True)]
        return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *space, (0, 0, 0)])


Compute = Callable[[Any, Any, Convolution], Any]
Form = Callable[[Any, Any, Convolution, Compute], Any]


def product(x: Any, w: Any, how: Convolution, compute: Compute) -> Any:
    """A window of one place is no window: each pixel's channels times w."""
    (x,) = _shifted(how.padded(x), w, how)
    return _times(x, w, how)


def tiles(x: Any, w: Any, how: Convolution, compute: Compute) -> Any:
    """Windows that tile the input: it is cut along them, and nothing is copied."""
    x, out, window = how.padded(x), how.space(x, w), w.shape[:-2]
    ends = [n * k for n, k in zip(out, window, strict=True)]
    x = lax.slice(x, [0] * x.ndim, [x.shape[0], *ends, x.shape[-1]])
    return _times(_apart(x, out, window).reshape(x.shape[0], *out, -1), w, how)


def patches(x: Any, w: Any, how: Convolution, compute: Compute) -> Any:
    """The pixels under each window side by side, then one product; of some images at a time."""

    def images(x: Any) -> Any:
        return _times(jnp.concatenate(list(_shifted(x, w, how)), axis=-1), w, how)

    pieces = -(-patch_bytes(x, w, how) // PATCHES)
    x = how.padded(x)
    if pieces == 1:
        return images(x)
    # The backward pass makes a piece's patches again, so that they never lie there all at once.
    one = jax.checkpoint(lambda image: images(image[None])[0], prevent_cse=False)
    return lax.map(one, x, batch_size=max(1, x.shape[0] // pieces))


def patch_bytes(x: Any, w: Any, how: Convolution) -> int:
    """The bytes of the pixels under all windows."""
    patch = math.prod(w.shape[:-1]) * how.groups * x.dtype.itemsize
    return int(x.shape[0] * math.prod(how.space(x, w)) * patch)


def depthwise(x: Any, w: Any, how: Convolution, compute: Compute) -> Any:
    """Each channel by itself: a sum of numbers times numbers, in one loop."""
    channels, ones = x.shape[-1], (1,) * (x.ndim - 1)
    half = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
    dtype = how.dtype or (jnp.float32 if half else x.dtype)

    def run(x: Any, w: Any) -> Any:
        copies = list(_shifted(how.padded(x).astype(dtype), w, how))
        kernels = w.astype(dtype).reshape(len(copies), channels, -1)
        kernels = jnp.moveaxis(kernels, 2, 0).reshape(-1, len(copies), *ones, channels)
        results = [
            sum(copy * place for copy, place in zip(copies, jnp.unstack(kernel), strict=True))
            for kernel in jnp.unstack(kernels)
        ]
        y = jnp.stack(results, axis=-1)
        return y.reshape(*y.shape[:-2], -1)

    # Else every copy is kept for the backward pass where a loop or a checkpoint of the user's ends.
    return jax.checkpoint(run)(x, w)


def groups(x: Any, w: Any, how: Convolution, compute: Compute) -> Any:
    """A convolution for each group."""
    xs, ws = jnp.split(x, how.groups, axis=-1), jnp.split(w, how.groups, axis=-1)
    return _one_by_one(xs, ws, how._replace(groups=1), compute)


def _one_by_one(xs: Any, ws: Any, how: Convolution, compute: Compute) -> Any:
    return jnp.concatenate([compute(x, w, how) for x, w in zip(xs, ws, strict=True)], axis=-1)


def many_groups(x: Any, w: Any, how: Convolution, compute: Compute) -> Any:
    """The patches of all groups at once: a product with one more axis."""

    def group(x: Any, w: Any) -> Any:
        return patches(x, w, how._replace(groups=1), compute)

    xs, ws = (a.reshape(*a.shape[:-1], how.groups, -1) for a in (x, w))
    y = jax.vmap(group, in_axes=-2, out_axes=-2)(xs, ws)
    return y.reshape(*y.shape[:-2], -1)


def batch_groups(x: Any, w: Any, how: Convolution, compute: Compute) -> Any:
    """A convolution for each group of images, which has kernels of its own."""
    xs, ws = jnp.split(x, how.batch_groups), jnp.split(w, how.batch_groups, axis=-1)
    return _one_by_one(xs, ws, how._replace(batch_groups=1), compute)


def phases(x: Any, w: Any, how: Convolution, compute: Compute) -> Any:
    """An input with zeros between its pixels: each phase of the result is a convolution of the
    pixels with its own part of the window, and the zeros are left out."""
    out, plain = how.space(x, w), (1,) * len(how.spread)
    lengths = [-(-n // d) for n, d in zip(out, how.spread, strict=True)]
    parts = []
    for phase in itertools.product(*map(range, how.spread)):
        part, padding = w, []
        for axis, (offset, step) in enumerate(zip(phase, how.spread, strict=True)):
            low = how.padding[axis][0] - offset
            part = lax.slice_in_dim(part, min(low % step, w.shape[axis]), None, step, axis)
            before = low // step
            after = lengths[axis] + part.shape[axis] - 1 - x.shape[axis + 1] - before
            padding.append((before, after))
        if 0 in part.shape:
            parts.append(jnp.zeros((x.shape[0], *lengths, w.shape[-1]), how.dtype or x.dtype))
        else:
            parts.append(compute(x, part, how._replace(padding=tuple(padding), spread=plain)))
    y = jnp.stack(parts, axis=-2).reshape(x.shape[0], *lengths, *how.spread, w.shape[-1])
    return lax.slice(_together(y), [0] * x.ndim, [x.shape[0], *out, w.shape[-1]])


def _apart(x: Any, outer: Any, inner: Any) -> Any:
    """Axes of space cut in two: (batch, *outer, *inner, channels)."""
    halves = [n for pair in zip(outer, inner, strict=True) for n in pair]
    x = x.reshape(x.shape[0], *halves, x.shape[-1])
    last = x.ndim - 1
    return jnp.transpose(x, (0, *range(1, last, 2), *range(2, last, 2), last))


def _together(x: Any) -> Any:
    """The reverse of `_apart`."""
    last = x.ndim - 1
    axes = (last - 1) // 2
    order = [axis for i in range(axes) for axis in (1 + i, 1 + axes + i)]
    x = jnp.transpose(x, (0, *order, last))
    joined = [x.shape[i] * x.shape[i + 1] for i in range(1, last, 2)]
    return x.reshape(x.shape[0], *joined, x.shape[-1])


def _times(x: Any, w: Any, how: Convolution) -> Any:
    """Each pixel's numbers, those of window and channels, times w."""
    y = lax.dot_general(
        x.reshape(-1, x.shape[-1]),
        w.reshape(-1, w.shape[-1]),
        (((1,), (0,)), ((), ())),
        precision=how.precision,
        preferred_element_type=how.dtype,
    )
    return y.reshape(*x.shape[:-1], w.shape[-1])


def _shifted(x: Any, w: Any, how: Convolution) -> Iterator[Any]:
    """The padded input as each place of the window meets it."""
    window = w.shape[:-2]
    plain = how._replace(padding=((0, 0),) * len(window), spread=(1,) * len(window))
    out = plain.space(x, w)
    for place in itertools.product(*map(range, window)):
        start = [p * gap for p, gap in zip(place, how.gaps, strict=True)]
        stop = [a + (n - 1) * s + 1 for a, n, s in zip(start, out, how.strides, strict=True)]
        yield lax.slice(x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *how.strides, 1))
