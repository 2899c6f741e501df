"""`lr_range_test` itself: what it trains, what it leaves alone, what it refuses."""

from __future__ import annotations

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax
from lropt_jax import Task, adam, cosine_decay, lr_range_test, reduce_on_plateau, sgd
from lropt_jax.range_tests.preparing import prepared
from lropt_jax.training.course import as_key
from lropt_jax.training.lanes import BatchOrder
from lropt_jax.training.visits import LONGEST_SEGMENT
from tests.compilations import counted


def error(w, batch):
    return (batch["x"] @ w - batch["y"]) ** 2


def least_squares(valid=True, batch_size=8):
    x = jax.random.normal(jax.random.key(1), (72, 3))
    y = x @ jnp.array([1.0, -2.0, 3.0]) + 0.1 * jax.random.normal(jax.random.key(2), (72,))
    return Task(
        init=lambda key: (jax.random.normal(key, (3,)), {}),
        loss=lambda w, state, batch, key: (error(w, batch).mean(), (state, {})),
        evaluate=lambda w, state, batch: {"loss": error(w, batch)},
        train={"x": x[:64], "y": y[:64]},
        valid={"x": x[64:], "y": y[64:]} if valid else None,
        batch_size=batch_size,
    )


TASK = least_squares()


def by_hand(task, tx_of, rates, seed, key=0, evaluate=False):
    """One lane by a plain loop: a fresh transformation a step, its state kept."""
    lane_key = jax.random.fold_in(as_key(key), seed)
    init_key, lane_key = jax.random.split(lane_key)
    w, _ = task.init(init_key)
    order = BatchOrder(np.asarray(jax.random.key_data(lane_key)), 64, task.batch_size)
    state = tx_of(rates[0]).init(w)
    losses = []
    for i, rate in enumerate(rates):
        batch = jax.tree.map(lambda a, i=i: a[order(i, i + 1)[0]], task.train)
        loss, grad = jax.value_and_grad(lambda w, b=batch: error(w, b).mean())(w)
        updates, state = tx_of(rate).update(grad, state, w)
        w = optax.apply_updates(w, updates)
        losses.append(error(w, task.valid).mean() if evaluate else loss)
    return np.array(losses)


@pytest.mark.parametrize("split", ["train", "valid"])
def test_each_step_trains_at_its_rate(split):
    """Against Optax's own adam, made anew with each step's rate."""
    test = lr_range_test(TASK, adam, 1e-3, 1.0, steps=20, seeds=[3, 5], split=split)
    for lane, seed in zip(test.losses, test.seeds, strict=True):
        expected = by_hand(TASK, optax.adam, test.learning_rates, seed, evaluate=split == "valid")
        np.testing.assert_allclose(lane, expected, rtol=2e-4)


def test_optax_factories_give_the_same_curve():
    ours = lr_range_test(TASK, adam, 1e-3, 1.0, steps=20, seeds=2)
    theirs = lr_range_test(TASK, optax.adam, 1e-3, 1.0, steps=20, seeds=2)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=2e-4)


def test_a_factory_around_a_schedule_or_a_chain():
    """The rate of a lambda is set where it stands: as the peak of a schedule, inside a chain."""

    def clipped(learning_rate, clip):
        return optax.chain(optax.clip(clip), adam(cosine_decay(learning_rate, 10)))

    with pytest.warns(UserWarning, match="cosine_decay: 1 times the rung at first, 0.0245 times"):
        test = lr_range_test(TASK, clipped, 1e-3, 1.0, steps=10, seeds=1, clip=0.5)
    rates = test.learning_rates * np.array([cosine_decay(1.0, 10)(i) for i in range(10)])

    def tx(rate):
        return optax.chain(optax.clip(0.5), optax.adam(rate))

    np.testing.assert_allclose(test.losses[0], by_hand(TASK, tx, rates, 0), rtol=2e-4)


def test_the_ladder():
    test = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=5, seeds=1)
    np.testing.assert_allclose(test.learning_rates, [1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    test = lr_range_test(TASK, sgd, 0.1, 0.5, steps=5, seeds=1, spacing="linear")
    np.testing.assert_allclose(test.learning_rates, [0.1, 0.2, 0.3, 0.4, 0.5])


def test_over_adds_axes_and_every_configuration_sees_the_same_seeds():
    over = {"momentum": [0.0, 0.5, 0.9], "nesterov": [False, True]}
    test = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=2, over=over)
    assert test.losses.shape == (3, 2, 2, 12)
    # The first loss is before any update: of the initialisation and the first batch alone.
    assert (test.losses[..., 0] == test.losses[0, 0, :, 0]).all()
    for configuration, part in test.parts():
        alone = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=2, **configuration)
        np.testing.assert_allclose(part.losses, alone.losses, rtol=1e-5)
    assert test.configurations[1] == {"momentum": 0.0, "nesterov": True}


def test_suggestions_of_a_population_have_its_axes():
    over = {"momentum": [0.0, 0.9], "nesterov": [False, True]}
    test = lr_range_test(TASK, sgd, 1e-5, 30.0, over=over, seeds=4)
    for rule, found in test.suggestions.items():
        assert found is None or np.shape(found.value) == (2, 2), rule
        assert test.reasons[rule].shape == (2, 2)
        assert test.by_seed[rule].shape == (2, 2, 4)
    part = test.at(momentum=0.9, nesterov=True)
    for rule, found in part.suggestions.items():
        assert (found is None) == np.isnan(test.suggestions[rule].value[1, 1])
        assert found is None or found.value == test.suggestions[rule].value[1, 1]
    assert test.suggestions["steepest"].value[0, 0] > test.suggestions["steepest"].value[1, 0]


def test_the_width_bounds_the_lanes_and_changes_no_curve():
    wide = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=6, width=6)
    narrow = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=6, width=2)
    np.testing.assert_allclose(wide.losses, narrow.losses, rtol=1e-5)
    mapped = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=6, strategy="map")
    np.testing.assert_allclose(wide.losses, mapped.losses, rtol=1e-5)


def test_a_lane_that_diverges_leaves_its_neighbours_alone():
    over = {"momentum": [0.0, 0.999]}
    test = lr_range_test(TASK, sgd, 1e-3, 1e6, steps=60, seeds=2, over=over)
    assert (test.diverged_at >= 0).all()
    assert not np.isfinite(test.losses[1, :, -1]).any()
    np.testing.assert_array_equal(
        test.losses, lr_range_test(TASK, sgd, 1e-3, 1e6, steps=60, seeds=2, over=over).losses
    )
    assert np.isnan(test.smoothed[1, 0, test.diverged_at[1, 0] :]).all()
    assert np.isfinite(test.smoothed[1, 0, : test.diverged_at[1, 0]]).all()


def test_accumulated_microbatches_make_one_update():
    big = least_squares(batch_size=64)
    small = least_squares(batch_size=16)
    whole = lr_range_test(big, sgd, 1e-4, 0.1, steps=8, seeds=2)
    parts = lr_range_test(small, sgd, 1e-4, 0.1, steps=8, seeds=2, accumulate=4)
    np.testing.assert_allclose(whole.losses, parts.losses, rtol=1e-4)


def test_more_rungs_than_a_segment_holds():
    steps = LONGEST_SEGMENT + 50
    test = lr_range_test(TASK, sgd, 1e-6, 1e-3, steps=steps, seeds=1)
    expected = by_hand(TASK, optax.sgd, test.learning_rates[:40], 0)
    np.testing.assert_allclose(test.losses[0, :40], expected, rtol=1e-4)
    assert np.isfinite(test.losses).all()


def test_a_key_and_its_int_are_the_same_and_others_differ():
    kinds = [7, jax.random.key(7), jax.random.PRNGKey(7)]
    curves = [lr_range_test(TASK, sgd, 1e-3, 1.0, steps=6, seeds=2, key=k).losses for k in kinds]
    np.testing.assert_array_equal(curves[0], curves[1])
    np.testing.assert_array_equal(curves[0], curves[2])
    other = lr_range_test(TASK, sgd, 1e-3, 1.0, steps=6, seeds=2, key=8).losses
    assert (other != curves[0]).any()


def test_another_fixed_number_compiles_nothing():
    def branching(learning_rate, momentum):
        return sgd(learning_rate, momentum=momentum if momentum > 0 else None)

    def run(optimizer, **numbers):
        return lr_range_test(TASK, optimizer, 1e-3, 1.0, steps=8, seeds=1, width=2, **numbers)

    for optimizer in (sgd, optax.sgd):
        first = run(optimizer, momentum=0.5)
        with counted() as compilations:
            second = run(optimizer, momentum=0.75)
        assert compilations == []
        assert (first.losses != second.losses).any()
        many = run(optimizer, over={"momentum": [0.5, 0.75]})
        np.testing.assert_allclose(many.losses[1], second.losses, rtol=1e-5)
    compiled_in = run(branching, momentum=0.5)
    np.testing.assert_allclose(compiled_in.losses, run(sgd, momentum=0.5).losses, rtol=1e-5)
    with pytest.raises(ValueError, match="momentum must be"):
        run(sgd, momentum=2.0)


def test_a_second_test_compiles_nothing():
    def run(end, steps=7):
        lr_range_test(
            TASK, lambda learning_rate: sgd(learning_rate), 1e-3, end, steps=steps, seeds=2
        )

    with counted() as compilations:
        run(1.0)
    assert compilations  # the listener works
    with counted() as compilations:
        run(2.0)
        run(1.0, steps=9)
    assert compilations == []


REFUSED = [
    ({"start": 1.0, "end": 0.1}, "start=1.0, end=0.1"),
    ({"start": 1.0, "end": 1.0}, "start < end"),
    ({"start": 0.0}, "start=0.0"),
    ({"end": float("inf")}, "end=inf"),
    ({"start": "1e-5"}, "start and end must be numbers, got start='1e-5'"),
    ({"end": None}, "start and end must be numbers"),
    ({"end": np.array([1.0, 2.0])}, "start and end must be numbers"),
    ({"end": 1e300}, "start and end must be rates that float32 holds"),
    ({"start": 1e-50}, "start and end must be rates that float32 holds"),
    ({"over": {"momentum": [0.5, reduce_on_plateau(0.9)]}}, "must not hold a schedule that obs"),
    ({"momentum": reduce_on_plateau(0.9), "split": "valid"}, "must not hold a schedule that obs"),
    ({"steps": 1}, "steps must be a whole number >= 2, got 1"),
    ({"steps": 2.5}, "steps"),
    ({"seeds": 0}, "seeds must be at least one, different"),
    ({"seeds": []}, "seeds"),
    ({"spacing": "log"}, "spacing must be 'geometric' or 'linear', got 'log'"),
    ({"split": "test"}, "split must be 'train' or 'valid'"),
    ({"smoothing": -0.1}, "smoothing"),
    ({"divergence": 1.0}, "divergence must be a finite number > 1, got 1.0"),
    ({"width": 0}, "width"),
    ({"momentun": 0.9}, "unknown hyperparameter 'momentun'; did you mean 'momentum'"),
    ({"over": {"b3": [1]}}, "unknown hyperparameter 'b3'"),
    ({"over": {"momentum": []}}, "momentum must have at least one value"),
    ({"over": {"momentum": [0.5, 1.5]}}, "momentum must be in"),
    ({"momentum": -1.0}, "momentum must be in"),
    ({"over": {"momentum": [0.5]}, "momentum": 0.9}, "not both"),
    ({"learning_rate": 0.1}, "learning_rate is what the test sets"),
    ({"over": {"learning_rate": [0.1]}}, "learning_rate is what the test sets"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSED, ids=[str(r[0]) for r in REFUSED])
def test_bad_arguments_are_refused_before_anything_runs(arguments, words, monkeypatch):
    monkeypatch.setattr("lropt_jax.sweeps.planning.jobs.Population", None)
    with pytest.raises(ValueError, match=words.replace("(", r"\(")):
        lr_range_test(TASK, sgd, **arguments)


def test_optimizers_that_cannot_be_tested_are_refused():
    with pytest.raises(ValueError, match="must have an argument learning_rate; it has rate"):
        lr_range_test(TASK, lambda rate: sgd(rate))
    with pytest.raises(TypeError, match=r"adam, not adam\(1e-3\)"):
        lr_range_test(TASK, adam(1e-3))
    with pytest.raises(ValueError, match="valid split"):
        lr_range_test(least_squares(valid=False), sgd, split="valid")


@pytest.mark.parametrize("rprop", [lropt_jax.rprop, optax.rprop])
def test_what_reads_its_rate_once_cannot_be_tested(rprop):
    def clipped(learning_rate):
        return optax.chain(optax.clip(1.0), rprop(learning_rate))

    for factory in (rprop, clipped):
        with pytest.raises(ValueError, match="Rprop reads its own at the first update alone"):
            lr_range_test(TASK, factory)


OPTAXS = optax.cosine_decay_schedule
MADE = {
    "optax": (lambda rate: optax.adam(OPTAXS(rate, 10)), True),
    "injected": (lambda rate: optax.inject_hyperparams(optax.adam)(OPTAXS(rate, 10)), True),
    "layers": (lambda rate: lropt_jax.by_layer(adam, cosine_decay(rate, 10)), True),
    "plain": (lambda rate: adam(lambda count: rate * 0.9**count), True),
    "a half": (lambda rate: adam(0.5 * rate), False),
    "constant": (lambda rate: adam(lropt_jax.constant(rate)), False),
    "momentum": (lambda rate: adam(rate, b1=cosine_decay(0.9, 10)), False),
}


@pytest.mark.parametrize("name", MADE)
def test_it_says_where_the_rungs_are_not_the_rates_of_the_updates(name, recwarn):
    make, says = MADE[name]
    prepared(TASK, lambda learning_rate: make(learning_rate), 1e-3, 1.0, 10, 1, 0, None)
    said = ["makes a schedule of its learning_rate" in str(w.message) for w in recwarn]
    assert said == [True] * says


def test_the_frame_the_figure_and_the_summary():
    pytest.importorskip("matplotlib")
    over = {"momentum": [0.0, 0.9]}
    test = lr_range_test(TASK, sgd, 1e-5, 100.0, seeds=3, over=over)
    frame = test.to_pandas()
    assert len(frame) == 2 * 3 * 100
    columns = ["momentum", "seed", "step", "learning_rate", "loss", "smoothed", "counted"]
    assert list(frame) == columns
    row = frame[(frame.momentum == 0.9) & (frame.seed == 2) & (frame.step == 10)].iloc[0]
    assert row.loss == test.losses[1, 2, 10]
    assert row.learning_rate == test.learning_rates[10]
    assert frame.counted.sum() == np.where(test.diverged_at < 0, 100, test.diverged_at).sum()

    figure = test.plot()
    titles = [ax.get_title("left") for ax in figure.axes]
    assert [title.split(":")[0] for title in titles] == ["momentum=0.0", "momentum=0.9"]
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert {"median", "diverged"} <= set(labels)
    plain = test.at(momentum=0.0)
    value = plain.suggestions["steepest"].value
    assert f"steepest: {value:.2g}" in labels
    assert f"knee (suggested): {plain.suggestion:.2g}" in labels
    assert "bounds: {:.2g} to {:.2g}".format(*plain.bounds) in labels

    words = str(test)
    assert words.count("\n  steepest ") == 2
    assert f"{value:.2g}" in words
    assert "diverged  3 of 3 seeds" in words


def test_a_test_is_a_few_lines_to_look_at():
    over = {"momentum": [0.0, 0.3, 0.6, 0.8, 0.9, 0.95]}
    test = lr_range_test(TASK, sgd, 1e-5, 100.0, seeds=3, over=over)
    for given in (test, test.at(momentum=0.9)):
        assert len(repr(given)) < 800
        assert repr(given).count("\n") < 8
        assert "array" not in repr(given)
    assert "6 configurations x 3 seeds, 100 rungs from 1e-05 to 1e+02" in repr(test)
    plain = test.at(momentum=0.0)
    assert f"momentum=0.0: suggestion {plain.suggestion:.2g}" in repr(test)
    assert "configurations" not in repr(plain)
    assert plain._repr_html_().startswith("<p>RangeTest of 3 seeds")
    flat = lr_range_test(TASK, sgd, 1e-9, 1e-8, seeds=2)
    assert "no suggestion: the loss is flat" in repr(flat)


def test_strategies():
    """A guess changes no curve; "shared" would give all seeds the batches of the first."""
    auto = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=3, strategy="auto")
    mapped = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=3, strategy="map:2")
    np.testing.assert_allclose(auto.losses, mapped.losses, rtol=1e-5)
    over = {"momentum": [0.0, 0.9]}
    shared = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=1, over=over, strategy="shared")
    alone = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=1, over=over)
    np.testing.assert_allclose(shared.losses, alone.losses, rtol=1e-5)
    with pytest.raises(ValueError, match="strategy='shared' needs seeds of one, got 3"):
        lr_range_test(TASK, sgd, seeds=3, strategy="shared")
    with pytest.raises(ValueError, match="got 'vmapp'"):
        lr_range_test(TASK, sgd, strategy="vmapp")


def regression(examples, batch_size, slopes, noise, init=0.0, seed=0):
    random = np.random.default_rng(seed)
    x = random.normal(size=(examples, len(slopes))).astype(np.float32)
    y = x @ np.array(slopes) + noise * random.normal(size=examples)
    return Task(
        init=lambda key: (init * jax.random.normal(key, (len(slopes),)), {}),
        loss=lambda w, state, batch, key: (error(w, batch).mean(), (state, {})),
        evaluate=lambda w, state, batch: {"loss": error(w, batch)},
        train={"x": x, "y": y.astype(np.float32)},
        batch_size=batch_size,
    )


@pytest.mark.parametrize("scale", [0.1, 0.3, 1.0])
def test_adam_on_linear_regression(scale):
    """Noisy batches, and waves after the minimum: no answer above it, no lane gone before it."""
    for seed in range(2):
        slopes = scale * np.random.default_rng(seed).normal(size=5)
        test = lr_range_test(regression(200, 16, slopes, 0.1, seed=seed), adam, 1e-5, 10.0)
        lowest = test.learning_rates[np.nanargmin(test.median)]
        for rule, found in test.suggestions.items():
            assert found.value < lowest, rule
        ended = test.learning_rates[test.diverged_at[test.diverged_at >= 0]]
        assert (ended > lowest).all()
        assert scale > 0.3 or 0.3 < np.median(ended) < 4


def test_rates_at_which_nothing_moves_are_flat():
    test = lr_range_test(regression(200, 16, [1.0] * 5, 0.1), adam, 1e-12, 1e-10)
    assert test.suggestion is None
    assert (test.diverged_at < 0).all()
    assert all("flat" in reason for reason in test.reasons.values())


def test_data_that_are_noise_have_no_suggestion_and_a_slope_has_one():
    """4,000 examples that a hundred batches never see twice."""
    for optimizer in (sgd, adam):
        found = [
            lr_range_test(regression(4000, 32, [0.0] * 10, 1.0, seed=s), optimizer, key=s)
            for s in range(4)
        ]
        assert sum(test.suggestion is not None for test in found) == 0
        assert not any("start lower" in test.reasons["knee"] for test in found)
        # The slope explains a third of the variance.
        sloped = lr_range_test(regression(9000, 64, [0.7] + [0.0] * 9, 1.0), optimizer)
        assert sloped.suggestion is not None


def test_a_task_that_is_not_finite_at_first_says_so():
    broken = dataclasses.replace(TASK, init=lambda key: (jnp.full(3, jnp.nan), {}))
    test = lr_range_test(broken, sgd, seeds=2)
    assert set(test.reasons.values()) == {"the loss is not finite before any update"}
    assert "not finite from the first rung on: 2 of 2 seeds" in str(test)


def test_the_reasons_are_shown_where_there_is_no_suggestion():
    test = lr_range_test(TASK, sgd, 1e-9, 1e-8, seeds=2)
    assert test.suggestion is None
    assert "none: the loss is flat" in str(test)
    pytest.importorskip("matplotlib")
    assert "valley: none" in test.plot().axes[0].get_legend_handles_labels()[1]


def test_a_curve_survives_pickling():
    test = lr_range_test(TASK, sgd, 1e-4, 10.0, steps=40, seeds=2)
    again = pickle.loads(pickle.dumps(test))
    assert again.suggestions == test.suggestions or np.isnan(test.suggestion)
    np.testing.assert_array_equal(again.losses, test.losses)


def test_values_that_the_population_lacks_are_refused():
    test = lr_range_test(TASK, sgd, 1e-4, 1.0, steps=12, seeds=2, over={"momentum": [0.0, 0.9]})
    with pytest.raises(ValueError, match=r"momentum must be one of \[0.0, 0.9\], got 0.5"):
        test.at(momentum=0.5)
    with pytest.raises(ValueError, match="unknown axis 'nu'"):
        test.at(nu=1)


def test_every_optimizer_with_a_gradients_step_gets_an_answer():
    """On a task that all of these solve, the suggestion trains it."""
    for factory in (sgd, adam, lropt_jax.rmsprop, optax.adamw):
        test = lr_range_test(TASK, factory, 1e-5, 1e2)
        assert test.suggestion is not None, factory
        trained = lropt_jax.fit(TASK, factory(test.suggestion), steps=300)
        untrained = test.losses[:, 0].mean()
        assert trained.history["valid_loss"][-1] < 0.2 * untrained, factory


def test_small_lanes_go_together_and_large_ones_do_not():
    from lropt_jax.range_tests.width import WIDEST, lanes_at_once

    def width(size):
        task = dataclasses.replace(TASK, init=lambda key: (jnp.zeros(size), {}))
        return lanes_at_once(task, adam(0.1), jax.local_devices())

    devices = len(jax.local_devices())
    assert width(3) == WIDEST * devices
    assert width(90_000) == 5  # 1.1 MB of parameters and moments each, 6 MB together
    assert width(10_000_000) == devices
