"""The segment and `fit`: against loops written by hand, and against themselves."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from lropt_jax import Task, constant, fit, hyperparams, linear, reduce_on_plateau, sgd, tunable
from lropt_jax.training.course import as_key
from lropt_jax.training.lanes import BatchOrder, Feed
from lropt_jax.training.segment import evaluation
from lropt_jax.training.visits import itinerary
from tests.problems import BATCH, EXAMPLES, noisy_regression, regression

SGD = tunable(optax.sgd)


def by_hand(task, tx, key, steps, microbatches=1):
    """Training as anyone would write it: one jitted gradient, Python loops."""
    init_key, lane_key = jax.random.split(as_key(key))
    params, model_state = task.init(init_key)
    state = tx.init(params)
    order = BatchOrder(np.asarray(jax.random.key_data(lane_key)), EXAMPLES, BATCH)
    gradient = jax.jit(jax.value_and_grad(task.loss, has_aux=True))
    losses = []
    for step in range(steps):
        total, grads = 0.0, None
        for micro in range(microbatches):
            index = step * microbatches + micro
            batch = jax.tree.map(lambda a, i=index: a[order(i, i + 1)[0]], task.train)
            step_key = jax.random.fold_in(lane_key, step)
            if microbatches > 1:
                step_key = jax.random.fold_in(step_key, micro)
            (loss, (model_state, _)), grad = gradient(params, model_state, batch, step_key)
            total += float(loss) / microbatches
            grads = grad if grads is None else jax.tree.map(jnp.add, grads, grad)
        grads = jax.tree.map(lambda g: g / microbatches, grads)
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(total)
    return params, model_state, losses


@pytest.mark.parametrize("microbatches", [1, 3])
def test_fit_equals_a_loopby_hand(microbatches):
    task = noisy_regression()
    accumulate = None if microbatches == 1 else microbatches
    result = fit(task, optax.adam(0.05), 12, key=3, eval_every=4, accumulate=accumulate)
    params, model_state, losses = by_hand(task, optax.adam(0.05), 3, 12, microbatches)
    for ours, theirs in zip(*map(jax.tree.leaves, (result.params, params)), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-5, atol=1e-6)
    assert int(result.model_state["seen"]) == 12 * microbatches == int(model_state["seen"])
    means = np.reshape(losses, (3, 4)).mean(axis=1)
    np.testing.assert_allclose(result.history["train_loss"], means, rtol=1e-5)
    assert result.history["step"].tolist() == [4, 8, 12]
    assert set(result.history) == {
        "step", "train_loss", "train_noise", "valid_loss", "valid_accuracy",
    }  # fmt: skip


def test_accumulated_microbatches_equal_one_large_batch():
    small = fit(regression(), SGD(0.1), 5, accumulate=EXAMPLES // BATCH)
    large = fit(regression(batch_size=EXAMPLES), SGD(0.1), 5)
    np.testing.assert_allclose(small.params["w"], large.params["w"], rtol=1e-5)
    assert int(small.opt_state.count) == 5  # schedules count updates, not microbatches


def test_metrics_of_microbatches_are_means_whatever_their_type():
    """Truth values, whole numbers and half precision, whose sums their own type does not hold."""
    plain_task = regression()

    def loss(params, state, batch, key):
        value, (state, _) = plain_task.loss(params, state, batch, key)
        metrics = {
            "share": batch["x"][0, 0] > 0,
            "whole": jnp.int8(100),
            "half": jnp.float16(40000),
        }
        return value, (state, metrics)

    task = dataclasses.replace(plain_task, loss=loss)
    whole, plain = (fit(task, SGD(0.0), n, accumulate=k).metrics for n, k in ((1, 9), (9, None)))
    assert whole["train_share"] == pytest.approx(plain["train_share"]) != 1
    assert (whole["train_whole"], whole["train_half"]) == (100, pytest.approx(40000, rel=1e-3))


def test_half_precision_gradients_are_summed_in_single():
    """Of 1 and 15 times 1/512 bfloat16 keeps the 1 alone."""
    task = Task(
        init=lambda key: (jnp.zeros((), jnp.bfloat16), ()),
        loss=lambda w, s, b, key: (jnp.float32(w) * jnp.sum(b["x"]), (s, {})),
        evaluate=lambda w, s, b: {"loss": b["x"]},
        train={"x": np.array([1.0] + 15 * [1 / 512], np.float32)},
        batch_size=1,
    )
    result = fit(task, SGD(1.0), 1, accumulate=16)
    assert result.params.dtype == jnp.bfloat16
    assert float(result.params) == pytest.approx(-(1 + 15 / 512) / 16, rel=5e-3)


def test_a_growing_batch_takes_its_microbatches_in_the_epochs_order():
    plan = itinerary(6, 2, accumulate=linear(1, 6, 5))  # 1, 2, 3, 4, 5, 6 microbatches
    assert plan.microbatches.tolist() == [0, 1, 3, 6, 10, 15, 21]
    order = BatchOrder(np.array([1, 2]), EXAMPLES, BATCH)
    taken = []
    for first, last in ((0, 2), (2, 4), (4, 6)):
        feed = plan.feed([order], first, last)
        taken.append(feed.order[0, : feed.starts[0, last - first]])
        assert feed.order.shape == (1, 1024, BATCH)  # whatever the segment: one compile
    taken = np.concatenate(taken)
    assert np.array_equal(taken, order(0, 21))
    for epoch in range(4):  # each example once an epoch
        seen = taken[5 * epoch : 5 * epoch + 5].ravel()
        assert sorted(seen) == list(range(EXAMPLES))
    assert not np.array_equal(taken[:5], taken[5:10])


def test_evaluations_and_segments_change_no_bit(monkeypatch):
    task = noisy_regression()
    whole = fit(task, optax.adam(0.05), 12, key=1)
    monkeypatch.setattr("lropt_jax.training.visits.LONGEST_SEGMENT", 5)
    parts = fit(task, optax.adam(0.05), 12, key=1, eval_every=7)
    for a, b in zip(*map(jax.tree.leaves, (whole.lane[:3], parts.lane[:3])), strict=True):
        assert np.array_equal(a, b)


def test_the_key_decides_everything():
    task = noisy_regression()
    seeds = [fit(task, SGD(0.1), 3, key=k) for k in (5, jax.random.key(5), 6)]
    assert np.array_equal(seeds[0].params["w"], seeds[1].params["w"])
    assert not np.array_equal(seeds[0].params["w"], seeds[2].params["w"])
    raw = fit(task, SGD(0.1), 3, key=jax.random.PRNGKey(5))
    assert np.array_equal(seeds[0].params["w"], raw.params["w"])


def test_a_divergence_is_nan_from_there_on():
    with pytest.warns(RuntimeWarning, match="not finite from update 4 on"):
        history = fit(regression(), SGD(1e8), 30, eval_every=1).history
    loss = history["train_loss"]
    first = int(np.argmax(~np.isfinite(loss)))
    assert 0 < first < 29
    assert np.isfinite(loss[:first]).all()
    assert np.isnan(loss[first:]).all()
    assert np.isnan(history["valid_loss"][first:]).all()


def test_a_plateau_observes_the_validation_loss():
    numbers = {"factor": 0.5, "patience": 1, "threshold": 0.1, "eps": 0.0}
    still = sgd(reduce_on_plateau(1e-9, **numbers))
    result = fit(regression(), still, 5, eval_every=1)  # best, then twice (bad, bad): two cuts
    rate = float(hyperparams(result.opt_state)["learning_rate"])
    assert rate == pytest.approx(0.25e-9)
    still = sgd(reduce_on_plateau(1e-9, mode="max", **numbers))
    better = fit(regression(), still, 5, eval_every=1, observe="valid_accuracy")
    assert float(hyperparams(better.opt_state)["learning_rate"]) == pytest.approx(0.25e-9)


def test_extra_arguments_reach_an_optimizer_that_needs_the_loss():
    tx = optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1))
    history = fit(regression(), tx, 10).history
    assert np.isfinite(history["valid_loss"]).all()


def test_without_a_validation_split():
    task = regression()
    bare = type(task)(task.init, task.loss, task.evaluate, task.train, batch_size=BATCH)
    assert set(fit(bare, SGD(0.1), 3).history) == {"step", "train_loss", "learning_rate"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "steps must be a whole number >= 1, got 0"),
        ({"steps": "many"}, "steps must be a whole number >= 1, got 'many'"),
        ({"steps": float("inf")}, "steps must be a whole number >= 1, got inf"),
        ({"steps": 2.5}, "steps must be a whole number >= 1, got 2.5"),
        ({"steps": 3, "eval_every": -1}, "eval_every must be a whole number >= 1, got -1"),
        ({"steps": 3, "accumulate": 0}, "accumulate must be"),
        ({"steps": 3, "accumulate": constant(1.5)}, "accumulate must be"),
        ({"steps": 3, "observe": "valid_loss"}, "observe='valid_loss' needs"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        fit(regression(), SGD(0.1), **arguments)


def test_a_plateau_that_nothing_is_shown_to_is_refused():
    tx = sgd(reduce_on_plateau(0.1))
    with pytest.raises(ValueError, match="eval_every must be given"):
        fit(regression(), tx, 3)
    with pytest.raises(ValueError, match=r"observe must be one of .*valid_loss"):
        fit(regression(), tx, 3, eval_every=1, observe="loss")


@pytest.mark.parametrize("examples", [1, 7, 1000, 1999, 2500])
def test_evaluation_averages_every_example_once(examples):
    values = np.random.default_rng(0).normal(size=examples).astype(np.float32)
    mean = evaluation(lambda params, state, batch: {"loss": batch})(0, 0, jnp.asarray(values))
    np.testing.assert_allclose(mean["loss"], values.mean(dtype=float), atol=1e-6)


@pytest.mark.parametrize("every", [1, 3, 4, 10, 12])
def test_an_itinerary_says_where_its_evaluations_are(every):
    plan, step = itinerary(10, every), np.arange(11)
    stops = np.array([0, *plan.evaluations])
    assert [plan.updates_at(n) for n in range(len(stops))] == stops.tolist()
    made = [(stops[1:] <= s).sum() for s in step]
    assert plan.evaluations_made(step).tolist() == made
    assert plan.last_evaluation(step).tolist() == stops[made].tolist()
    assert plan.next_evaluation(step).tolist() == [
        min((s for s in stops if s > now), default=10) for now in step
    ]


def test_settings_are_set_before_their_update():
    from lropt_jax.training.lanes import Lane
    from lropt_jax.training.segment import segment

    task, tx = regression(), SGD(1.0)
    params, state = task.init(jax.random.key(0))
    lane = Lane(params, state, tx.init(params), jax.random.key(1), jnp.zeros((), jnp.int32))
    order = jnp.tile(jnp.arange(BATCH), (4, 1))
    rates = jnp.array([0.0, 0.0, 0.1, 0.0])
    feed = Feed(order, settings={"learning_rate": rates})
    lane, metrics = segment(jax.value_and_grad(task.loss, has_aux=True), tx)(
        lane, feed, jax.tree.map(jnp.asarray, task.train), 4
    )
    a, b, c, d = metrics["loss"]
    assert a == b == c  # the third update is the first to move
    assert d < c
