"""Which form of a convolution XLA:CPU is fast with, inside a loop.

XLA:CPU has a fast library for convolutions, but in a loop it gives to it only those whose axes
lie in one order, with the channels last: forward passes, hardly ever a gradient. Others, those in
groups, and those that `vmap` makes of one are computed number by number, up to a hundred times
slower. So a convolution becomes slices and products where these are faster, and otherwise one or
several convolutions in the library's order, which take the lanes of `vmap` in turn.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

FEW_CHANNELS = 4  # of an image, up to which copies of it cost less than the library does
SHORT = 200  # numbers in a window of a sequence, likewise
PLACES = 128  # in a window, up to which each is written out
PIECES = 16  # groups, or phases of a dilated input, up to which each is a convolution of its own
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
        return [
            (n - r) // s + 1 for n, r, s in zip(padded, reach, self.strides, strict=True)
        ]

    def padded(self, x: Any) -> Any:
        """x as it is under the window, with zeros around it, or cut where they are fewer than 0."""
        space = [(*p, d - 1) for p, d in zip(self.padding, self.spread, strict=True)]
        return lax.pad(x, jnp.zeros((), x.dtype), [(0, 0, 0), *space, (0, 0, 0)])


# Convolves what no form is faster for: (x, w, convolution) -> its result.
Library = Callable[[Any, Any, Convolution], Any]
Form = Callable[[Any, Any, Convolution, Library], Any]


def before_gradient(eqn: Any) -> Callable[..., Any] | None:
    """What replaces a convolution that is still to be differentiated; see `Replacement`."""
    return _replacement(eqn, library, always=False)


def after_gradient(eqn: Any) -> Callable[..., Any] | None:
    """What replaces a convolution that is not to be differentiated any more."""
    return _replacement(eqn, in_turn, always=True)


def _replacement(eqn: Any, rest: Library, always: bool) -> Callable[..., Any] | None:
    if eqn.primitive.name != "conv_general_dilated":
        return None
    given = eqn.params
    how = Convolution(
        given["window_strides"],
        given["padding"],
        given["lhs_dilation"],
        given["rhs_dilation"],
        given["feature_group_count"],
        given["batch_group_count"],
        given["precision"],
        given["preferred_element_type"],
    )
    of_x, of_w, of_y = given["dimension_numbers"]
    of_x, of_y = ((batch, *space, channels) for batch, channels, *space in (of_x, of_y))
    of_w = (*of_w[2:], of_w[1], of_w[0])
    x, w = (
        jax.ShapeDtypeStruct([v.aval.shape[axis] for axis in order], v.aval.dtype)  # type: ignore[no-untyped-call]
        for v, order in zip(eqn.invars, (of_x, of_w), strict=True)
    )
    if form_of(x, w, how) is None and not (always and _known(x, w)):
        return None

    def replaced(x: Any, w: Any) -> Any:
        y = convolved(jnp.transpose(x, of_x), jnp.transpose(w, of_w), how, rest)
        return jnp.transpose(y, np.argsort(of_y)).astype(eqn.outvars[0].aval.dtype)

    return replaced


def convolved(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    """A convolution in its fastest form."""
    form = form_of(x, w, how)
    return rest(x, w, how) if form is None else form(x, w, how, rest)


def form_of(x: Any, w: Any, how: Convolution) -> Form | None:
    """A form that is faster than the library; None where there is none, or none is possible."""
    window = w.shape[:-2]
    places, plain = math.prod(window), (1,) * len(window)
    if not window or 0 in (*x.shape, *w.shape) or min(how.space(x, w)) <= 0:
        return None
    if how.spread != plain:
        phases = how.strides == how.gaps == plain and math.prod(how.spread) <= PIECES
        return _in_phases if phases and how.batch_groups == 1 else None
    if how.batch_groups > 1:
        return _in_batch_groups if how.batch_groups <= PIECES else None
    written_out = places <= PLACES and _patch_bytes(x, w, how) <= PATCHES * x.shape[0]
    if how.groups > 1:
        if w.shape[-2] == 1 and w.shape[-1] <= how.groups**2:
            return _depthwise if places <= PLACES else None
        if how.groups <= PIECES:
            return _in_groups
        return _in_many_groups if written_out else None
    if places == 1:
        return _product
    if window == how.strides and how.gaps == plain:
        return _tiles
    channels = x.shape[-1]
    few = {1: channels * places <= SHORT, 2: channels <= FEW_CHANNELS}.get(len(window), True)
    return _patches if written_out and (few or not _known(x, w)) else None


def _known(x: Any, w: Any) -> bool:
    """Whether the library takes it."""
    return x.ndim <= 5 and x.dtype in (jnp.float32, jnp.bfloat16, jnp.float16)


def library(x: Any, w: Any, how: Convolution) -> Any:
    """XLA's own convolution, in the order of axes that its library takes."""
    last = x.ndim - 1
    space = tuple(range(1, last))
    images, kernels = (0, last, *space), (last, last - 1, *range(last - 1))
    return lax.conv_general_dilated(
        x,
        w,
        how.strides,
        how.padding,
        how.spread,
        how.gaps,
        lax.ConvDimensionNumbers(images, kernels, images),
        how.groups,
        how.batch_groups,
        how.precision,
        how.dtype,
    )


def in_turn(x: Any, w: Any, how: Convolution) -> Any:
    """The same, where the lanes of `vmap` take turns; not for what is to be differentiated."""
    if any(n < 0 for pair in how.padding for n in pair):  # which the library does not take
        cut = how._replace(
            padding=tuple((min(low, 0), min(high, 0)) for low, high in how.padding)
        )
        if set(how.spread) == {1}:
            x = cut.padded(x)
            how = how._replace(
                padding=tuple((max(low, 0), max(high, 0)) for low, high in how.padding)
            )
    return _in_turn(how)(x, w)


@functools.cache
def _in_turn(how: Convolution) -> Any:
    @jax.custom_batching.custom_vmap
    def convolve(x: Any, w: Any) -> Any:
        return library(x, w, how)

    @convolve.def_vmap
    def _(size: int, batched: Any, x: Any, w: Any) -> Any:
        if batched[1]:
            lanes = (x, w) if batched[0] else (jnp.broadcast_to(x, (size, *x.shape)), w)
            return lax.map(lambda lane: convolve(*lane), lanes), True
        y = convolve(x.reshape(-1, *x.shape[2:]), w)
        return y.reshape(size, -1, *y.shape[1:]), True

    return convolve


def _product(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    """A window of one place is no window: a product with each pixel's channels."""
    (x,) = _copies(how.padded(x), w, how)
    return _times(x, w, how)


def _tiles(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    """Windows that tile the input: nothing is copied."""
    x, out, window = how.padded(x), how.space(x, w), w.shape[:-2]
    ends = [n * k for n, k in zip(out, window, strict=True)]
    x = lax.slice(x, [0] * x.ndim, [x.shape[0], *ends, x.shape[-1]])
    split = [part for pair in zip(out, window, strict=True) for part in pair]
    x = x.reshape(x.shape[0], *split, x.shape[-1])
    last = x.ndim - 1
    x = jnp.transpose(x, (0, *range(1, last, 2), *range(2, last, 2), last))
    return _times(x.reshape(x.shape[0], *out, -1), w, how)


def _patches(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    """The pixels under each window side by side, then one product; of some images at a time."""

    def images(x: Any) -> Any:
        return _times(jnp.concatenate(list(_copies(x, w, how)), axis=-1), w, how)

    pieces = -(-_patch_bytes(x, w, how) // PATCHES)
    x = how.padded(x)
    if pieces == 1:
        return images(x)
    one = jax.checkpoint(lambda image: images(image[None])[0], prevent_cse=False)
    return lax.map(one, x, batch_size=max(1, x.shape[0] // pieces))


def _patch_bytes(x: Any, w: Any, how: Convolution) -> int:
    patch = math.prod(w.shape[:-1]) * how.groups * x.dtype.itemsize
    return int(x.shape[0] * math.prod(how.space(x, w)) * patch)


def _depthwise(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    """Each channel by itself: products of numbers, in one loop."""
    channels, ones = x.shape[-1], (1,) * (x.ndim - 1)
    half = jnp.issubdtype(x.dtype, jnp.floating) and x.dtype.itemsize < 4
    dtype = how.dtype or (jnp.float32 if half else x.dtype)

    def run(x: Any, w: Any) -> Any:
        copies = list(_copies(how.padded(x).astype(dtype), w, how))
        kernels = w.astype(dtype).reshape(len(copies), channels, -1)
        kernels = jnp.moveaxis(kernels, 2, 0).reshape(-1, len(copies), *ones, channels)
        sums = [sum(c * k for c, k in zip(copies, jnp.unstack(kernel), strict=True)) for kernel in jnp.unstack(kernels)]  # fmt: skip
        y = jnp.stack(sums, axis=-1)
        return y.reshape(*y.shape[:-2], -1)

    # Without it the copies are kept for the backward pass, where a loop or a checkpoint ends.
    return jax.checkpoint(run)(x, w)


def _in_groups(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    xs, ws = (jnp.split(a, how.groups, axis=-1) for a in (x, w))
    alone = how._replace(groups=1)
    parts = [convolved(*pair, alone, rest) for pair in zip(xs, ws, strict=True)]
    return jnp.concatenate(parts, axis=-1)


def _in_many_groups(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    xs, ws = (a.reshape(*a.shape[:-1], how.groups, -1) for a in (x, w))
    alone = functools.partial(_patches, how=how._replace(groups=1), rest=rest)
    y = jax.vmap(alone, in_axes=-2, out_axes=-2)(xs, ws)
    return y.reshape(*y.shape[:-2], -1)


def _in_batch_groups(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    xs, ws = jnp.split(x, how.batch_groups), jnp.split(w, how.batch_groups, axis=-1)
    alone = how._replace(batch_groups=1)
    parts = [convolved(*pair, alone, rest) for pair in zip(xs, ws, strict=True)]
    return jnp.concatenate(parts, axis=-1)


def _in_phases(x: Any, w: Any, how: Convolution, rest: Library) -> Any:
    """An input with zeros between its pixels: each phase of the result meets its own part of the
    window, and no zeros."""
    plain = (1,) * len(how.spread)
    out = how.space(x, w)
    lengths = [-(-n // d) for n, d in zip(out, how.spread, strict=True)]
    parts = []
    for phase in itertools.product(*map(range, how.spread)):
        part, padding = w, []
        for axis, (offset, step, length) in enumerate(zip(phase, how.spread, lengths, strict=True)):
            low = how.padding[axis][0]
            begin = (low - offset) % step
            part = lax.slice_in_dim(part, min(begin, part.shape[axis]), None, step, axis)
            before = (low - offset - begin) // step
            after = length + part.shape[axis] - 1 - x.shape[axis + 1] - before
            padding.append((before, after))
        if 0 in part.shape:
            parts.append(jnp.zeros((x.shape[0], *lengths, w.shape[-1]), how.dtype or x.dtype))
        else:
            dense = how._replace(padding=tuple(padding), spread=plain)
            parts.append(convolved(x, part, dense, rest))
    y = jnp.stack(parts, axis=-2)
    y = y.reshape(x.shape[0], *lengths, *how.spread, w.shape[-1])
    axes = len(plain)
    order = [axis for pair in zip(range(1, axes + 1), range(axes + 1, 2 * axes + 1), strict=True) for axis in pair]  # fmt: skip
    y = jnp.transpose(y, (0, *order, 2 * axes + 1))
    y = y.reshape(x.shape[0], *(n * d for n, d in zip(lengths, how.spread, strict=True)), w.shape[-1])  # fmt: skip
    return lax.slice(y, [0] * y.ndim, [x.shape[0], *out, w.shape[-1]])


def _times(x: Any, w: Any, how: Convolution) -> Any:
    """Each pixel's numbers, (..., window and in), times w."""
    y = lax.dot_general(
        x.reshape(-1, x.shape[-1]),
        w.reshape(-1, w.shape[-1]),
        (((1,), (0,)), ((), ())),
        precision=how.precision,
        preferred_element_type=how.dtype,
    )
    return y.reshape(*x.shape[:-1], w.shape[-1])


def _copies(x: Any, w: Any, how: Convolution) -> Any:
    """The padded input as each place of the window meets it."""
    window = w.shape[:-2]
    out = how._replace(padding=((0, 0),) * len(window)).space(x, w)
    for place in itertools.product(*map(range, window)):
        start = [p * gap for p, gap in zip(place, how.gaps, strict=True)]
        stop = [a + (n - 1) * s + 1 for a, n, s in zip(start, out, how.strides, strict=True)]
        yield lax.slice(
            x, (0, *start, 0), (x.shape[0], *stop, x.shape[-1]), (1, *how.strides, 1)
        )
