"""Which form of a convolution XLA:CPU is fast with, inside a loop.

XLA:CPU has a fast library for convolutions, but in a loop it gives to it only those whose axes
lie in one order, with the channels last: forward passes, hardly ever a gradient. Others, those in
groups, and those that `vmap` makes of one, are computed number by number, up to a hundred times
slower. So a convolution becomes slices and products where these are faster (see
`convolution_forms`), and otherwise one or several convolutions in the library's order, which take
the lanes of `vmap` in turn.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from lropt_jax.training import convolution_forms as forms
from lropt_jax.training.convolution_forms import Compute, Convolution, Form

# Found by measuring; benchmarks/README.md has the figures.
FEW_CHANNELS = 4  # of an image, up to which copying it costs less than the library does
SHORT = 200  # numbers under the window along a sequence, likewise
PLACES = 128  # of a window, up to which each is written out
IMAGES = 64  # at once, in the gradient of a kernel, beyond which the library slows down
PIECES = 16  # groups, or phases of a spread input, up to which each is a convolution of its own


def before_gradient(eqn: Any) -> Callable[..., Any] | None:
    """What replaces a convolution that is still to be differentiated; see `Replacement`."""
    return _replacement(eqn, _by_library, always=False)


def after_gradient(eqn: Any) -> Callable[..., Any] | None:
    """What replaces a convolution that is not to be differentiated any more."""
    return _replacement(eqn, _by_library_in_turn, always=True)


def _replacement(eqn: Any, rest: Compute, always: bool) -> Callable[..., Any] | None:
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
    numbers = given["dimension_numbers"]
    of_x, of_y = ((s[0], *s[2:], s[1]) for s in (numbers.lhs_spec, numbers.out_spec))
    of_w = (*numbers.rhs_spec[2:], numbers.rhs_spec[1], numbers.rhs_spec[0])
    back = [of_y.index(axis) for axis in range(len(of_y))]
    x, w = (
        jax.ShapeDtypeStruct([v.aval.shape[axis] for axis in order], v.aval.dtype)  # type: ignore[no-untyped-call]
        for v, order in zip(eqn.invars, (of_x, of_w), strict=True)
    )
    if form_of(x, w, how) is None and not (always and _known(x)):
        return None

    def replaced(x: Any, w: Any) -> Any:
        y = _compute(jnp.transpose(x, of_x), jnp.transpose(w, of_w), how, rest=rest)
        return jnp.transpose(y, back).astype(eqn.outvars[0].aval.dtype)

    return replaced


def _compute(x: Any, w: Any, how: Convolution, rest: Compute) -> Any:
    form = form_of(x, w, how)
    if form is None:
        return rest(x, w, how)
    return form(x, w, how, functools.partial(_compute, rest=rest))


def form_of(x: Any, w: Any, how: Convolution) -> Form | None:
    """The form that is faster than the library; None where there is none, or none is possible."""
    window = w.shape[:-2]
    places, plain = math.prod(window), (1,) * len(window)
    if not window or 0 in (*x.shape, *w.shape) or min(how.space(x, w)) <= 0:
        return None
    if how.spread != plain:
        few = math.prod(how.spread) <= PIECES and how.batch_groups == 1
        return forms.phases if few and how.strides == how.gaps == plain else None
    if how.batch_groups > 1:
        return forms.batch_groups if how.batch_groups <= PIECES else None
    one_fits = forms.patch_bytes(x, w, how) <= forms.PATCHES * x.shape[0]
    if how.groups > 1:
        if w.shape[-2] == 1 and w.shape[-1] <= how.groups**2:
            return forms.depthwise if places <= PLACES else None
        if how.groups <= PIECES:
            return forms.groups
        return forms.many_groups if places <= PLACES and one_fits else None
    if places == 1:
        return forms.product
    if window == how.strides and how.gaps == plain:
        return forms.tiles
    channels = x.shape[-1]
    small = math.prod(x.shape[1:-1]) < places  # an image that lies under the window whole
    few = {1: channels * places <= SHORT, 2: channels <= FEW_CHANNELS}.get(len(window), True)
    worth = few or small or not _known(x)
    return forms.patches if worth and places <= PLACES and one_fits else None


def _known(x: Any) -> bool:
    """Whether the library takes it."""
    return x.ndim <= 5 and x.dtype in (jnp.float32, jnp.bfloat16, jnp.float16)


def _by_library(x: Any, w: Any, how: Convolution) -> Any:
    """XLA's convolution, in the order of axes that its library takes."""
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


def _by_library_in_turn(x: Any, w: Any, how: Convolution) -> Any:
    """The same, one lane of `vmap` after another. It has no derivative in the reverse mode."""
    if min(map(min, how.padding), default=0) < 0 and set(how.spread) == {
        1
    }:  # which the library does not take
        cut = tuple((min(low, 0), min(high, 0)) for low, high in how.padding)
        added = tuple((max(low, 0), max(high, 0)) for low, high in how.padding)
        x, how = how._replace(padding=cut).padded(x), how._replace(padding=added)
    convolve, depth = _in_turn(how), x.shape[-1]
    gradient = math.prod(w.shape[:-2]) > math.prod(how.space(x, w))  # images as channels
    if not gradient or depth <= IMAGES or how.groups * how.batch_groups > 1:
        return convolve(x, w)
    size = max(IMAGES, -(-depth // PIECES))
    starts = range(0, depth, size)
    return sum(convolve(x[..., k : k + size], w[..., k : k + size, :]) for k in starts)


@functools.cache
def _in_turn(how: Convolution) -> Any:
    @jax.custom_batching.custom_vmap
    def convolve(x: Any, w: Any) -> Any:
        return _by_library(x, w, how)

    @convolve.def_vmap
    def _(size: int, batched: Any, x: Any, w: Any) -> Any:
        if batched[1] or how.batch_groups > 1:  # or the images of lanes would be in one group
            given = [
                a if of_lanes else jnp.broadcast_to(a, (size, *a.shape))
                for a, of_lanes in zip((x, w), batched, strict=True)
            ]
            return lax.map(lambda lane: convolve(*lane), given), True
        images = x.shape[1]
        y = convolve(x.reshape(size * images, *x.shape[2:]), w)
        return y.reshape(size, images, *y.shape[1:]), True

    return convolve
