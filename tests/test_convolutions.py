"""Convolutions and poolings rewritten: the same numbers and gradients, whatever they stand in."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax import lax

import lropt_jax
from lropt_jax import Task, classification_task, fit, log_grid, sgd, sweep
from lropt_jax.training import fast_forms
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population
from lropt_jax.training.segment import Feed

TOLERANCE = {jnp.float64: 1e-10, jnp.float32: 2e-4, jnp.bfloat16: 0.1}


def primitives(jaxpr: Any) -> list[Any]:
    """All operations of a traced function, those that it nests included."""
    found = []
    for eqn in jaxpr.eqns:
        found.append(eqn)
        for inner in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr")
        ):
            inner = getattr(inner, "jaxpr", inner)
            if hasattr(inner, "eqns"):
                found += primitives(inner)
    return found


def names(function: Any, *args: Any) -> list[str]:
    # Under a name of its own, since JAX remembers what it has traced.
    traced = jax.make_jaxpr(lambda *args: function(*args))(*args)
    return [eqn.primitive.name for eqn in primitives(traced.jaxpr)]


def with_aux(function: Any) -> Any:
    """A loss whose outputs are its auxiliary value."""

    def loss(*args: Any) -> Any:
        y = function(*args)
        return jnp.sum(jnp.sin(jnp.float32(y) if y.dtype == jnp.bfloat16 else y)), y

    return loss


def agree(function: Any, *args: Any, dtype: Any = jnp.float32, lanes: bool = True) -> None:
    """Outputs and gradient of the first argument, alone and vmapped, rewritten and not."""
    loss = with_aux(function)
    ours, theirs = fast_forms.value_and_grad(loss), jax.value_and_grad(loss, has_aux=True)
    evaluated = fast_forms.without_gradient(function)
    of_lanes = jax.tree.map(lambda a: jnp.stack([a, a[::-1]]), args) if lanes else None

    # Compiling takes far longer than running does.
    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def both(args: Any, of_lanes: Any) -> Any:
        results = [(ours(*args), theirs(*args)), (evaluated(*args), function(*args))]
        if lanes:
            results.append((jax.vmap(ours)(*of_lanes), jax.vmap(theirs)(*of_lanes)))
        return results

    for one, other in both(args, of_lanes):
        close(one, other, dtype)


def close(ours: Any, theirs: Any, dtype: Any = jnp.float32) -> None:
    chex.assert_trees_all_equal_shapes_and_dtypes(ours, theirs)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        np.testing.assert_allclose(
            a, b, rtol=0, atol=TOLERANCE[dtype] * (1 + np.abs(b).max(initial=0))
        )


def draw(*shape: int, seed: int = 0, dtype: Any = None) -> jax.Array:
    # By NumPy: for each shape, XLA compiles its own random numbers for seconds.
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype or jnp.float32)


def weights(layer: nn.Module, x: jax.Array) -> Any:
    shapes = jax.eval_shape(layer.init, jax.random.key(1), x)
    return jax.tree.map(lambda a: draw(*a.shape, seed=1, dtype=a.dtype) / 2, shapes)


LAYERS = {
    "same": ((4, 9, 8, 3), nn.Conv(5, (3, 3))),
    "many channels": ((4, 9, 8, 8), nn.Conv(5, (3, 3))),
    "strided": ((4, 9, 8, 8), nn.Conv(5, (3, 3), (2, 1))),
    "valid": ((4, 9, 8, 8), nn.Conv(5, (3, 2), (2, 2), padding="VALID")),
    "dilated": ((4, 11, 12, 8), nn.Conv(5, (3, 3), kernel_dilation=(2, 1))),
    "few, dilated": ((4, 11, 12, 2), nn.Conv(5, (3, 3), kernel_dilation=(2, 3))),
    "grouped": ((4, 9, 8, 6), nn.Conv(9, (3, 3), feature_group_count=3)),
    "many groups": ((2, 5, 4, 40), nn.Conv(20, (3, 3), feature_group_count=20)),
    "depthwise": ((4, 9, 8, 6), nn.Conv(6, (5, 3), (1, 2), feature_group_count=6)),
    "depthwise, more out": ((4, 9, 8, 3), nn.Conv(6, (3, 3), feature_group_count=3)),
    "one pixel": ((4, 9, 8, 6), nn.Conv(5, (1, 1), (2, 2))),
    "tiles": ((4, 9, 8, 6), nn.Conv(5, (4, 2), (4, 2), padding="VALID")),
    "smaller than the window": ((4, 2, 2, 8), nn.Conv(5, (3, 3))),
    "many images": ((70, 5, 4, 8), nn.Conv(5, (3, 3))),
    "circular": ((4, 9, 8, 6), nn.Conv(5, (3, 3), padding="CIRCULAR")),
    "reflected": ((4, 9, 8, 3), nn.Conv(5, (3, 3), padding="REFLECT")),
    "a sequence": ((4, 20, 3), nn.Conv(5, (5,), (2,))),
    "causal": ((4, 20, 3), nn.Conv(5, (3,), padding="CAUSAL")),
    "a long sequence": ((4, 20, 80), nn.Conv(5, (5,), (2,))),
    "a volume": ((2, 5, 6, 4, 3), nn.Conv(4, (3, 2, 3), (1, 2, 1))),
    "four axes": ((1, 3, 3, 4, 3, 2), nn.Conv(3, (2, 2, 2, 2))),
    "transposed": ((4, 5, 4, 6), nn.ConvTranspose(5, (4, 4), (2, 2))),
    "transposed, odd": ((4, 5, 4, 6), nn.ConvTranspose(5, (3, 2), (2, 3), padding="VALID")),
    "transposed, gaps": ((4, 5, 4, 6), nn.ConvTranspose(5, (2, 2), (3, 3), padding="VALID")),
    "transposed sequence": ((4, 9, 6), nn.ConvTranspose(5, (4,), (2,))),
    "local": ((2, 6, 5, 3), nn.ConvLocal(4, (3, 3))),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_keeps_its_numbers_and_gradients(name: str) -> None:
    shape, layer = LAYERS[name]
    x = draw(*shape)
    variables = weights(layer, x)
    agree(lambda args: layer.apply(args[0], args[1]), (variables, x))


@pytest.mark.parametrize("name", ["same", "many channels", "depthwise", "a sequence", "tiles"])
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64], ids=["bfloat16", "float64"])
def test_in_other_types(name: str, dtype: Any, x64: None) -> None:
    shape, layer = LAYERS[name]
    layer = layer.clone(dtype=dtype, param_dtype=dtype)
    x = draw(*shape, dtype=dtype)
    variables = weights(layer, x)
    agree(lambda args: layer.apply(args[0], args[1]), (variables, x), dtype=dtype)


LAX: list[tuple[Any, Any, Any, dict[str, Any]]] = [
    ((4, 6, 9, 8), (5, 6, 3, 3), ("NCHW", "OIHW", "NCHW"), {}),
    ((6, 9, 8, 4), (3, 3, 6, 5), ("CWHN", "WHIO", "NHWC"), {}),
    ((4, 9, 8, 6), (3, 3, 6, 5), ("NHWC", "HWIO", "NHWC"), {"padding": ((-1, 2), (0, -2))}),
    ((4, 9, 8, 6), (3, 3, 6, 5), ("NHWC", "HWIO", "NHWC"), {"lhs_dilation": (2, 1)}),
    (
        (4, 5, 6, 6),
        (3, 3, 6, 5),
        ("NHWC", "HWIO", "NHWC"),
        {"lhs_dilation": (2, 3), "window_strides": (2, 1), "padding": ((2, 1), (1, 3))},
    ),
    (
        (4, 5, 6, 6),
        (3, 3, 2, 6),
        ("NHWC", "HWIO", "NHWC"),
        {"lhs_dilation": (2, 2), "padding": ((2, 1), (1, 3)), "feature_group_count": 3},
    ),
    ((6, 9, 8, 4), (3, 3, 4, 6), ("NHWC", "HWIO", "NHWC"), {"batch_group_count": 3}),
    ((36, 5, 4, 2), (3, 2, 2, 18), ("NHWC", "HWIO", "NHWC"), {"batch_group_count": 18}),
    ((2, 3, 3, 2), (5, 5, 2, 4), ("NHWC", "HWIO", "NHWC"), {"padding": "VALID"}),  # empty
    ((40, 3), (3, 5), ("NC", "IO", "NC"), {"window_strides": ()}),  # no window
]


def plain(numbers: Any, options: dict[str, Any]) -> Any:
    options = {"window_strides": (1, 1), "padding": "SAME", **options}
    if "lhs_dilation" in options and options["padding"] == "SAME":
        options["padding"] = ((1, 2), (1, 1))
    return functools.partial(lax.conv_general_dilated, dimension_numbers=numbers, **options)


@pytest.mark.parametrize(("x", "w", "numbers", "options"), LAX)
def test_a_plain_convolution(x: Any, w: Any, numbers: Any, options: dict[str, Any]) -> None:
    convolve = plain(numbers, options)
    agree(lambda args: convolve(*args), (draw(*x), draw(*w, seed=1)))


@pytest.mark.parametrize(("x", "w", "numbers", "options"), LAX[-4:])
def test_lanes_with_one_operand_in_common(x: Any, w: Any, numbers: Any, options: Any) -> None:
    convolve = plain(numbers, options)
    ours = fast_forms.without_gradient(lambda x, w: convolve(x, w))
    args = draw(3, *x), draw(3, *w, seed=1)

    @functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
    def both(x: Any, w: Any) -> Any:
        return [
            [jax.vmap(f, (0, None))(x, w[0]), jax.vmap(f, (None, 0))(x[0], w)]
            for f in (ours, convolve)
        ]

    close(*both(*args))


def test_integers_and_a_wider_result() -> None:
    x = jax.random.randint(jax.random.key(0), (2, 7, 6, 3), -9, 9).astype(jnp.int8)
    w = jax.random.randint(jax.random.key(1), (3, 3, 3, 4), -9, 9).astype(jnp.int8)

    def convolve(x: Any, w: Any) -> Any:
        numbers = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=numbers, preferred_element_type=jnp.int32
        )

    ours = fast_forms.without_gradient(convolve)
    assert "conv_general_dilated" not in names(ours, x, w)
    np.testing.assert_array_equal(ours(x, w), convolve(x, w))


POOLINGS = {
    "max": functools.partial(nn.max_pool, window_shape=(2, 2), strides=(2, 2)),
    "max, a row left": functools.partial(nn.max_pool, window_shape=(2, 3), strides=(2, 3)),
    "max, overlapping": functools.partial(nn.max_pool, window_shape=(3, 3), strides=(2, 2)),
    "max, padded": functools.partial(
        nn.max_pool, window_shape=(3, 2), strides=(2, 1), padding="SAME"
    ),
    "min": lambda x: lax.reduce_window(x, jnp.inf, lax.min, (1, 3, 3, 1), (1, 2, 1, 1), "VALID"),
    "average": functools.partial(nn.avg_pool, window_shape=(2, 2), strides=(2, 2)),
    "average, padded": functools.partial(
        nn.avg_pool, window_shape=(3, 3), padding="SAME", count_include_pad=False
    ),
    "the whole": functools.partial(nn.avg_pool, window_shape=(7, 9)),
    "dilated": lambda x: lax.reduce_window(
        x, 0.0, lax.add, (1, 2, 2, 1), (1, 1, 2, 1), "VALID", window_dilation=(1, 2, 3, 1)
    ),
}


@pytest.mark.parametrize("name", POOLINGS)
@pytest.mark.parametrize("ties", [False, True])
def test_a_pooling_keeps_its_numbers_and_gradients(name: str, ties: bool) -> None:
    """Of equal numbers, too, the gradient goes to the one that XLA chooses."""
    x = draw(3, 7, 9, 4)
    agree(POOLINGS[name], jnp.round(x) if ties else x)
    gradient = jax.grad(fast_forms.for_gradient(lambda x: POOLINGS[name](x).sum()))
    assert "select_and_scatter_add" not in names(gradient, x)


def test_a_pooling_of_nan_and_of_integers() -> None:
    x = draw(1, 6, 6, 2).at[0, 1, 1].set(jnp.nan).at[0, 2, 4].set(jnp.nan)
    pool = functools.partial(nn.max_pool, window_shape=(3, 3), padding="SAME")
    np.testing.assert_array_equal(fast_forms.without_gradient(pool)(x), pool(x))

    def whole(x: Any) -> Any:
        lowest = jnp.iinfo(x.dtype).min
        return lax.reduce_window(x, lowest, lax.max, (2, 2), (1, 1), "SAME")

    numbers = jnp.arange(20, dtype=jnp.int32).reshape(4, 5) % 7
    ours = fast_forms.without_gradient(whole)
    assert not any("window" in name for name in names(ours, numbers))
    np.testing.assert_array_equal(ours(numbers), whole(numbers))


def convolve(w: Any, x: Any) -> Any:
    return nn.max_pool(
        lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")),
        (2, 2),
        (1, 1),
        "SAME",
    )


def _scanned(w: Any, x: Any) -> Any:
    return lax.scan(lambda x, _: (jnp.tanh(convolve(w, x)), None), x, length=3)[0]


def _while(w: Any, x: Any) -> Any:
    w, x = lax.stop_gradient((w, x))  # XLA has no gradient of such a loop
    return lax.while_loop(lambda c: c[0] < 3, lambda c: (c[0] + 1, convolve(w, c[1])), (0, x))[1]


def _cond(w: Any, x: Any) -> Any:
    return lax.cond(x.sum() > 1e9, lambda w, x: x, convolve, w, x)


NESTS = {
    "jit": jax.jit(convolve),
    "jit in jit": jax.jit(lambda w, x: jax.jit(convolve)(w, x) * 2),
    "checkpoint": jax.checkpoint(convolve),
    "checkpoint, some kept": jax.checkpoint(
        convolve, policy=jax.checkpoint_policies.dots_with_no_batch_dims_saveable
    ),
    "scan": _scanned,
    "checkpointed scan": jax.checkpoint(_scanned),
    "while": _while,
    "cond": _cond,
    "vmap": lambda w, x: jax.vmap(lambda image: convolve(w, image[None])[0])(x),
    "vmap of kernels": lambda w, x: jax.vmap(convolve, (0, None))(jnp.stack([w, 2 * w]), x),
    "map": lambda w, x: lax.map(lambda image: convolve(w, image[None])[0], x),
    "a gradient inside": lambda w, x: jax.grad(lambda x: jnp.sin(convolve(w, x)).sum())(x),
}


@pytest.mark.parametrize("channels", [3, 8])
@pytest.mark.parametrize("nest", NESTS)
def test_what_it_stands_in_is_looked_into(nest: str, channels: int) -> None:
    w, x = draw(3, 3, channels, channels) / 5, draw(4, 6, 5, channels, seed=1)
    agree(lambda args: NESTS[nest](*args), (w, x), lanes=channels == 8)
    gradient = fast_forms.value_and_grad(with_aux(NESTS[nest]))
    found = primitives(jax.make_jaxpr(gradient)(w, x).jaxpr)
    left = [eqn for eqn in found if eqn.primitive.name == "conv_general_dilated"]
    assert channels == 8 or not left or nest == "a gradient inside"
    assert all(map(in_order, left))
    assert not any(eqn.primitive.name.startswith("reduce_window") for eqn in found)


def in_order(eqn: Any) -> bool:
    """Whether XLA's library takes a convolution: channels last, nothing grouped or spread."""
    last = eqn.invars[0].aval.ndim - 1
    images, kernels = (0, last, *range(1, last)), (last, last - 1, *range(last - 1))
    params = eqn.params
    return (
        tuple(params["dimension_numbers"]) == (images, kernels, images)
        and params["feature_group_count"] == params["batch_group_count"] == 1
        and min(min(pair) for pair in params["padding"]) >= 0
    )


@pytest.mark.parametrize("name", [n for n in LAYERS if n != "four axes"])
def test_what_is_left_to_xla_lies_as_its_library_takes_it(name: str) -> None:
    """In the loss, its gradient, and under vmap over weights and inputs."""
    shape, layer = LAYERS[name]
    x = draw(*shape)
    variables = weights(layer, x)
    gradient = fast_forms.value_and_grad(with_aux(layer.apply))
    lanes = jax.tree.map(lambda a: jnp.stack([a, a]), (variables, x))
    for traced in (
        jax.make_jaxpr(gradient)(variables, x),
        jax.make_jaxpr(jax.vmap(gradient))(*lanes),
    ):
        for eqn in primitives(traced.jaxpr):
            if eqn.primitive.name == "conv_general_dilated":
                assert in_order(eqn), eqn


def test_a_derivative_of_ones_own_is_kept() -> None:
    """Rules that are deliberately not the derivative, in custom_vjp and custom_jvp."""

    @jax.custom_vjp
    def reverse(w: Any, x: Any) -> Any:
        return convolve(w, x)

    def forward(w: Any, x: Any) -> Any:
        return convolve(w, x), (w, x)

    def backward(kept: Any, g: Any) -> Any:
        w, x = kept
        return jnp.full_like(w, 7.0), 3 * jax.vjp(convolve, w, x)[1](g)[1]

    reverse.defvjp(forward, backward)

    @jax.custom_jvp
    def tangents(w: Any, x: Any) -> Any:
        return convolve(w, x)

    @tangents.defjvp
    def _(primals: Any, tangents: Any) -> Any:
        return convolve(*primals), 5 * jax.jvp(convolve, primals, tangents)[1]

    w, x = draw(3, 3, 8, 8), draw(2, 5, 5, 8, seed=1)
    for own in (reverse, jax.jit(jax.checkpoint(tangents))):
        agree(lambda args, own=own: own(*args), (w, x), lanes=False)
        gradient = fast_forms.value_and_grad(with_aux(own))
        found = primitives(jax.make_jaxpr(gradient)(w, x).jaxpr)
        left = [eqn for eqn in found if eqn.primitive.name == "conv_general_dilated"]
        assert left
        assert all(map(in_order, left))
    _, gradient = jax.jit(fast_forms.value_and_grad(with_aux(reverse)))(w, x)
    assert np.all(np.asarray(gradient) == 7)


def test_the_gradient_can_be_differentiated_again() -> None:
    """A product with the Hessian, forwards over reverse."""
    for channels in (3, 8):
        w, x = draw(3, 3, channels, channels) / 5, draw(2, 5, 5, channels, seed=1)

        def loss(w: Any, x: Any = x) -> Any:
            return jnp.sum(jnp.tanh(convolve(w, x)) ** 2)

        direction = draw(*w.shape, seed=2)
        ours = jax.jvp(jax.grad(fast_forms.for_gradient(loss)), (w,), (direction,))
        close(ours, jax.jvp(jax.grad(loss), (w,), (direction,)))


def test_all_that_a_loss_may_hold_goes_on_working(capfd: Any) -> None:
    """Constants around it, None in trees, random keys, prints, whole numbers, no arguments used."""
    constant, table = draw(3, 3, 3, 3, seed=3), np.arange(3)

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        y = convolve(params["w"] + constant, batch["x"])
        y = y * jax.random.bernoulli(key, 0.5, y.shape)
        jax.debug.print("seen {}", y.shape[0])
        return y.mean(), ({"none": None, "count": state["count"] + 1}, {"table": table[0] + y[0]})

    w, x = draw(3, 3, 3, 3), draw(2, 5, 5, 3, seed=1)
    args = ({"w": w, "none": None}, {"none": None, "count": jnp.int32(2)}, {"x": x})
    key = jax.random.key(4)
    ours = jax.jit(fast_forms.value_and_grad(loss))(*args, key)
    theirs = jax.jit(jax.value_and_grad(loss, has_aux=True))(*args, key)
    jax.effects_barrier()
    assert capfd.readouterr().out.count("seen 2") == 2
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    close(ours, theirs)


def test_a_large_image_is_taken_in_pieces(monkeypatch: Any) -> None:
    """Patches never exceed the bound; numbers are the same."""
    layer, x = nn.Conv(4, (3, 3)), draw(7, 9, 8, 3)
    variables = layer.init(jax.random.key(0), x)
    monkeypatch.setattr("lropt_jax.training.convolution_forms.PATCHES", 2 * 9 * 8 * 27 * 4)
    agree(lambda args: layer.apply(*args), (variables, x))
    gradient = fast_forms.value_and_grad(with_aux(layer.apply))
    largest = max(
        variable.aval.size
        for eqn in primitives(jax.make_jaxpr(gradient)(variables, x).jaxpr)
        if eqn.primitive.name == "concatenate"
        for variable in eqn.outvars
    )
    assert largest <= 2 * 9 * 8 * 27
    # An image that exceeds it alone is left to XLA's library.
    monkeypatch.setattr("lropt_jax.training.convolution_forms.PATCHES", 1)
    assert "concatenate" not in names(gradient, variables, x)
    agree(lambda args: layer.apply(*args), (variables, x))


def test_a_function_without_any_is_traced_to_the_very_same() -> None:
    def loss(w: Any, x: Any) -> Any:
        y = jax.jit(jax.nn.relu)(x @ w)
        return jnp.cumsum(y).sum(), lax.scan(lambda c, v: (c + v, c), jnp.zeros(3), y)

    w, x = draw(4, 3), draw(5, 4)
    ours, theirs = fast_forms.value_and_grad(loss), jax.value_and_grad(loss, has_aux=True)
    assert str(jax.make_jaxpr(ours)(w, x)) == str(jax.make_jaxpr(theirs)(w, x))
    ours = fast_forms.without_gradient(loss)
    assert str(jax.make_jaxpr(ours)(w, x)) == str(jax.make_jaxpr(loss)(w, x))


def image_task(model: Any, shape: tuple[int, ...] = (8, 8, 3)) -> Task:
    rng = np.random.default_rng(0)
    split = {"x": rng.normal(size=(24, *shape)).astype(np.float32), "y": np.arange(24) % 3}
    return classification_task(model, {"train": split, "valid": split, "test": None}, 8)


class Linen(nn.Module):
    """Batch-norm, dropout, a residual branch, scanned and checkpointed layers, poolings."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        x = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(8, (3, 3))(x)))
        x = x + nn.Conv(8, (3, 3))(nn.Dropout(0.5, deterministic=not train)(x))
        x = nn.avg_pool(nn.remat(nn.Conv)(8, (3, 3))(x), (3, 3), (2, 2), "SAME")
        layers = nn.scan(
            lambda layer, x, _: (nn.relu(layer(x)), None),
            variable_axes={"params": 0},
            split_rngs={"params": True},
            length=2,
        )
        x, _ = layers(nn.Conv(8, (3, 3)), x, None)
        return nn.Dense(3)(nn.max_pool(x, (2, 2), (2, 2)).reshape(len(x), -1))


class Nnx(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.first = nnx.Conv(3, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.wide = nnx.Conv(8, 8, (3, 3), feature_group_count=8, rngs=rngs)
        self.last = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        x = nnx.max_pool(nnx.relu(self.norm(self.first(x))), (2, 2), (2, 2))
        return self.last(self.wide(x).mean((1, 2)))


def _functions() -> Task:
    """Pure functions around one convolution, as any library gives them."""
    x = np.random.default_rng(0).normal(size=(16, 2, 7, 6)).astype(np.float32)

    def output(w: Any, x: Any) -> Any:
        return lax.conv_general_dilated(x, w, (2, 2), "SAME").mean((2, 3))

    return Task(
        init=lambda key: (jax.random.normal(key, (5, 2, 3, 3)), ()),
        loss=lambda p, s, b, key: ((output(p, b["x"]) ** 2).mean(), (s, {})),
        evaluate=lambda p, s, b: {"loss": (output(p, b["x"]) ** 2).mean(-1)},
        train={"x": x},
        valid={"x": x},
        batch_size=8,
    )


TASKS = {
    "linen": lambda: image_task(Linen()),
    "nnx": lambda: image_task(Nnx),
    "functions": _functions,
}


@pytest.fixture
def switch() -> Any:
    """Sets the switch; it is as it was afterwards."""
    before = lropt_jax.config.rewrite_convolutions

    def to(value: bool) -> None:
        lropt_jax.config.rewrite_convolutions = value

    yield to
    to(before)


@pytest.mark.parametrize("name", TASKS)
def test_fit_trains_the_same_and_faster_programs(name: str, switch: Any) -> None:
    task = TASKS[name]()
    histories = []
    for on in (True, False):
        switch(on)
        histories.append(fit(task, sgd(0.01), steps=4, eval_every=2, accumulate=2).history)
    close(*histories)


def test_lanes_train_the_same_under_every_strategy(switch: Any) -> None:
    def rows(strategy: str) -> Any:
        rates = {"learning_rate": log_grid(1e-3, 1e-1, 4)}
        result = sweep(task, sgd, rates, steps=3, strategy=strategy, width=4, progress=False)
        return result.values

    task = image_task(Nnx)
    switch(False)
    plain = rows("map")
    switch(True)
    for strategy in ("vmap", "map:2"):
        close(rows(strategy), plain)


def test_an_equinox_module_in_a_task_of_functions() -> None:
    """Its convolutions have the channels first and one image; the user's vmap adds the batch."""
    eqx = pytest.importorskip("equinox")
    model = eqx.nn.Sequential(
        [
            eqx.nn.Conv2d(3, 8, 3, key=jax.random.key(0)),
            eqx.nn.Lambda(jax.nn.relu),
            eqx.nn.MaxPool2d(2, 2),
            eqx.nn.ConvTranspose2d(8, 2, 2, 2, key=jax.random.key(1)),
        ]
    )
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def output(args: Any) -> Any:
        return jax.vmap(eqx.combine(args[0], static))(args[1])

    agree(output, (params, draw(4, 3, 8, 8)), lanes=False)


class _Device:
    def __init__(self, platform: str):
        self.platform = platform


def test_only_programs_for_a_cpu_are_rewritten(switch: Any) -> None:
    """Whatever JAX's default backend is; and none with the switch off."""
    assert fast_forms.rewrites(jax.local_devices(backend="cpu"))
    assert not fast_forms.rewrites([_Device("gpu")])
    assert not fast_forms.rewrites([_Device("tpu")])
    switch(False)
    assert not fast_forms.rewrites(jax.local_devices(backend="cpu"))


def test_programs_of_both_settings_are_kept_apart(switch: Any) -> None:
    task, layout = image_task(Nnx), Layout("vmap", tuple(jax.local_devices()[:1]))

    def program() -> str:
        population = Population(task, sgd, {"learning_rate": 0.1}, layout)
        rates = {"learning_rate": np.full(1, 0.1, np.float32)}
        lanes = population.start(jax.random.split(jax.random.key(0), 1), rates)
        order = np.zeros((1, 1, 8), np.int32)
        lowered = population._run.lower(lanes, Feed(order), task.train, np.ones(1, np.int32))
        return lowered.as_text()

    switch(True)
    ours = program()
    switch(False)
    plain = program()
    assert "select_and_scatter" in plain
    assert "batch_group_count = 8" in plain
    assert "select_and_scatter" not in ours
    assert "batch_group_count = 8" not in ours
    switch(True)
    assert program() == ours


def test_a_directory_remembers_the_switch(tmp_path: Any, switch: Any) -> None:
    task = _functions()

    def run() -> Any:
        return sweep(
            task, sgd, {"learning_rate": [0.1]}, steps=1, directory=tmp_path / "s", progress=False
        )

    run()
    switch(False)
    with pytest.raises(ValueError, match=r"what differs: .*settings"):
        run()
    switch(True)
    run()


def test_a_worker_takes_over_the_switch() -> None:
    from lropt_jax.sweeps.running.worker import _with_settings
    from lropt_jax.training.digests import settings

    wanted = {**settings(), "rewrite_convolutions": False}
    assert _with_settings(wanted, lambda: lropt_jax.config.rewrite_convolutions) is False
    assert lropt_jax.config.rewrite_convolutions is True


@pytest.mark.parametrize(("value", "meant"), [("0", "False"), ("1", "True"), (None, "True")])
def test_the_environment_sets_the_switch(value: str | None, meant: str) -> None:
    done = _in_an_environment(value)
    assert done.stdout.strip() == meant, done.stderr


def test_the_environment_is_checked_and_so_is_the_name() -> None:
    done = _in_an_environment("never")
    assert "LROPT_REWRITE_CONVOLUTIONS must be 0 or 1, got 'never'" in done.stderr
    with pytest.raises(AttributeError):
        lropt_jax.config.rewrite_convolution = False
    with pytest.raises(ValueError, match=r"must be True or False, got 'no'"):
        lropt_jax.config.rewrite_convolutions = "no"


def _in_an_environment(value: str | None) -> Any:
    environment = {k: v for k, v in os.environ.items() if k != "LROPT_REWRITE_CONVOLUTIONS"}
    if value is not None:
        environment["LROPT_REWRITE_CONVOLUTIONS"] = value
    code = "import lropt_jax; print(lropt_jax.config.rewrite_convolutions)"
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
