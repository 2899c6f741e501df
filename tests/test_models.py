"""The networks, and the layers that they are made of."""

from __future__ import annotations

import pickle
from typing import Any

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from lropt_jax.tasks import models
from lropt_jax.tasks.models.layers import Dropout, dense
from lropt_jax.training import fast_forms

IMAGES = {"cnn": (28, 28, 1), "vgg11": (32, 32, 3), "resnet18": (32, 32, 3)}


def _abstract_init(model: nn.Module, shape: tuple[int, ...]) -> Any:
    images = jax.ShapeDtypeStruct(shape, jnp.float32)
    return jax.eval_shape(model.init, jax.random.key(0), images)


def _parameters(model: nn.Module, shape: tuple[int, ...]) -> int:
    params = _abstract_init(model, (2, *shape))["params"]
    return sum(x.size for x in jax.tree.leaves(params))


def test_the_networks_have_the_sizes_that_are_known() -> None:
    """Keras's count for its tutorial net; those of the usual CIFAR implementations."""
    assert _parameters(models.mlp(), (40,)) == 4100 + 10100 + 1010
    assert _parameters(models.cnn(), (28, 28, 1)) == 320 + 18496 + 409856 + 2570
    assert _parameters(models.cnn(width=8), (28, 28, 1)) == 80 + 1168 + 25664 + 650
    assert _parameters(models.resnet18(), (32, 32, 3)) == 11_173_962
    biases_before_norm = 64 + 128 + 2 * 256 + 4 * 512
    assert _parameters(models.vgg11(), (32, 32, 3)) == 9_231_114 - biases_before_norm
    assert _parameters(models.vgg11(batch_norm=False), (32, 32, 3)) == (
        9_231_114 - 2 * biases_before_norm
    )


@pytest.mark.parametrize("name", IMAGES)
def test_flat_images_are_taken_as_squares(name: str) -> None:
    model, shape = getattr(models, name)(), IMAGES[name]
    flat = _abstract_init(model, (2, int(np.prod(shape))))
    assert jax.tree.map(jnp.shape, flat) == jax.tree.map(
        jnp.shape, _abstract_init(model, (2, *shape))
    )


def test_an_mlp_flattens_whatever_it_is_given() -> None:
    x = jax.random.normal(jax.random.key(0), (2, 3, 4))
    model = models.mlp((5, 3))
    variables = model.init(jax.random.key(1), x)
    out = model.apply(variables, x)
    assert out.shape == (2, 3)
    np.testing.assert_array_equal(out, model.apply(variables, x.reshape(2, 12)))


def test_equal_models_are_equal_and_can_be_pickled() -> None:
    for name in ("mlp", "cnn", "vgg11", "resnet18"):
        make = getattr(models, name)
        assert make() == make()
        assert hash(make()) == hash(make())
        assert type(cloudpickle.loads(cloudpickle.dumps(make()))) is type(make())
    assert pickle.loads(pickle.dumps(models.cnn())) == models.cnn()


@pytest.mark.parametrize("name", IMAGES)
def test_rewritten_it_is_the_same_network(name: str) -> None:
    """One set of weights, one set of logits and statistics."""
    small = {"cnn": {}, "vgg11": {"width": 2}, "resnet18": {"width": 2}}[name]
    images = jax.random.normal(jax.random.key(0), (2, *IMAGES[name]))
    model = getattr(models, name)(**small)
    rng = np.random.default_rng(0)
    variables = jax.tree.map(  # far quicker than compiling twenty initializers
        lambda x: rng.normal(1.0, 0.3, x.shape).astype(x.dtype) / np.sqrt(np.prod(x.shape[:-1])),
        _abstract_init(model, images.shape),
    )

    def apply(variables: Any, images: Any) -> Any:
        rngs = {"dropout": jax.random.key(2)}
        return model.apply(variables, images, train=True, rngs=rngs, mutable=["batch_stats"])

    rewritten = fast_forms.for_gradient(apply)
    assert str(jax.make_jaxpr(rewritten)(variables, images)) != str(
        jax.make_jaxpr(apply)(variables, images)
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4),
        *jax.jit(lambda *args: (rewritten(*args), apply(*args)))(variables, images),
    )


@pytest.mark.parametrize("dtype", [None, jnp.float16, jnp.bfloat16], ids=str)
@pytest.mark.parametrize("shape", [(6, 5), (5,), (2, 6, 5)])
def test_dense_equals_flax(shape: tuple[int, ...], dtype: Any) -> None:
    """Values, dtypes and both gradients, also under vmap over kernels."""
    x = jax.random.normal(jax.random.key(0), shape)
    ours, theirs = dense(4, dtype=dtype), nn.Dense(4, dtype=dtype)
    variables = jax.vmap(theirs.init, (0, None))(jax.random.split(jax.random.key(1), 3), x)

    def run(layer: nn.Module) -> Any:
        def f(variables: Any, x: jax.Array) -> Any:
            y = layer.apply(variables, x)
            return jnp.sum(jnp.sin(y).astype(jnp.float32)), y

        whole = jax.value_and_grad(f, (0, 1), has_aux=True)
        return jax.jit(jax.vmap(whole, (0, None)))(variables, x)

    tolerance = 1e-6 if dtype is None else 4 * float(jnp.finfo(dtype).eps)

    def check(a: jax.Array, b: jax.Array) -> None:
        assert a.dtype == b.dtype
        np.testing.assert_allclose(*map(np.float32, (a, b)), rtol=tolerance, atol=tolerance)

    jax.tree.map(check, run(ours), run(theirs))


def test_dense_has_second_derivatives() -> None:
    x = jax.random.normal(jax.random.key(0), (6, 5))
    ours, theirs = dense(2), nn.Dense(2)
    variables = theirs.init(jax.random.key(1), x)

    def hessian(layer: nn.Module) -> Any:
        return jax.hessian(lambda v: jnp.sum(jnp.tanh(layer.apply(v, x)) ** 2))(variables)

    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5),
        hessian(ours),
        hessian(theirs),
    )


@pytest.mark.parametrize("rate", [0.25, 0.3, 0.5, 0.9])
def test_dropout_drops_at_its_rate_and_keeps_the_mean(rate: float) -> None:
    n = 100_003  # no multiple of 4
    key = {"dropout": jax.random.key(0)}
    out = Dropout(rate).apply({}, jnp.ones(n), True, rngs=key)
    dropped = np.mean(out == 0)
    rounded = round(256 * rate) / 256
    assert abs(rounded - rate) <= 1 / 512
    assert abs(dropped - rounded) < 5 * np.sqrt(rate * (1 - rate) / n)
    np.testing.assert_allclose(np.unique(out), [0, 1 / (1 - rounded)], rtol=1e-6)


def test_dropout_differs_between_calls_lanes_and_units() -> None:
    def draw(key: jax.Array) -> Any:
        return Dropout(0.5).apply({}, jnp.ones((64, 64)), True, rngs={"dropout": key}) > 0

    masks = np.array(jax.vmap(draw)(jax.random.split(jax.random.key(0), 2)))
    agree = np.mean(masks[0] == masks[1])
    assert abs(agree - 0.5) < 0.05
    for shift in range(1, 9):  # the four units that share a word are independent
        flat = masks[0].ravel()
        assert abs(np.mean(flat[shift:] == flat[:-shift]) - 0.5) < 0.05


@pytest.mark.parametrize("rate", [0.0, 0.001])
def test_a_rate_that_rounds_to_0_drops_nothing(rate: float) -> None:
    x = jnp.arange(5.0)
    assert Dropout(rate).apply({}, x, True) is x
    assert Dropout(0.5).apply({}, x, False) is x


def test_a_rate_near_1_stays_finite() -> None:
    out = Dropout(0.9999).apply({}, jnp.ones(10_000), True, rngs={"dropout": jax.random.key(0)})
    assert np.all(np.isfinite(out))
    assert out.max() == 256


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: models.mlp(()), "features"),
        (lambda: models.mlp(10), "features.*10"),
        (lambda: models.mlp((4, 0)), r"features.*\(4, 0\)"),
        (lambda: models.mlp(dropout=1.0), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: models.mlp(dropout=None), r"dropout must be in \[0, 1\), got None"),
        (lambda: models.mlp(dropout=(0.1, 1.0)), r"dropout must be in \[0, 1\), got 1.0"),
        (lambda: models.mlp(dropout=(0.1,)), r"each of the 2 hidden layers, got \(0.1,\)"),
        (lambda: models.cnn(dropout=-0.1), "dropout.*-0.1"),
        (lambda: models.vgg11(dropout=2), "dropout.*2"),
        (lambda: models.cnn(classes=0), "classes.*0"),
        (lambda: models.cnn(width=0), "width.*0"),
        (lambda: models.resnet18(width=0), "width.*0"),
        (lambda: _abstract_init(models.vgg11(), (2, 28, 28, 1)), r"32 x 32.*\(2, 28, 28, 1\)"),
        (lambda: _abstract_init(models.cnn(), (2, 40)), r"images.*\(2, 40\)"),
    ],
)
def test_bad_arguments_are_one_clear_error(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_each_hidden_layer_may_have_its_own_dropout() -> None:
    x = jnp.ones((1, 3))
    ones = nn.initializers.ones
    model = models.mlp((512, 512, 1), activation=lambda x: 1 + 0 * x, dropout=(0.5, 0.0))
    variables = jax.tree.map(lambda x: ones(None, x.shape, x.dtype), _abstract_init(model, x.shape))
    key = {"dropout": jax.random.key(0)}
    _, seen = model.apply(
        variables, x, train=True, rngs=key, capture_intermediates=True, mutable=["intermediates"]
    )
    seen = {
        name: out["__call__"][0] for name, out in seen["intermediates"].items() if "out" in name
    }
    assert 0.4 < np.mean(seen["Dropout_0"] == 0) < 0.6
    assert np.all(seen["Dropout_1"] == 1)


def test_batch_norm_and_dropout_are_there_when_asked_for() -> None:
    x = jnp.ones((4, 6))
    plain = models.mlp((5, 3)).init(jax.random.key(0), x)
    full = models.mlp((5, 3), dropout=0.5, batch_norm=True).init(jax.random.key(0), x)
    assert set(plain) == {"params"}
    assert set(full) == {"params", "batch_stats"}
