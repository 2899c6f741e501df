"""Space, plan and pruning rules: plain NumPy, nothing compiled."""

from __future__ import annotations

import numpy as np
import pytest

from lropt_jax import (
    choice,
    grid,
    log_grid,
    log_uniform,
    pbt,
    successive_halving,
    uniform,
)
from lropt_jax.sweeps.deciding.rules import Standing, ranked
from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.sweeps.planning.groups import chunks, chunks_by_seed, groups, padded, placed
from lropt_jax.training.visits import itinerary


def test_the_full_grid_runs_its_last_name_fastest():
    trials = draw({"a": grid(1, 2), "b": log_grid(0.1, 10, 3), "c": 7}, None)
    assert [(t["a"], t["b"], t["c"]) for t in trials] == [
        (1, 0.1, 7), (1, 1.0, 7), (1, 10.0, 7), (2, 0.1, 7), (2, 1.0, 7), (2, 10.0, 7),
    ]  # fmt: skip


def test_samples_lie_on_their_scales_and_fill_them_evenly():
    space = {"lr": log_uniform(1e-4, 1.0), "b1": uniform(0.5, 0.9), "kind": choice("x", "y")}
    trials = draw(space, 64, seed=3)
    exponents = np.log10([t["lr"] for t in trials])
    assert [np.sum((exponents >= a) & (exponents < a + 1)) for a in (-4, -3, -2, -1)] == [16] * 4
    assert sum(t["kind"] == "x" for t in trials) == 32
    assert all(0.5 <= t["b1"] <= 0.9 for t in trials)
    assert trials == draw(space, 64, seed=3)
    assert trials != draw(space, 64, seed=4)
    assert draw(space, 10, seed=3) == trials[:10]  # more trials go on where fewer ended


def test_a_list_of_configurations_is_taken_as_it_is():
    given = [{"lr": 0.1}, {"lr": 0.2, "wd": 0.0}]
    assert draw(given, None) == given


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: grid(), "grid needs at least one value"),
        (lambda: choice([]), "choice needs at least one value"),
        (lambda: log_grid(0, 1, 3), "0 < low < high"),
        (lambda: log_grid(1, 0.1, 3), "0 < low < high"),
        (lambda: log_grid(0.1, 1, 1), "n must be a whole number >= 2"),
        (lambda: uniform(1, 1), "low < high"),
        (lambda: uniform(0, np.inf), "low < high"),
        (lambda: log_uniform(-1, 1), "0 < low < high"),
        (lambda: draw({}, None), "at least one hyperparameter"),
        (lambda: draw([], None), "at least one configuration"),
        (lambda: draw({"lr": []}, None), "lr must have at least one value"),
        (lambda: draw({"lr": uniform(0, 1)}, None), "give trials=n"),
        (lambda: draw({"lr": 0.1}, 3), "seeds"),
        (lambda: draw({"lr": grid(1)}, 0), "trials must be"),
        (lambda: draw([{"lr": 1}], 2), "trials must be None"),
        (lambda: draw({1: grid(1)}, None), "names must be strings"),
    ],
)
def test_bad_spaces_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_what_cannot_share_a_program_makes_a_group():
    trials = draw({"make": choice("adam", "sgd"), "lr": grid(0.1, 0.2), "size": grid(8, 16)}, None)
    found = groups(trials, static=("size",))
    assert [g.trials for g in found] == [(0, 2), (1, 3), (4, 6), (5, 7)]
    assert all(g.numbers == ("lr",) for g in found)
    assert found[1].fixed == {"make": "adam", "size": 16}


def test_numbers_of_other_types_are_not_confused():
    found = groups([{"flag": True}, {"flag": False}, {"flag": None}])
    assert [g.trials for g in found] == [(0,), (1,), (2,)]
    assert len(groups([{"lr": 1}, {"lr": 1.5}])) == 1
    assert len(groups([{"lr": 1}, {"lr": 1.5, "wd": 0.1}])) == 2
    assert len(groups([{"lr": 1, "wd": 0.2}, {"wd": 0.1, "lr": 1.5}])) == 1


def test_lanes_lie_evenly_on_the_devices():
    free = np.zeros(8, bool)
    assert placed(free, 5, 1).tolist() == [0, 1, 2, 3, 4]
    assert placed(free, 5, 2).tolist() == [0, 4, 1, 5, 2]
    assert sorted(placed(free, 8, 4).tolist()) == list(range(8))
    assert not free.any()


def test_lanes_that_enter_later_even_out_the_devices():
    taken = np.array([1, 1, 0, 1, 0, 1, 0, 0], bool)
    assert placed(taken, 3, 2).tolist() == [4, 6, 2]
    assert placed(taken, 0, 2).tolist() == []


def test_chunks_are_full_but_the_last():
    assert chunks(range(7), 3) == [[0, 1, 2], [3, 4, 5], [6]]
    assert padded([5, 6], 4) == [5, 6, 5, 5]
    lanes = [(trial, seed) for trial in range(3) for seed in range(2)]
    assert chunks_by_seed(lanes, 2) == [
        [(0, 0), (1, 0)], [(2, 0)], [(0, 1), (1, 1)], [(2, 1)],
    ]  # fmt: skip


def test_halving_ranks_over_all_seeds_with_the_broken_last_and_ties_by_trial():
    nan = np.nan
    values = np.array([[3.0, 3.0], [1.0, nan], [2.0, 2.0], [0.0, 4.0], [np.inf, 0.0], [5.0, 5.0]])
    assert ranked(values, range(6), "min") == [2, 3, 0, 5, 1, 4]
    assert ranked(values, range(6), "max") == [5, 0, 2, 3, 1, 4]
    assert ranked(values, [5, 3, 1], "min") == [3, 5, 1]
    rule = successive_halving(eta=3, min_steps=10)
    assert rule.decide(Standing(0, (0, 1, 2, 3, 4, 5), values)).alive == (2, 3)
    assert rule.decide(Standing(1, (2, 3), values)).alive == (2,)


def test_halving_decides_at_powers_of_eta():
    plan = itinerary(100, 10)
    assert successive_halving(3, 10).rungs(plan) == [1, 3, 9]
    assert successive_halving(2.5, 20).rungs(plan) == [2, 5]
    assert successive_halving(2, 100).rungs(plan) == []
    with pytest.raises(ValueError, match=r"at update 25, .*multiple of eval_every=10"):
        successive_halving(5, 5).rungs(itinerary(100, 5)) and successive_halving(2.5, 10).rungs(
            plan
        )


@pytest.mark.parametrize(
    "wrong",
    [{"eta": 1}, {"eta": np.nan}, {"eta": "3"}, {"min_steps": 0}, {"min_steps": None},
     {"mode": "best"}],
)  # fmt: skip
def test_bad_halving_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        successive_halving(**wrong)


def test_population_based_copies_stay_in_their_group_and_in_the_space():
    values = np.arange(8.0)[:, None]
    numbers = [{"lr": 0.1 * (i + 1)} for i in range(8)]
    standing = Standing(
        0, tuple(range(8)), values, [0, 1] * 4, numbers, {"lr": (0.1, 0.8)}, seed=(1, 2)
    )
    rule = pbt(every=10, fraction=0.5, factors=(0.5, 100.0))
    decision = rule.decide(standing)
    assert decision.alive == tuple(range(8))
    assert sorted(c.trial for c in decision.copies) == [4, 5, 6, 7]
    for copy in decision.copies:
        assert copy.source < 4
        assert copy.source % 2 == copy.trial % 2
        expected = {max(0.1, numbers[copy.source]["lr"] * 0.5), 0.8}
        assert min(abs(copy.numbers["lr"] - e) for e in expected) < 1e-12
    assert decision == rule.decide(standing)
    assert pbt(every=10, names=()).decide(standing).copies[0].numbers in numbers


@pytest.mark.parametrize(
    "wrong",
    [
        {"every": 0},
        {"every": 5, "fraction": 0.6},
        {"every": 5, "fraction": "half"},
        {"every": 5, "factors": (0.0,)},
        {"every": 5, "factors": 2.0},
        {"every": 5, "factors": ["a"]},
    ],
)
def test_bad_population_based_training_is_refused(wrong):
    with pytest.raises(ValueError, match=list(wrong)[-1]):
        pbt(**wrong)
