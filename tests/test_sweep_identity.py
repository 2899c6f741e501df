"""What a sweep promises to the last bit: isolation, order, chunks, segments, padding, pruning."""

from __future__ import annotations

import jax
import numpy as np
import optax
import pytest
from numpy.testing import assert_array_equal

from lropt_jax import (
    adam,
    choice,
    constant,
    cosine_decay,
    fit,
    grid,
    log_grid,
    reduce_on_plateau,
    sgd,
    sweep,
)  # fmt: skip
from lropt_jax.training import visits as itineraries
from lropt_jax.training.lanes import BatchOrder
from lropt_jax.training.layout import Layout
from lropt_jax.training.population import Population, on_host
from tests import sweep_problems
from tests.compilations import counted
from tests.sweep_problems import DIVERGES, assert_same, fragile, run, task

RATES = [0.003, 0.01, 0.03, 0.1]


@pytest.fixture(scope="module")
def plain():
    return run({"learning_rate": RATES}, seeds=2)


def _loss(params, batch):
    return task().loss(params, {}, batch, None)[0]


@pytest.mark.parametrize("strategy", ["vmap", "map", "map:2", "shared"])
def test_a_lane_is_what_a_plain_loop_trains(strategy):
    steps = 14
    result = run({"learning_rate": RATES}, seeds=[5, 3], steps=steps, strategy=strategy, key=7)
    problem = task()
    key = jax.random.fold_in(jax.random.key(7), 3)
    init_key, lane_key = jax.random.split(key)
    params, _ = problem.init(init_key)
    tx = optax.adam(RATES[2])
    state = tx.init(params)
    words = np.asarray(jax.random.key_data(lane_key))
    order = BatchOrder(words, sweep_problems.EXAMPLES, problem.batch_size)(0, steps)
    losses = []
    for i in range(steps):
        batch = {k: v[order[i]] for k, v in problem.train.items()}
        value, grads = jax.value_and_grad(lambda p, b=batch: problem.loss(p, {}, b, None)[0])(
            params
        )
        updates, state = tx.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        losses.append(value)
    trained = [np.mean(losses[a:b]) for a, b in [(0, 5), (5, 10), (10, 14)]]
    np.testing.assert_allclose(result.values["train_loss"][2, 1], trained, rtol=1e-5)
    valid = np.mean(problem.evaluate(params, {}, problem.valid)["loss"])
    np.testing.assert_allclose(result.values["valid_loss"][2, 1, -1], valid, rtol=1e-5)
    assert result.steps.tolist() == [5, 10, 14]


def test_an_epoch_sees_each_example_once_and_drops_the_rest():
    order = BatchOrder(np.array([1, 2], np.uint32), 10, 3)(0, 6)
    for epoch in (order[:3], order[3:]):
        assert len(set(epoch.ravel())) == 9
    assert not np.array_equal(order[:3], order[3:])
    np.testing.assert_array_equal(BatchOrder(np.array([1, 2], np.uint32), 10, 3)(2, 5), order[2:5])


@pytest.mark.parametrize("strategy", ["vmap", "map", "map:2", "shared"])
def test_a_diverged_lane_is_reported_and_touches_nothing_else(strategy):
    rates = [0.01, DIVERGES, 0.1, 0.3]
    calm = [0.01, 0.02, 0.1, 0.3]
    with_it = run({"learning_rate": rates}, fragile, strategy=strategy)
    without = run({"learning_rate": calm}, fragile, strategy=strategy)
    assert with_it.status[:, 0].tolist() == ["finished", "diverged", "finished", "finished"]
    assert_same(with_it, without, [0, 2, 3])
    at = with_it.diverged_at[1, 0]
    assert 1 <= at < 5
    assert np.isnan(with_it.values["train_loss"][1]).all()


def test_divergence_is_dated_by_the_updates_before_it():
    # The loss is fine before the first update and not after it.
    result = run(
        {"learning_rate": [DIVERGES, 0.1]}, lambda learning_rate: sgd(learning_rate * 1e18)
    )
    assert result.diverged_at.tolist()[0] == [1]


def test_metrics_before_a_divergence_stay():
    result = run({"learning_rate": [30.0, 0.1]}, fragile, steps=200)
    at = int(result.diverged_at[0, 0])
    assert 5 < at < 200
    seen = result.values["valid_loss"][0, 0]
    np.testing.assert_array_equal(np.isfinite(seen), result.steps < at)


def test_the_order_of_trials_changes_nothing(plain):
    turned = run({"learning_rate": RATES[::-1]}, seeds=2)
    assert_same(plain, turned, [0, 1, 2, 3], [3, 2, 1, 0])


def test_chunks_and_padding_change_nothing(plain):
    few = run({"learning_rate": RATES[:3]}, seeds=2)  # 6 lanes: the second chunk is padded
    assert_same(plain, few, [0, 1, 2])
    one = run({"learning_rate": RATES[3:]}, seeds=1)
    for name, values in plain.values.items():
        np.testing.assert_array_equal(values[3, 0], one.values[name][0, 0])


def test_with_shared_batches_too():
    both = run({"learning_rate": RATES}, seeds=2, strategy="shared")
    turned = run({"learning_rate": [*RATES[::-1], 0.3]}, seeds=[1], strategy="shared")
    for name, values in both.values.items():
        np.testing.assert_array_equal(values[:, 1], turned.values[name][3::-1, 0])


def test_segments_change_nothing(plain, monkeypatch):
    monkeypatch.setattr(itineraries, "LONGEST_SEGMENT", 3)
    assert_same(plain, run({"learning_rate": RATES}, seeds=2))


def test_evaluations_change_no_training(plain):
    rarely = run({"learning_rate": RATES}, seeds=2, eval_every=None)
    np.testing.assert_array_equal(
        plain.values["valid_loss"][..., -1], rarely.values["valid_loss"][..., -1]
    )


def test_seeds_differ_and_are_the_same_for_every_trial(plain):
    start = run({"learning_rate": [0.0, 0.0]}, seeds=2, steps=1)
    values = start.values["valid_loss"][..., 0]
    assert values[0, 0] == values[1, 0] != values[0, 1]
    other = run({"learning_rate": RATES}, seeds=[1])
    np.testing.assert_array_equal(
        plain.values["train_loss"][:, 1], other.values["train_loss"][:, 0]
    )


def test_groups_run_as_if_alone():
    alone = run({"learning_rate": RATES}, lambda learning_rate: adam(learning_rate), seeds=2)
    both = run(
        {"make": choice(sgd, adam), "learning_rate": RATES},
        lambda make, learning_rate: make(learning_rate),
        seeds=2,
    )
    assert_same(alone, both, [0, 1, 2, 3], [4, 5, 6, 7])
    assert len(both.strategy) == 2


def test_configurations_may_name_different_numbers(plain):
    listed = [{"learning_rate": 0.003}, {"learning_rate": 0.01, "b1": 0.5}]
    mixed = run(listed, seeds=2)
    assert_same(plain, mixed, [0])
    assert len(mixed.strategy) == 2
    assert mixed.to_pandas()["b1"].isna().sum() == len(mixed.to_pandas()) / 2


def test_batch_sizes_make_groups(plain):
    both = run({"batch_size": choice(8, 16), "learning_rate": RATES}, seeds=2)
    assert_same(plain, both, [0, 1, 2, 3])


def test_tasks_can_be_swept():
    made = []

    def make(size):
        made.append(size)
        return task(batch_size=size)

    arguments = {**sweep_problems.QUIET, "strategy": "vmap"}
    result = sweep(make, adam, {"size": choice(8, 16), "learning_rate": 0.1}, **arguments)
    assert made == [8, 16]
    reference = run({"batch_size": 16, "learning_rate": 0.1})
    np.testing.assert_array_equal(result.values["valid_loss"][1], reference.values["valid_loss"][0])


def test_schedules_are_choices_like_any_other():
    shapes = choice(constant(0.1), cosine_decay(0.1, 20))
    result = run({"learning_rate": shapes})
    for i, rate in enumerate([0.1, optax.cosine_decay_schedule(0.1, 20)]):
        alone = run({"unused": [0.0]}, lambda unused, rate=rate: adam(rate))
        for name, values in alone.values.items():
            np.testing.assert_allclose(values[0], result.values[name][i], rtol=1e-5)


def test_a_schedule_that_observes_follows_the_evaluations_of_its_own_lane():
    def optimizer(peak):
        return sgd(reduce_on_plateau(peak, factor=0.5, patience=0))

    result = run({"peak": [0.5, 8.0]}, optimizer, steps=60)
    key = jax.random.fold_in(jax.random.key(0), 0)
    for i, peak in enumerate([0.5, 8.0]):
        alone = fit(task(), optimizer(peak), 60, key, eval_every=5)
        np.testing.assert_allclose(
            result.values["valid_loss"][i, 0], alone.history["valid_loss"], rtol=2e-4
        )


@pytest.mark.parametrize("strategy", ["vmap", "map", "auto"])
def test_a_second_call_compiles_nothing(strategy):
    def call(rates):
        return run(
            {"peak": rates},
            lambda peak: adam(cosine_decay(peak, 30), weight_decay=None),
            strategy=strategy,
            seeds=2,
        )

    first = call(RATES)
    with jax.log_compiles(False), counted() as compilations:
        second = call([0.2, 0.3, 0.4, 0.5])
        third = call(RATES)
    assert compilations == []
    assert first.strategy == second.strategy
    assert_same(first, third)


def test_one_device_and_two_agree_and_devices_can_becounted():
    one = run({"learning_rate": RATES}, devices=1)
    two = run({"learning_rate": RATES}, devices=jax.local_devices()[:2])
    assert one.width == two.width == [4]
    for name, values in one.values.items():
        np.testing.assert_allclose(values, two.values[name], rtol=1e-5)


def test_width_fills_the_chunks_evenly():
    result = run({"learning_rate": log_grid(0.001, 1, 40)}, width=None, steps=1)
    assert result.width == [20]
    assert run({"learning_rate": grid(0.1)}, width=None, steps=1).width == [1]


def test_in_float64_the_numbers_are_float64(x64):
    rate = 0.1 + 1e-12
    result = run({"learning_rate": [0.1, rate]}, lambda learning_rate: sgd(learning_rate))
    values = result.values["valid_loss"]
    assert result.trials[1]["learning_rate"] == rate
    assert not np.array_equal(values[0], values[1])
    np.testing.assert_allclose(values[0], values[1], rtol=1e-9)


@pytest.mark.parametrize(
    ("strategy", "taken"),
    [("map", [7, 0, 0, 7, 0]), ("map:2", [7, 7, 7, 7, 0]), ("vmap", [7] * 5)],
)
def test_a_block_without_work_rests_and_the_others_are_untouched(strategy, taken):
    layout = Layout(strategy, tuple(jax.local_devices()[:1]))
    rates = {"learning_rate": np.geomspace(0.003, 0.1, 5, dtype=np.float32)}
    population = Population(task(), sgd, {"learning_rate": 0.1}, layout)
    plan = itineraries.itinerary(9, None)

    def trained(updates):
        lanes = population.start(jax.random.split(jax.random.key(0), 5), rates)
        feed = plan.feed(population.orders(lanes), 0, 9)
        return population.run(lanes, feed, updates)

    lanes, records = trained(np.array([7, 0, 0, 7, 0]))
    assert lanes.step.tolist() == taken
    whole, whole_records = trained(7)
    for lane in (0, 3):
        assert_array_equal(records["loss"][lane], whole_records["loss"][lane])
        for some, every in zip(on_host(lanes), on_host(whole), strict=True):
            assert_array_equal(some[lane], every[lane])


@pytest.mark.parametrize(
    ("strategy", "rests"),
    [("map", [0, 1, 1, 0, 1]), ("map:2", [0, 0, 0, 0, 1]), ("vmap", [0] * 5)],
)
def test_a_block_without_work_is_not_evaluated(strategy, rests):
    layout = Layout(strategy, tuple(jax.local_devices()[:1]))
    population = Population(task(), sgd, {"learning_rate": 0.1}, layout)
    rates = {"learning_rate": np.full(5, 0.1, np.float32)}
    lanes = population.start(jax.random.split(jax.random.key(0), 5), rates)
    some = population.evaluate(lanes, "valid", np.array([True, False, False, True, False]))
    every = population.evaluate(lanes, "valid")
    for name, values in every.items():
        assert np.isfinite(values).all()
        assert_array_equal(some[name], np.where(rests, 0, values))


def test_lanes_that_have_diverged_are_trained_no_further(monkeypatch):
    asked = []
    real = Population.run

    def train(self, lanes, feed, updates):
        asked.append(np.asarray(updates).tolist())
        return real(self, lanes, feed, updates)

    monkeypatch.setattr(Population, "run", train)
    result = run({"learning_rate": [0.01, DIVERGES, 0.03]}, optimizer=fragile, strategy="map")
    assert result.status[:, 0].tolist() == ["finished", "diverged", "finished"]
    assert asked[0].count(0) == len(asked[0]) - 3  # the first segment trains all three
    assert all(now.count(0) == len(now) - 2 for now in asked[1:])
