"""What is watched of a training: on quadratics the numbers are known."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

import lropt_jax as lj
from lropt_jax import (
    Task,
    adam,
    by_layer,
    early_stopping,
    fit,
    reduce_on_plateau,
    sgd,
    sweep,
    train,
)
from lropt_jax.training.watching.noise import noise_scale
from tests.compilations import counted
from tests.problems import regression
from tests.test_train_and_fit import DATA, TASK, same

ALL = ("sharpness", "preconditioned_sharpness", "update_ratio", "rotation", "noise_scale")
N, D = 50, 30


@functools.cache
def numbers(dtype=np.float64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)) * np.geomspace(3, 0.1, D)
    return x.astype(dtype), rng.normal(size=N).astype(dtype)


def residuals(params, batch):
    return batch["x"][:, :10] @ params["a"] + batch["x"][:, 10:] @ params["b"]["c"] - batch["y"]


def least_squares(batch_size=8, dtype=np.float64):
    """Its Hessian is that of x, over three batches and a part of one."""
    x, y = numbers(dtype)

    def init(key):
        keys = jax.random.split(key)
        a, c = jax.random.normal(keys[0], (10,)), jax.random.normal(keys[1], (20,))
        return {"a": a.astype(dtype), "b": {"c": c.astype(dtype)}}, {}

    return Task(
        init,
        loss=lambda p, s, batch, key: (0.5 * jnp.mean(residuals(p, batch) ** 2), (s, {})),
        evaluate=lambda p, s, batch: {"loss": 0.5 * residuals(p, batch) ** 2},
        train={"x": x, "y": y},
        batch_size=batch_size,
    )


def flat(params):
    return np.concatenate([np.asarray(x, float).ravel() for x in jax.tree.leaves(params)])


@pytest.mark.parametrize("seen", [50, 33, 1024])
def test_the_sharpness_of_a_quadratic(x64, seen):
    result = fit(least_squares(), sgd(1e-3), 3, watch=["sharpness"], watch_examples=seen)
    x = numbers()[0][:seen]
    largest = np.linalg.eigvalsh(x.T @ x / len(x))[-1]
    np.testing.assert_allclose(result.history["sharpness"], [largest], rtol=1e-9)
    assert result.metrics["sharpness"] == result.history["sharpness"][-1]


def quadratic(hessian):
    """The loss of an exact Hessian, for one batch of one example."""

    def loss(p, s, batch, key):
        return 0.5 * p @ batch["h"][0] @ p, (s, {})

    return Task(
        lambda key: (jnp.ones(len(hessian), hessian.dtype), {}),
        loss,
        lambda p, s, batch: {"other": batch["h"][:, 0, 0]},
        {"h": hessian[None]},
        batch_size=1,
    )


@pytest.mark.parametrize(
    ("eigenvalues", "largest"),
    [([-3.0, -1.0, -2.0], -1.0), ([2.0, 2.0, 2.0], 2.0), ([0.0, 0.0], 0.0), ([5.0], 5.0),
     ([-1e-3] * 25, -1e-3), ([1.0] * 24 + [1.5], 1.5)],
)  # fmt: skip
def test_degenerate_and_negative_curvature(eigenvalues, largest):
    n = len(eigenvalues)
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(n, n)))[0]
    hessian = (turned * np.array(eigenvalues)) @ turned.T
    result = fit(quadratic(hessian.astype(np.float32)), sgd(1e-4), 1, watch=["sharpness"])
    np.testing.assert_allclose(result.metrics["sharpness"], largest, rtol=2e-6, atol=1e-9)


DENOMINATORS = {
    "adam": (lambda g: np.sqrt(averaged(g**2, 0.999)) + 1e-3, {"eps": 1e-3}),
    "adamw": (lambda g: np.sqrt(averaged(g**2, 0.9)) + 1e-8, {"b2": 0.9}),
    "rmsprop": (lambda g: np.sqrt(averaged(g**2, 0.99) * (1 - 0.99 ** len(g))) + 1e-8, {}),
    "adagrad": (lambda g: np.sqrt((g**2).sum(0)) + 1e-10, {}),
    "amsgrad": (
        lambda g: np.sqrt(largest_average(g**2, 0.5) / (1 - 0.5 ** len(g))) + 1e-8, {"b2": 0.5}
    ),
    "adamax": (
        lambda g: functools.reduce(lambda u, x: np.maximum(0.9 * u, abs(x) + 1e-8), g, 0.0),
        {"b2": 0.9},
    ),
    "nadam": (lambda g: np.sqrt(averaged(g**2, 0.999)) + 1e-8, {}),
    "qhadam": (lambda g: np.sqrt(averaged(g**2, 0.999)) + 1e-8, {}),
    "swats": (
        lambda g: (np.sqrt(list(averages(g**2, 0.9))[-1]) + 1e-2) / np.sqrt(1 - 0.9 ** len(g)),
        {"b2": 0.9, "eps": 1e-2, "min_steps": 99},
    ),
    "local_gains": (lambda g: 1 / gained(g, 0.3), {"beta": 0.3}),
}  # fmt: skip


def gained(gradients, beta):
    gains = np.ones_like(gradients[0])
    for before, now in itertools.pairwise(gradients):
        gains = np.where(before * now > 0, gains + beta, gains * (1 - beta))
    return gains


def averages(values, decay):
    now = 0.0
    for value in values:
        now = decay * now + (1 - decay) * value
        yield now


def averaged(values, decay):
    """With its bias corrected."""
    return list(averages(values, decay))[-1] / (1 - decay ** len(values))


def largest_average(values, decay):
    return np.max(list(averages(values, decay)), axis=0)


@pytest.mark.parametrize("name", DENOMINATORS)
def test_the_sharpness_over_an_optimizers_own_denominators(x64, name):
    expected, settings = DENOMINATORS[name]
    task = least_squares(batch_size=N)
    tx = lj.OPTIMIZERS[name](1e-2, **settings)
    moments = list(train(task, tx, 5, eval_every=1, watch=["preconditioned_sharpness"]))
    x, y = numbers()
    points = [flat(task.init(jax.random.split(jax.random.key(0))[0])[0])]
    points += [flat(moment.params) for moment in moments[:-1]]
    gradients = np.stack([x.T @ (x @ p - y) / N for p in points])
    roots = 1 / np.sqrt(expected(gradients))
    largest = np.linalg.eigvalsh(roots[:, None] * (x.T @ x / N) * roots)[-1]
    seen = moments[-1].history["preconditioned_sharpness"]
    np.testing.assert_allclose(seen[-1], largest, rtol=1e-6)


def test_swats_after_its_switch_is_sgd_at_the_rate_that_it_found(x64):
    tx = lj.swats(1e-2, switch_rtol=0.5)
    result = fit(least_squares(N), tx, 40, watch=ALL[:2])
    assert bool(optax.tree.get(result.opt_state, "switched"))
    rate = float(optax.tree.get(result.opt_state, "sgd_learning_rate"))
    seen = result.metrics
    np.testing.assert_allclose(
        seen["preconditioned_sharpness"], seen["sharpness"] * rate / 1e-2, rtol=1e-6
    )


@pytest.mark.parametrize("name", ["lars", "lamb", "rprop"])
def test_steps_with_a_length_of_their_own_have_no_denominators(name):
    with pytest.raises(ValueError, match="lars, lamb and rprop have a length of their own"):
        fit(regression(), lj.OPTIMIZERS[name](0.1), 3, watch="preconditioned_sharpness")


def test_an_accumulated_optimizer_is_known(x64):
    task, tx = least_squares(N), adam(1e-2)
    watch = ALL[:2]
    plain = fit(task, tx, 3, watch=watch).history
    twice = fit(task, lj.accumulate(tx, 2), 6, watch=watch).history
    for name in ("sharpness", "preconditioned_sharpness", "preconditioned_sharpness_limit"):
        np.testing.assert_allclose(plain[name], twice[name], rtol=1e-9)


def test_denominators_of_parameter_groups(x64):
    task = least_squares(batch_size=N)
    groups = optax.partition(
        {"one": adam(1e-2), "two": adam(1e-3)}, {"a": "one", "b": {"c": "two"}}
    )
    for tx in (groups, by_layer(adam, 1e-2)):
        seen = fit(task, tx, 1, watch=["preconditioned_sharpness"])
        assert np.isfinite(seen.metrics["preconditioned_sharpness"])
        assert "preconditioned_sharpness_limit" not in seen.history
    alone = fit(task, adam(1e-2), 1, watch=["preconditioned_sharpness"])
    first = fit(task, groups, 1, watch=["preconditioned_sharpness"])
    # The gradients of the first update are the same, and all that denominators depend on.
    np.testing.assert_allclose(
        first.metrics["preconditioned_sharpness"], alone.metrics["preconditioned_sharpness"]
    )


LARGE = 1e60  # an eps beside which no gradient counts: the denominators stand still
STEADY = {
    "sgd": {},
    "heavy ball": {"momentum": 0.9},
    "dampened": {"momentum": 0.5, "dampening": 0.5},
    "nesterov": {"momentum": 0.9, "nesterov": True},
    "sgdw": {"momentum": 0.8, "weight_decay": 0.0},
    "qhm": {"momentum": 0.9, "nu": 0.7},
    "adam": {"eps": LARGE},
    "amsgrad": {"eps": LARGE},
    "nadam": {"eps": LARGE, "momentum_decay": 100.0},
    "rmsprop": {"eps": LARGE},
    "rmsprop with momentum": {"eps": LARGE, "momentum": 0.9},
    "adagrad": {"eps": LARGE},
    "qhadam": {"eps": LARGE, "b1": 0.9},
    "swats": {"eps": LARGE, "b2": 0.5, "min_steps": 10**6},
    "local_gains": {"beta": 0.0, "momentum": 0.9},
}


@pytest.mark.parametrize("name", STEADY)
def test_the_limit_is_where_a_quadratic_begins_to_explode(x64, name):
    words = name.split()[0]
    make = lj.OPTIMIZERS.get(words, sgd)
    steady = "eps" in STEADY[name]
    adaptive = steady or name == "local_gains"
    watch = ["preconditioned_sharpness" if adaptive else "sharpness"]
    task = quadratic(np.diag([1.0, 0.3]))
    unit = LARGE if steady else 1.0
    first = fit(task, make(0.1 * unit, **STEADY[name]), 300, watch=watch)
    rate = 0.1 * unit * first.history[f"{watch[0]}_limit"][-1] / first.history[watch[0]][-1]
    for factor in (0.99, 1.01):
        last = fit(task, make(factor * rate, **STEADY[name]), 300, eval_every=100, watch=watch)
        before, after = last.history["train_loss"][1:]
        assert after < before / 2 if factor < 1 else after > before * 2
        assert f"edge of stability: at the edge: {factor:.2f} of" in repr(last)


def test_how_an_update_moves_all_and_each_layer(x64):
    task = least_squares()
    watch = ("update_ratio", "rotation")
    moments = list(train(task, adam(1e-2), 6, eval_every=1, watch=watch))
    start = task.init(jax.random.split(jax.random.key(0))[0])[0]
    points = [start, *(moment.params for moment in moments)]
    history = moments[-1].history
    of = {"": flat, "/a": lambda p: flat(p["a"]), "/b/c": lambda p: flat(p["b"]["c"])}
    for layer, vector in of.items():
        w = np.stack([vector(p) for p in points])
        lengths = np.linalg.norm(w, axis=1)
        ratios = np.linalg.norm(np.diff(w, axis=0), axis=1) / lengths[:-1]
        cosines = (w[1:] * w[:-1]).sum(1) / lengths[1:] / lengths[:-1]
        np.testing.assert_allclose(history[f"update_ratio{layer}"], ratios, rtol=1e-10)
        np.testing.assert_allclose(history[f"rotation{layer}"], np.arccos(cosines), rtol=1e-6)
    assert set(moments[-1].metrics) == {"train_loss", "update_ratio", "rotation"}
    # Where evaluations are rare it is still the last update that counts.
    rare = fit(task, adam(1e-2), 6, eval_every=3, watch=watch).history
    np.testing.assert_array_equal(rare["rotation"], history["rotation"][[2, 5]])


def test_tiny_angles_in_float32():
    task = quadratic(np.array([[1.0, 0.0], [0.0, 2.0]], np.float32))
    seen = fit(task, sgd(1e-6), 1, watch=["rotation", "update_ratio"])
    w, g = np.array([1.0, 1.0]), np.array([1.0, 2.0])
    after = np.asarray(seen.params, float)
    across = abs(np.linalg.det([w, after - w])) / np.linalg.norm(w)
    np.testing.assert_allclose(seen.metrics["rotation"], across / np.linalg.norm(after), rtol=1e-5)
    assert 0 < seen.metrics["rotation"] < 1e-6 * np.linalg.norm(g)


@pytest.mark.parametrize("batch_size", [8, N])
def test_the_noise_scale_of_a_quadratic(x64, batch_size):
    result = fit(least_squares(batch_size), sgd(1e-3), 2, watch=["noise_scale"])
    x, y = numbers()
    each = x * (x @ flat(result.params) - y)[:, None]
    mean = each.mean(0)
    expected = ((each - mean) ** 2).sum(1).mean() / (mean @ mean)
    np.testing.assert_allclose(result.metrics["noise_scale"], expected, rtol=1e-9)


def test_a_part_of_the_examples_tells_the_noise_of_all_without_bias():
    """Gradients whose mean is far smaller than their noise; without correction it is 40% off."""
    rng = np.random.default_rng(0)
    each = rng.normal(size=(3000, 2)) + 0.3
    square, spread = (each.mean(0) ** 2).sum(), each.var(axis=0).sum()
    found = []
    for _ in range(2000):
        part = rng.choice(each, 100, replace=False)
        mean = part.mean(0)
        signal, noise = (mean**2).sum(), ((part - mean) ** 2).sum(1).mean()
        scale = noise_scale(signal[None], noise[None], 1, 100, 3000)[0]
        found.append(noise / (0.99 * scale) * 2999 / 3000)  # the square of the mean gradient
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found) - square) < 4 * error
    assert error < 0.02 * square
    assert spread / square > 10


def test_watching_changes_no_bit_and_costs_nothing_where_nobody_does():
    task = regression()
    tx = adam(reduce_on_plateau(1e-2, patience=0))
    plain = fit(task, tx, 20, eval_every=6)
    with counted() as compilations:
        fit(task, tx, 20, eval_every=6)
    assert not compilations
    watching = fit(task, tx, 20, eval_every=6, watch=ALL)
    for old, new in zip(
        *(jax.tree.leaves((f.params, f.opt_state)) for f in (plain, watching)), strict=True
    ):
        np.testing.assert_array_equal(old, new)
    for name, values in plain.history.items():
        np.testing.assert_array_equal(values, watching.history[name])
    with counted() as compilations:
        fit(task, tx, 30, eval_every=4, watch=ALL)
    assert not compilations


@pytest.mark.slow
def test_going_on_bit_for_bit(tmp_path):
    whole = fit(TASK, adam(1e-2), 12, eval_every=3, watch=ALL, key=3)
    part = fit(TASK, adam(1e-2), 6, eval_every=3, watch=ALL, key=3)
    then = fit(TASK, adam(1e-2), 12, eval_every=3, watch=ALL, start=part)
    same(whole, then)
    for moment in train(TASK, adam(1e-2), 12, 3, 3, watch=ALL, directory=tmp_path / "kept"):
        if moment.step == 6:
            break
    kept = fit(TASK, adam(1e-2), 12, 3, 3, watch=ALL, directory=tmp_path / "kept")
    for other in (then, kept):
        assert set(other.history) == set(whole.history)
        for name, values in whole.history.items():
            np.testing.assert_array_equal(values, other.history[name])
    # What was not watched before is not known.
    late = fit(TASK, adam(1e-2), 12, eval_every=3, watch=["sharpness"], start=part)
    assert np.isnan(late.history["rotation"]).tolist() == [False, False, True, True]
    plain = fit(TASK, adam(1e-2), 6, eval_every=3, key=3)
    late = fit(TASK, adam(1e-2), 12, eval_every=3, watch=["sharpness"], start=plain)
    assert np.isnan(late.history["sharpness"]).tolist() == [True, True, False, False]


SPACE = {"learning_rate": lj.grid(1e-3, 1e-2, 0.1, 1e8)}
WATCH = ("sharpness", "update_ratio", "rotation", "noise_scale")


@pytest.mark.parametrize("strategy", ["vmap", "map", "map:2", "shared"])
def test_lanes_are_watched_each_for_itself(strategy, tmp_path):
    task, make = regression(), functools.partial(sgd, momentum=0.9)
    run = functools.partial(
        sweep, task, make, SPACE, seeds=2, steps=10, eval_every=4, strategy=strategy, width=4,
        progress=False,
    )  # fmt: skip
    result = run(watch=WATCH, directory=tmp_path)
    plain = run()
    for name in plain.values:
        np.testing.assert_array_equal(plain.values[name], result.values[name])
    names = {*plain.values, *WATCH, "sharpness_limit"}
    assert set(result.values) == names
    assert (result.status[3] == "diverged").all()
    for name in names:
        assert np.isnan(result.values[name][3, :, -1]).all()
        assert np.isfinite(result.values[name][:3]).all()
    key = jax.random.fold_in(jax.random.key(0), 1)
    for trial, rate in enumerate((1e-3, 1e-2, 0.1)):
        alone = fit(task, make(rate), 10, key, 4, watch=WATCH)
        for name in names - set(plain.values):
            values = result.values[name][trial, 1]
            np.testing.assert_allclose(values, alone.history[name], rtol=2e-3, err_msg=name)
    again = run(watch=WATCH, directory=tmp_path)
    assert again.trained_now == 0
    np.testing.assert_array_equal(again.values["rotation"], result.values["rotation"])
    for other in ({}, {"watch": WATCH, "watch_examples": 3}):
        with pytest.raises(ValueError, match=r"what differs: watch \("):
            run(directory=tmp_path, **other)
    assert result.best("sharpness", "min")["learning_rate"] in (1e-3, 1e-2, 0.1)
    with pytest.warns(UserWarning, match="trained again"):
        model = result.trained(1, 0)
    assert model.metrics["rotation"] == result.values["rotation"][1, 0, -1]


def test_the_whole_sweep_is_refused_where_one_of_its_optimizers_cannot_be_watched():
    space = {"optimizer": lj.choice(adam, sgd), "rate": 1e-2}
    with counted() as compilations, pytest.raises(ValueError, match="preconditioned_sharpness nee"):
        sweep(
            regression(), lambda optimizer, rate: optimizer(rate), space, steps=3,
            watch=["preconditioned_sharpness"], progress=False,
        )  # fmt: skip
    assert not compilations


class Normed(nn.Module):
    """A batch norm, and nothing random."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(4)(x))
        return nn.Dense(3)(jnp.tanh(x))


def _largest(loss, params):
    vector, shape = jax.flatten_util.ravel_pytree(params)
    hessian = jax.jit(jax.hessian(lambda v: loss(shape(v))))
    return float(np.linalg.eigvalsh(hessian(vector))[-1])


def test_of_a_batch_norm_the_loss_that_is_trained():
    data = {"train": {name: values[:64] for name, values in DATA["train"].items()}}
    task = lj.classification_task(Normed(), data, batch_size=64)
    result = fit(task, sgd(0.1), 4, watch=["sharpness", "noise_scale"])

    def loss(params):
        return task.loss(params, result.model_state, task.train, jax.random.key(0))[0]

    largest = _largest(loss, result.params)
    np.testing.assert_allclose(result.metrics["sharpness"], largest, rtol=1e-4)
    assert result.metrics["noise_scale"] > 0


def test_of_a_dropout_the_loss_without_it(x64):
    result = fit(TASK, sgd(0.1), 6, watch=["sharpness", "noise_scale"])

    def loss(params):
        return TASK.evaluate(params, result.model_state, TASK.train)["loss"].mean()

    np.testing.assert_allclose(
        result.metrics["sharpness"], _largest(loss, result.params), rtol=1e-5
    )
    vector, shape = jax.flatten_util.ravel_pytree(result.params)

    def of_each(v):
        return TASK.evaluate(shape(v), result.model_state, TASK.train)["loss"]

    each = np.asarray(jax.jit(jax.jacrev(of_each))(vector))
    expected = each.var(axis=0).sum() / (each.mean(0) ** 2).sum()
    np.testing.assert_allclose(result.metrics["noise_scale"], expected, rtol=1e-6)


def test_parameters_of_half_precision_are_looked_at_in_float32():
    task = least_squares(dtype=np.float32)

    def init(key):
        return jax.tree.map(lambda p: p.astype(jnp.bfloat16), task.init(key)[0]), {}

    half = dataclasses.replace(task, init=init)
    result = fit(half, adam(1e-2), 3, watch=ALL)
    x = numbers()[0]
    largest = np.linalg.eigvalsh(x.T @ x / N)[-1]
    np.testing.assert_allclose(result.metrics["sharpness"], largest, rtol=1e-5)
    assert all(np.isfinite(result.metrics[name]) for name in ALL)
    assert jax.tree.leaves(result.params)[0].dtype == jnp.bfloat16


def test_a_training_that_diverges_is_nan_from_there():
    with pytest.warns(RuntimeWarning, match="not finite"):
        result = fit(regression(), sgd(1e8), 20, eval_every=5, watch=WATCH)
    for name in WATCH:
        assert np.isnan(result.history[name][-1])
    assert "edge" not in repr(result)


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"watch": ["sharpnes"]}, "watch: unknown observable 'sharpnes'; did you mean 'sharpness'"),
        ({"watch": ["sharpnes"]}, "Known: sharpness, preconditioned_sharpness, update_ratio, rota"),
        ({"watch": 3}, "watch must be names of sharpness, "),
        ({"watch": ["rotation"], "watch_examples": 0}, "watch_examples must be a whole number"),
        ({"watch": ["preconditioned_sharpness"]}, "needs an optimizer that divides by the size"),
        ({"observe": "valid_loss"}, "observe='valid_loss' needs an optimizer with a schedule"),
    ],
)
def test_what_cannot_be_watched_is_said_before_anything_is_compiled(settings, error):
    with counted() as compilations, pytest.raises(ValueError, match=error):
        fit(regression(), sgd(0.1), 3, **settings)
    assert not compilations


def test_the_observed_metric_is_known_before_anything_is_compiled():
    tx = sgd(reduce_on_plateau(0.1))
    with counted() as compilations:
        with pytest.raises(ValueError, match=r"observe must be one of train_loss, .*valid_loss"):
            fit(regression(), tx, 4, eval_every=2, observe="validloss")
        with pytest.raises(ValueError, match="eval_every must be given"):
            fit(regression(), tx, 4)
    assert not compilations
    fit(regression(), tx, 4, eval_every=2, observe="sharpness", watch="sharpness")


def test_updates_within_a_condition():
    def wrap(tx):
        return optax.apply_if_finite(tx, 3)

    seen = fit(regression(), wrap(sgd(0.1)), 4, watch=["sharpness"])
    assert np.isfinite(seen.metrics["sharpness"])
    with pytest.raises(ValueError, match="not in a condition"):
        fit(regression(), wrap(adam(0.1)), 4, watch=["preconditioned_sharpness"])


def test_of_multi_steps_the_optimizer_in_it():
    """The same microbatches in the same order, so that the updates are the same."""
    names = ["preconditioned_sharpness"]
    plain = fit(regression(), adam(0.1), 2, accumulate=2, watch=names)
    steps = optax.MultiSteps(adam(0.1), 2).gradient_transformation()
    inner = fit(regression(), steps, 4, watch=names)
    for name in (*names, "preconditioned_sharpness_limit"):
        np.testing.assert_allclose(inner.history[name], plain.history[name], rtol=1e-4)
    assert fit(regression(), steps, 4, watch="sharpness").metrics["sharpness"] > 0


def test_numbers_that_a_factory_makes_itself_are_known(x64):
    peak = lj.tunable(lambda peak: adam(lj.cosine_decay(peak, 100), b1=0.5, eps=0.5))
    plain = fit(least_squares(N), adam(1e-2, eps=0.5), 1, watch="preconditioned_sharpness")
    made = fit(least_squares(N), peak(1e-2), 1, watch="preconditioned_sharpness")
    one, other = (x.metrics["preconditioned_sharpness"] for x in (plain, made))
    np.testing.assert_allclose(one, other, rtol=1e-9)
    rate = 1e-2 * (1 + np.cos(np.pi / 100)) / 2
    limit = made.history["preconditioned_sharpness_limit"][0]
    np.testing.assert_allclose(limit, (2 + 2 * 0.5) / (0.5 * rate))
    assert f"of the limit {limit:.4g}" in repr(made)


def test_stopping_and_keeping_by_what_is_watched():
    stop = early_stopping("noise_scale", patience=2, mode="min")
    task = regression()
    result = fit(task, sgd(0.02), 400, eval_every=4, stop=stop, keep="best", watch="noise_scale")
    values = result.history["noise_scale"]
    assert result.history["step"][-1] < 400
    assert result.metrics["noise_scale"] == values.min()


def test_the_figure_shows_what_was_watched():
    figure = fit(regression(), adam(1e-2), 12, eval_every=3, watch=ALL).plot()
    labels = [axes.get_ylabel() for axes in figure.axes]
    for label in (
        "curvature",
        "curvature over denominators",
        "the last update",
        "noise scale (examples)",
    ):
        assert label in labels
    (curvature,) = (a for a in figure.axes if a.get_ylabel() == "curvature over denominators")
    assert [line.get_label() for line in curvature.lines] == ["preconditioned sharpness", "limit"]


class Convolutional(nn.Module):
    """Convolutions and poolings, which are rewritten on a CPU."""

    @nn.compact
    def __call__(self, x):
        x = jnp.tanh(nn.Conv(3, (3, 3))(x))
        x = nn.max_pool(x, (2, 2), (2, 2))
        x = jnp.tanh(nn.Conv(2, (3, 3), (2, 2))(x))
        x = nn.avg_pool(x, (3, 3), (1, 1), padding="SAME")
        return nn.Dense(3)(x.reshape(len(x), -1))


@pytest.mark.slow
def test_curvature_through_convolutions(monkeypatch):
    monkeypatch.setattr(lj.config, "rewrite_convolutions", True)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(32, 8, 8, 1)).astype(np.float32)
    y = rng.integers(0, 3, 32)
    task = lj.classification_task(Convolutional(), (x, y), batch_size=16)
    result = fit(task, adam(1e-2), 4, watch=["sharpness", "noise_scale"])

    def of_each(params):
        return task.evaluate(params, {}, task.train)["loss"]

    largest = _largest(lambda params: of_each(params).mean(), result.params)
    np.testing.assert_allclose(result.metrics["sharpness"], largest, rtol=1e-5)
    vector, shape = jax.flatten_util.ravel_pytree(result.params)
    each = np.asarray(jax.jit(jax.jacrev(lambda v: of_each(shape(v))))(vector), float)
    expected = each.var(axis=0).sum() / (each.mean(0) ** 2).sum()
    np.testing.assert_allclose(result.metrics["noise_scale"], expected, rtol=1e-5)


@pytest.mark.parametrize("accumulate", [None, 3])
def test_data_on_the_host_and_microbatches(accumulate, tmp_path):
    task = regression()
    (tmp_path / "x").write_bytes(task.train["x"].tobytes())
    x = np.memmap(tmp_path / "x", np.float32, mode="r").reshape(task.train["x"].shape)
    host = dataclasses.replace(task, train={**task.train, "x": x})
    run = functools.partial(
        fit, tx=adam(1e-2), steps=11, accumulate=accumulate, watch=ALL, watch_examples=30
    )
    here, there = run(task, eval_every=4), run(host, eval_every=4)
    often = run(task, eval_every=1)
    for name in ALL:
        np.testing.assert_array_equal(here.history[name], there.history[name])
        np.testing.assert_array_equal(here.history[name], often.history[name][[3, 7, 10]])


def test_a_worker_watches_too():
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        run = functools.partial(
            sweep, regression(), sgd, {"learning_rate": [0.1, 0.01]}, steps=6, eval_every=3,
            watch=WATCH, watch_examples=16, devices=1, width=2, strategy="map", progress=False,
        )  # fmt: skip
        here, there = run(), run(executor=pool)
    assert set(here.values) == set(there.values)
    for name, values in here.values.items():
        np.testing.assert_array_equal(values, there.values[name])
