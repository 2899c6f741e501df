"""Several tunable optimizers in one state: parameter groups, chains, and both in each other."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lropt_jax import (
    Task,
    adam,
    adamw,
    by_layer,
    fit,
    hyperparams,
    linear,
    observe,
    reduce_on_plateau,
    rmsprop,
    set_hyperparams,
    sgd,
    tunable,
)

PARAMS = {"w": jnp.array([1.0, -2.0]), "b": jnp.array([0.5])}
LABELS = {"w": "body", "b": "head"}


def grouped(body=None, head=None):
    parts = {"body": body or adamw(1e-4), "head": head or sgd(1e-3)}
    return optax.partition(parts, LABELS)


def rates(state):
    """The learning rates, nested as the numbers are."""

    def rate(numbers):
        if "learning_rate" in numbers:
            return round(float(numbers["learning_rate"]), 6)
        return {label: rate(inner) for label, inner in numbers.items()}

    return rate(hyperparams(state))


@pytest.mark.parametrize("make", [optax.partition, optax.multi_transform])
def test_numbers_are_nested_by_label(make):
    tx = make({"body": adamw(1e-4), "head": sgd(linear(1e-3, 0.0, 2))}, LABELS)
    state = tx.init(PARAMS)
    assert set(hyperparams(state)["body"]) == {"learning_rate", "b1", "b2", "eps", "weight_decay"}
    assert rates(state) == {"body": 1e-4, "head": 1e-3}
    _, state = jax.jit(tx.update)(PARAMS, state, PARAMS)
    assert rates(state) == {"body": 1e-4, "head": 5e-4}


def test_setting_by_label():
    tx = grouped()
    update = jax.jit(tx.update)
    _, state = update(PARAMS, tx.init(PARAMS), PARAMS)
    state = set_hyperparams(state, head={"learning_rate": 0.5})
    state = set_hyperparams(state, {"body": {"learning_rate": 0.25, "b1": 0.5}})
    assert rates(state) == {"body": 0.25, "head": 0.5}
    updates, _ = update(PARAMS, state, PARAMS)
    np.testing.assert_allclose(updates["b"], -0.5 * PARAMS["b"])
    assert update._cache_size() == 1


def test_labels_may_be_anything():
    tx = optax.partition({0: sgd(0.1), 1: sgd(0.2)}, {"w": 0, "b": 1})
    state = set_hyperparams(tx.init(PARAMS), {1: {"learning_rate": 0.5}})
    assert rates(state) == {0: 0.1, 1: 0.5}


def test_wrong_labels_and_names_are_named():
    state = grouped().init(PARAMS)
    with pytest.raises(KeyError, match=r"'learning_rate'.*labels are 'body', 'head'"):
        set_hyperparams(state, learning_rate=0.1)
    with pytest.raises(KeyError, match=r"'heda'.*labels are 'body', 'head'"):
        set_hyperparams(state, heda={"learning_rate": 0.1})
    with pytest.raises(ValueError, match=r"head must be a mapping.*got 0.1"):
        set_hyperparams(state, head=0.1)
    with pytest.raises(KeyError, match="head: unknown hyperparameter 'lr'"):
        set_hyperparams(state, head={"lr": 0.1})
    with pytest.raises(ValueError, match=r"body: b1 must be in \[0, 1\), got 1.5"):
        set_hyperparams(state, body={"b1": 1.5})


def test_chains_have_the_names_of_the_factories():
    tx = optax.chain(tunable(optax.clip)(1.0), adam(0.1), adam(0.2))
    state = set_hyperparams(tx.init(PARAMS), adam_2={"learning_rate": 0.5}, clip={"max_delta": 2.0})
    assert list(hyperparams(state)) == ["clip", "adam", "adam_2"]
    assert float(hyperparams(state)["adam"]["learning_rate"]) == np.float32(0.1)
    assert float(hyperparams(state)["adam_2"]["learning_rate"]) == 0.5
    named = optax.named_chain(("first", sgd(0.1)), ("second", sgd(0.2)))
    assert rates(named.init(PARAMS)) == {"first": 0.1, "second": 0.2}


def test_one_alone_has_no_label():
    for tx in (
        optax.partition({"body": adam(0.1), "head": optax.set_to_zero()}, LABELS),
        optax.chain(optax.clip(1.0), optax.masked(adam(0.1), {"w": True, "b": False})),
        optax.apply_if_finite(optax.MultiSteps(adam(0.1), 2), 3),
    ):
        state = set_hyperparams(tx.init(PARAMS), learning_rate=0.5)
        assert rates(state) == 0.5
        assert rates(set_hyperparams(state, {"learning_rate": 0.25})) == 0.25


def test_groups_in_groups_and_in_chains():
    inner = optax.partition({"a": sgd(0.1), "z": sgd(0.2)}, lambda p: {"w": "a", "b": "z"})
    around = optax.chain(optax.clip(1.0), inner)
    assert rates(around.init(PARAMS)) == {"a": 0.1, "z": 0.2}
    params = {"x": PARAMS["w"], **PARAMS}
    nested = optax.partition(
        {"pair": optax.chain(adam(0.3), sgd(0.4)), "rest": sgd(0.5)},
        {"x": "rest", "w": "pair", "b": "pair"},
    )
    state = set_hyperparams(nested.init(params), pair={"sgd": {"learning_rate": 0.6}})
    assert rates(state) == {"pair": {"adam": 0.3, "sgd": 0.6}, "rest": 0.5}


def test_a_population_of_groups():
    tx = grouped()
    one = tx.init(PARAMS)
    many = jax.vmap(lambda r: set_hyperparams(one, head={"learning_rate": r}))(jnp.arange(3.0))
    assert hyperparams(many)["head"]["learning_rate"].tolist() == [0.0, 1.0, 2.0]
    many = set_hyperparams(many, body={"learning_rate": 0.5})
    assert hyperparams(many)["body"]["learning_rate"].tolist() == [0.5] * 3


def test_every_schedule_that_observes_sees_the_value():
    plateau = reduce_on_plateau(1.0, factor=0.5, patience=0)
    tx = grouped(adam(plateau), sgd(0.1, momentum=reduce_on_plateau(0.8, factor=0.5, patience=0)))
    state = observe(observe(tx.init(PARAMS), 1.0), 1.0)
    assert rates(state) == {"body": 0.5, "head": 0.1}
    assert float(hyperparams(state)["head"]["momentum"]) == np.float32(0.4)
    with pytest.raises(ValueError, match=r"observe.*reduce_on_plateau.*learning_rate"):
        observe(grouped().init(PARAMS), 1.0)


def squares():

    def errors(params, batch):
        return (batch["x"] @ params["w"] + params["b"] - batch["y"]) ** 2

    data = {"x": jnp.eye(4), "y": jnp.arange(4.0)}
    return Task(
        init=lambda key: ({"w": jnp.zeros(4), "b": jnp.zeros(())}, {}),
        loss=lambda p, s, batch, key: (errors(p, batch).mean(), (s, {})),
        evaluate=lambda p, s, batch: {"loss": errors(p, batch)},
        train=data,
        valid=data,
        batch_size=4,
    )


def test_fit_shows_the_metric_to_a_group():
    parts = {"w": sgd(reduce_on_plateau(0.1, factor=0.5, patience=0, threshold=0.9)), "b": sgd(0.0)}
    tx = optax.multi_transform(parts, {"w": "w", "b": "b"})
    result = fit(squares(), tx, steps=20, eval_every=5)
    assert len(result.history["valid_loss"]) == 4
    assert np.all(np.diff(result.history["valid_loss"]) < 0)
    assert rates(result.opt_state) == {"w": 0.0125, "b": 0.0}


def test_nnx_optimizers_have_groups():
    nnx = pytest.importorskip("flax.nnx")
    model = nnx.Linear(2, 2, rngs=nnx.Rngs(0))

    def labels(params):
        return jax.tree.map(lambda p: "body" if p.ndim > 1 else "head", params)

    tx = optax.partition({"body": adamw(1e-4), "head": sgd(1e-3)}, labels)
    optimizer = nnx.Optimizer(model, tx, wrt=nnx.Param)
    optimizer.opt_state = set_hyperparams(optimizer.opt_state, head={"learning_rate": 0.5})
    assert rates(optimizer.opt_state) == {"body": 1e-4, "head": 0.5}
    before = jnp.copy(model.bias[...])
    optimizer.update(model, jax.tree.map(jnp.ones_like, nnx.state(model, nnx.Param)))
    np.testing.assert_allclose(model.bias[...], before - 0.5)


# Rates by layer.

DEEP = {f"Dense_{i}": {"w": jnp.full(2, 1.0 + i), "b": jnp.ones(1)} for i in (0, 2, 10)}


@pytest.mark.parametrize("optimizer", [sgd, adamw, optax.lion, optax.adamw])
def test_by_layer_equals_an_optimizer_for_each(optimizer):
    """In the order of the numbers: 0, 2, 10."""
    tx = by_layer(optimizer, linear(0.4, 0.0, 8), decay=0.5)
    state = tx.init(DEEP)
    update = jax.jit(tx.update)
    apart = {
        name: (factory := optimizer(linear(rate, 0.0, 8)), factory.init(DEEP[name]))
        for name, rate in (("Dense_0", 0.1), ("Dense_2", 0.2), ("Dense_10", 0.4))
    }
    for _ in range(3):
        updates, state = update(DEEP, state, DEEP)
        for name, (plain, its) in apart.items():
            expected, its = plain.update(DEEP[name], its, DEEP[name])
            apart[name] = (plain, its)
            for x, y in zip(jax.tree.leaves(updates[name]), jax.tree.leaves(expected), strict=True):
                np.testing.assert_allclose(x, y, rtol=2e-4, atol=1e-6)
    assert update._cache_size() == 1


def test_by_layers_numbers_are_data_in_one_state():
    tx = by_layer(sgd, 1.0, decay=0.5, order=["Dense_10", "Dense_2", "Dense_0"], momentum=0.5)
    state = tx.init(DEEP)
    assert set(hyperparams(state)) == {"learning_rate", "decay", "momentum", "dampening"}
    many = jax.vmap(lambda d: set_hyperparams(state, decay=d))(jnp.array([0.5, 0.1]))
    updates, _ = jax.vmap(tx.update, in_axes=(None, 0, None))(DEEP, many, DEEP)
    np.testing.assert_allclose(updates["Dense_10"]["b"][:, 0], [-0.25, -0.01], rtol=1e-6)
    np.testing.assert_allclose(updates["Dense_0"]["b"][:, 0], [-1.0, -1.0], rtol=1e-6)
    state = observe(by_layer(sgd, reduce_on_plateau(1.0, patience=0)).init(DEEP), 1.0)
    assert float(hyperparams(observe(state, 1.0))["learning_rate"]) == np.float32(0.1)


def test_by_layer_refuses_what_it_cannot_order():
    with pytest.raises(ValueError, match="'Dense_10/b' is in none of Dense_0, Dense_2"):
        by_layer(sgd, 0.1, order=["Dense_0", "Dense_2"]).init(DEEP)
    for order in (["Dense_0", "Dense_2", "Dense_0"], [], 3):
        with pytest.raises(ValueError, match=r"order must be the layers' names .* each once, got"):
            by_layer(sgd, 0.1, order=order)
    by_layer(sgd, 0.1, order=[0, 1]).init([jnp.ones(2), jnp.ones(2)])
    with pytest.raises(ValueError, match="decay must be a finite number > 0, got 0"):
        by_layer(sgd, 0.1, decay=0)
    with pytest.raises(ValueError, match="rmsprop must have an argument learning_rate, and none"):
        by_layer(rmsprop, 0.1)
    with pytest.raises(ValueError, match="learning_rate must be"):
        by_layer(sgd, -0.1)
    with pytest.raises(TypeError, match="did you mean 'momentum'"):
        by_layer(sgd, 0.1, momentun=0.9)
