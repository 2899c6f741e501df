"""Tasks out of Equinox modules: made already, or by a function of key; with state and dropout."""

from __future__ import annotations

import warnings
from typing import Any

import cloudpickle
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lropt_jax import adam, classification_task, fit, language_model_task, log_grid, sgd, sweep
from lropt_jax.tasks.task import check_task

WIDTH, CLASSES, BATCH = 5, 3, 10
RNG = np.random.default_rng(0)
Y = RNG.integers(0, CLASSES, 60)
X = RNG.normal(size=(60, WIDTH))
X[np.arange(60), Y] += 3


class Net(eqx.Module):
    """Batch-norm and dropout."""

    inner: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout
    outer: eqx.nn.Linear

    def __init__(self, key: Any, rate: float = 0.5, mode: Any = "ema") -> None:
        one, two = jax.random.split(key)
        self.inner = eqx.nn.Linear(WIDTH, 16, key=one)
        self.norm = eqx.nn.BatchNorm(16, "examples", mode=mode)
        self.dropout = eqx.nn.Dropout(rate)
        self.outer = eqx.nn.Linear(16, CLASSES, key=two)

    def __call__(self, x: Any, state: Any, *, key: Any) -> Any:
        x, state = self.norm(self.inner(x), state)
        return self.outer(self.dropout(jax.nn.relu(x), key=key)), state


def mlp(key: Any) -> Any:
    return eqx.nn.MLP(WIDTH, CLASSES, 16, 1, key=key)


def with_state(key: Any) -> Any:
    return eqx.nn.make_with_state(Net)(key)


def layers(key: Any) -> Any:
    """Layers one after another, of which Equinox hands the state to those alone that have one."""
    one, two = jax.random.split(key)
    norm = eqx.nn.BatchNorm(16, "batch", mode="batch")
    linear, outer = eqx.nn.Linear(WIDTH, 16, key=one), eqx.nn.Linear(16, CLASSES, key=two)
    return eqx.nn.Sequential([linear, norm, eqx.nn.Lambda(jax.nn.relu), outer])


MADE = [mlp, Net, with_state, layers, eqx.nn.make_with_state(layers), eqx.nn.make_with_state(Net)]


@pytest.mark.parametrize("make", MADE)
def test_functions_of_key_train_in_lanes_with_weights_of_their_own(make: Any) -> None:
    task = classification_task(make, (X, Y), BATCH)
    check_task(task)
    space = {"learning_rate": log_grid(1e-3, 1e-1, 3)}
    result = sweep(task, adam, space, seeds=2, steps=60, progress=False, strategy="vmap")
    losses = result.to_xarray()["train_loss"].values
    assert np.isfinite(losses).all()
    assert len(np.unique(losses)) == losses.size
    assert losses.min() < 0.5 < np.log(CLASSES)


def test_a_training_by_hand_gives_the_same_weights() -> None:
    """Partitioned and vmapped as Equinox's own examples do it."""
    model = mlp(jax.random.key(7))
    with pytest.warns(UserWarning, match="every seed starts from the weights of this MLP"):
        task = classification_task(model, (X, Y), batch_size=len(X))
    tx = optax.sgd(0.1)
    params, static = eqx.partition(model, eqx.is_inexact_array)
    opt_state = tx.init(params)

    def loss(params: Any) -> Any:
        logits = jax.vmap(eqx.combine(params, static))(jnp.asarray(X, jnp.float32))
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.asarray(Y))
        return losses.mean()

    for _ in range(5):
        updates, opt_state = tx.update(jax.grad(loss)(params), opt_state)
        params = optax.apply_updates(params, updates)
    result = fit(task, sgd(0.1), 5, key=3)
    assert jax.tree.structure(result.params) == jax.tree.structure(params)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), result.params, params
    )
    trained = task.predict.variables(result.params, result.model_state)  # type: ignore[union-attr]
    assert isinstance(trained, eqx.nn.MLP)
    np.testing.assert_allclose(
        trained(jnp.asarray(X[0], jnp.float32)),
        task.predict(result.params, result.model_state, X[:1])[0],  # type: ignore[misc]
        rtol=1e-5,
    )


def test_an_instance_starts_every_seed_alike_and_says_so_once() -> None:
    model = mlp(jax.random.key(0))
    space = {"learning_rate": log_grid(0.1, 1, 2)}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        task = classification_task(model, (X, Y), BATCH)
        sweep(task, adam, space, steps=2, seeds=2, progress=False)
    assert ["function of key" in str(w.message) for w in caught] == [True]
    assert caught[0].filename == __file__
    starts = [task.init(jax.random.key(seed))[0] for seed in range(2)]
    jax.tree.map(np.testing.assert_array_equal, *starts)


@pytest.mark.parametrize("mode", ["ema", "batch"])
def test_statistics_move_in_training_and_are_used_in_evaluation(mode: Any) -> None:
    task = classification_task(lambda key: Net(key, mode=mode), (X, Y), BATCH)
    result = fit(task, adam(0.01), 100)
    batch = {"x": jnp.asarray(X, jnp.float32), "y": jnp.asarray(Y)}
    whole = task.evaluate(result.params, result.model_state, batch)
    alone = task.evaluate(result.params, result.model_state, jax.tree.map(lambda a: a[:1], batch))
    np.testing.assert_allclose(whole["loss"][0], alone["loss"][0], rtol=1e-4)
    assert whole["accuracy"].mean() > 0.8
    before = task.init(jax.random.key(0))[1]
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(result.model_state), strict=True)
    ]
    assert all(moved)
    model, state = task.predict.variables(result.params, result.model_state)  # type: ignore[union-attr]
    model = eqx.nn.inference_mode(model)
    out, _ = jax.vmap(
        lambda x: model(x, state, key=None), axis_name="examples", out_axes=(0, None)
    )(batch["x"])
    theirs = task.predict(result.params, result.model_state, batch["x"])  # type: ignore[misc]
    np.testing.assert_allclose(out, theirs, rtol=1e-4, atol=1e-5)


def test_dropout_draws_from_the_key_and_differs_between_examples() -> None:
    class Noise(eqx.Module):
        weight: jax.Array
        dropout: eqx.nn.Dropout

        def __call__(self, x: Any, key: Any) -> Any:
            return self.dropout(jnp.broadcast_to(self.weight, (64,)), key=key)

    def make(key: Any) -> Any:
        return Noise(jnp.ones(()), eqx.nn.Dropout(0.5))

    task = classification_task(make, (X, Y), BATCH)
    network = task.loss.network  # type: ignore[attr-defined]
    params, state = task.init(jax.random.key(0))
    one, two = (network.apply(params, state, X[:2], jax.random.key(s))[0] for s in (1, 2))
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(task.predict(params, state, X[:2]), np.ones((2, 64)))  # type: ignore[misc]


def test_arrays_that_are_no_parameters_are_each_seeds_own_and_stay() -> None:
    class Permuted(eqx.Module):
        order: jax.Array
        table: np.ndarray
        dense: eqx.nn.Linear

        def __init__(self, key: Any) -> None:
            self.order = jax.random.permutation(key, WIDTH)
            self.table = np.arange(WIDTH)
            self.dense = eqx.nn.Linear(WIDTH, CLASSES, key=key)

        def __call__(self, x: Any) -> Any:
            return self.dense(x[self.order][self.table])

    task = classification_task(Permuted, (X, Y), BATCH)
    result = fit(task, sgd(0.1), 3, key=5)
    module = Permuted(jax.random.split(jax.random.key(5))[0])
    np.testing.assert_array_equal(result.model_state["arrays"][0], module.order)
    assert jax.tree.leaves(result.params)[0].shape == (CLASSES, WIDTH)


def test_half_precision_keeps_parameters_and_statistics() -> None:
    task = classification_task(Net, (X, Y), BATCH, dtype=jnp.bfloat16)
    result = fit(task, adam(0.01), 100)
    types = {x.dtype.name for x in jax.tree.leaves((result.params, result.model_state))}
    assert types == {"float32", "bool"}
    assert result.history["train_loss"][-1] < 0.9
    text = str(
        jax.make_jaxpr(task.loss)(*task.init(jax.random.key(0)), _batch(), jax.random.key(1))
    )
    products = [line for line in text.splitlines() if "dot_general" in line]
    assert products
    assert all("bf16" in line for line in products)


def _batch() -> Any:
    return {"x": jnp.asarray(X[:BATCH], jnp.float32), "y": jnp.asarray(Y[:BATCH])}


def test_tokens_and_activations_made_inside_the_function() -> None:
    class Letters(eqx.Module):
        table: eqx.nn.Embedding
        outer: eqx.nn.MLP

        def __init__(self, key: Any) -> None:
            self.table = eqx.nn.Embedding(7, 8, key=key)
            self.outer = eqx.nn.MLP(8, 7, 8, 1, activation=lambda x: jnp.tanh(x), key=key)

        def __call__(self, tokens: Any) -> Any:
            return jax.vmap(lambda t: self.outer(self.table(t)))(tokens)

    tokens = np.arange(700) % 7
    task = language_model_task(Letters, tokens, length=10, batch_size=8)
    result = fit(task, adam(0.03), 100)
    assert result.history["valid_perplexity"][-1] < 1.2


def test_it_survives_cloudpickle_and_equal_modules_share_programs() -> None:
    task = classification_task(Net, (X, Y), BATCH)
    assert task.loss == classification_task(Net, (X, Y), BATCH).loss
    args = (*task.init(jax.random.key(0)), _batch(), jax.random.key(1))
    copy = cloudpickle.loads(cloudpickle.dumps(task))
    assert task.loss(*args)[0] == copy.loss(*args)[0]
    model = mlp(jax.random.key(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        one, two, other = (
            classification_task(m, (X, Y), BATCH) for m in (model, model, mlp(jax.random.key(0)))
        )
    assert one.loss == two.loss
    assert hash(one.loss) == hash(two.loss)
    assert one.loss != other.loss


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (eqx.nn.MLP, TypeError, ["MLP needs in_size", "lambda key: MLP(..., key=key)"]),
        (lambda key: 3, ValueError, ["Equinox module", "3"]),
        (lambda key: eqx.nn.MLP(4, 3, 8, 1, key=key), ValueError, ["inputs of shape (1, 5)"]),
    ],
)
def test_bad_models_are_one_clear_error(model: Any, error: Any, words: list[str]) -> None:
    with pytest.raises(error) as caught:
        classification_task(model, (X, Y), BATCH)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_two_names_for_the_batch_are_refused() -> None:
    class Two(eqx.Module):
        one: eqx.nn.BatchNorm
        two: eqx.nn.BatchNorm

        def __init__(self, key: Any) -> None:
            self.one, self.two = (eqx.nn.BatchNorm(WIDTH, n, mode="ema") for n in ("a", "b"))

        def __call__(self, x: Any, state: Any) -> Any:
            x, state = self.one(x, state)
            return self.two(x, state)

    with pytest.raises(ValueError, match="share one axis_name"):
        classification_task(Two, (X, Y), BATCH)


def test_a_missing_equinox_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "equinox", None)
    with pytest.raises(ImportError, match=r"lropt-jax\[equinox\]"):
        classification_task(mlp, (X, Y))
