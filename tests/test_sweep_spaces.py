"""Spaces beyond ranges of numbers: whole numbers, structure, names that go together."""

from __future__ import annotations

import numpy as np
import optax
import pytest

from lropt_jax import (
    adam,
    choice,
    cosine_decay,
    fit,
    grid,
    integer,
    log_uniform,
    search,
    sgd,
    sweep,
    uniform,
    warmup,
)
from lropt_jax.sweeps.planning.draws import draw
from tests.sweep_problems import QUIET, assert_same, run, task


def assert_close(first, second, others):
    """Where other programs train the same."""
    for name, values in first.values.items():
        np.testing.assert_allclose(values, second.values[name][others], rtol=1e-5)


def test_whole_numbers_are_even_and_have_both_ends():
    drawn = [t["n"] for t in draw({"n": integer(3, 6)}, 64)]
    assert all(type(n) is int for n in drawn)
    assert [drawn.count(n) for n in (3, 4, 5, 6)] == [16] * 4
    low = [t["n"] for t in draw({"n": integer(-1, 1)}, 96)]
    assert sorted(set(low)) == [-1, 0, 1]


def test_whole_numbers_on_a_logarithmic_scale():
    space = integer(1, 1000, log=True)
    drawn = np.array([t["n"] for t in draw({"n": space}, 1024)])
    assert drawn.min() == 1
    shares = [np.mean((drawn >= low) & (drawn < 10 * low)) for low in (1, 10, 100)]
    # The share of 1 is that of [0.5, 1.5], so the first decade has a little more.
    expected = np.log10([9.5 / 0.5, 99.5 / 9.5, 999.5 / 99.5]) / np.log10(1000.5 / 0.5)
    np.testing.assert_allclose(shares, expected, atol=0.01)
    assert space.at(0.0) == 1
    assert space.at(1 - 1e-12) == 1000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.5, 3), "low must be a whole number, got 1.5"),
        ((1, "3"), "high must be a whole number, got '3'"),
        ((3, 3), "low < high must hold, got low=3, high=3"),
        ((0, 3, True), "1 <= low < high must hold, got low=0"),
        ((True, 3), "low must be a whole number"),
        ((0, np.inf), "high must be a whole number"),
    ],
)
def test_bad_whole_numbers_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        integer(*arguments)


def test_whole_numbers_are_data_and_share_a_program():
    def scheduled(peak, warm):
        return adam(warmup(cosine_decay(peak, 20), warm))

    result = run({"peak": 0.1, "warm": integer(1, 10)}, scheduled, trials=4)
    assert len(result.strategy) == 1
    assert all(type(t["warm"]) is int for t in result.trials)


def accumulated(learning_rate, k):
    return optax.MultiSteps(optax.sgd(learning_rate), k).gradient_transformation()


def branching(learning_rate, depth):
    return sgd(learning_rate) if depth > 1 else adam(learning_rate)


def looping(learning_rate, depth):
    return optax.chain(*[optax.scale(0.5) for _ in range(int(depth))], optax.sgd(learning_rate))


def updating(learning_rate, depth):
    def update(updates, state, params=None):
        if depth > 1:
            updates = {k: -learning_rate * g for k, g in updates.items()}
        return updates, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def closed(optimizer, depth):
    return lambda learning_rate: optimizer(learning_rate, depth)


@pytest.mark.parametrize("optimizer", [branching, looping, updating])
def test_structure_is_compiled_in(optimizer):
    space = {"learning_rate": [0.1, 0.2], "depth": choice([1, 2], static=True)}
    result = run(space, optimizer)
    assert len(result.strategy) == 2
    for depth in (1, 2):
        alone = run({"learning_rate": [0.1, 0.2]}, closed(optimizer, depth))
        assert_same(alone, result, [0, 1], [depth - 1, depth + 1])


def test_microbatches_as_structure():
    space = {"learning_rate": 0.1, "k": choice(1, 2, static=True)}
    result = run(space, accumulated)
    plain = run({"learning_rate": [0.1]}, optax.sgd)
    np.testing.assert_allclose(
        result.values["train_loss"][0], plain.values["train_loss"][0], rtol=1e-5
    )
    assert not np.allclose(result.values["train_loss"][0], result.values["train_loss"][1])


@pytest.mark.parametrize("optimizer", [branching, looping, updating])
def test_an_optimizer_that_branches_on_data_is_told_which_number(optimizer):
    words = r"fails when depth is data.*choice\(\[1, 2\], static=True\)"
    with pytest.raises(ValueError, match=words):
        run({"learning_rate": grid(0.1), "depth": grid(1, 2)}, optimizer)


def test_names_that_go_together():
    together = [
        {"make": choice(adam), "learning_rate": grid(0.01, 0.1), "b1": 0.8},
        {"make": choice(sgd), "learning_rate": grid(0.1), "momentum": [0.0, 0.9]},
    ]

    def made(make, **numbers):
        return make(**numbers)

    result = run(together, made)
    assert result.trials == [
        {"make": adam, "learning_rate": 0.01, "b1": 0.8},
        {"make": adam, "learning_rate": 0.1, "b1": 0.8},
        {"make": sgd, "learning_rate": 0.1, "momentum": 0.0},
        {"make": sgd, "learning_rate": 0.1, "momentum": 0.9},
    ]
    alone = run({"learning_rate": [0.01, 0.1], "b1": 0.8}, adam)
    assert_close(alone, result, [0, 1])


def test_samples_of_several_spaces_come_in_turn_and_go_on():
    spaces = [
        {"make": "a", "learning_rate": log_uniform(1e-3, 1.0)},
        {"make": "b", "learning_rate": log_uniform(1e-3, 1.0), "m": uniform(0.5, 0.9)},
        {"make": "c", "learning_rate": 0.5},
    ]
    drawn = draw(spaces, 8, seed=[1, 2])
    assert [t["make"] for t in drawn] == ["a", "b", "c", "a", "b", "a", "b", "a"]
    assert draw(spaces, 5, seed=[1, 2]) == drawn[:5]
    assert drawn[0]["learning_rate"] != drawn[1]["learning_rate"]
    assert all(("m" in t) == (t["make"] == "b") for t in drawn)


def test_bad_lists_of_spaces_are_refused():
    with pytest.raises(ValueError, match="needs values for lr: give trials=n"):
        draw([{"lr": uniform(0, 1)}, {"lr": 1.0}], None)
    with pytest.raises(ValueError, match="space: b must have at least one value"):
        draw([{"lr": 1.0}, {"b": []}], None)
    with pytest.raises(ValueError, match="at least one hyperparameter"):
        draw([{"lr": 1.0}, {}], None)


def test_a_function_as_a_default_is_code():
    rates = {"rate": [0.01, 0.1]}
    result = run(rates, lambda rate, f=adam: f(rate))
    assert_close(run(rates, lambda rate: adam(rate)), result, [0, 1])
    tx = (lambda rate, f=adam: f(rate))(0.1)
    fit(task(), tx, 5)


def test_an_optimizer_of_any_names_takes_each_lanes_numbers_but_not_the_batch_size():
    space = {"learning_rate": [0.01, 0.1], "batch_size": choice(8, 16)}
    result = run(space, lambda **numbers: adam(**numbers))
    assert_close(run(space), result, range(4))
    made = sweep(
        lambda size: task(batch_size=size),
        lambda **numbers: adam(**numbers),
        {"learning_rate": [0.01, 0.1], "size": choice(8, 16)},
        **QUIET,
        strategy="vmap",
    )
    assert_same(made, result)


def test_a_study_proposes_all_of_it():
    optuna = pytest.importorskip("optuna")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    spaces = [
        {"learning_rate": log_uniform(0.01, 0.1), "depth": choice(1, 2, static=True)},
        {"learning_rate": 0.05, "depth": choice(3, static=True), "unused": integer(2, 9)},
    ]

    def optimizer(learning_rate, depth, unused=0):
        return branching(learning_rate, depth)

    arguments = {k: v for k, v in QUIET.items() if k != "width"}
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    result = search(task(), optimizer, spaces, 8, study, batch=8, **arguments)
    depths = [t["depth"] for t in result.trials]
    assert set(depths) == {1, 2, 3}
    for trial, told in zip(result.trials, study.trials, strict=True):
        assert ("unused" in trial) == (trial["depth"] == 3)
        if trial["depth"] == 3:
            assert told.params == {"space": 1, "1/depth": 0, "1/unused": trial["unused"]}
            assert 2 <= trial["unused"] <= 9
