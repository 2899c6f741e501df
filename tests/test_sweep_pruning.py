"""Pruning and population-based training on real trainings."""

from __future__ import annotations

import numpy as np
import pytest

from lropt_jax import (
    adam,
    choice,
    classification_task,
    constant,
    integer,
    load_data,
    log_grid,
    log_uniform,
    pbt,
    sgd,
    successive_halving,
    sweep,
    warmup,
)
from tests.sweep_problems import DIVERGES, QUIET, assert_same, fragile, run, task

SPACE = {"learning_rate": log_grid(0.001, 1.0, 9)}


@pytest.fixture(scope="module")
def full():
    return run(SPACE, seeds=2)


@pytest.fixture(scope="module")
def pruned():
    return run(SPACE, seeds=2, prune=successive_halving(eta=3, min_steps=5))


def test_who_goes_on_is_decided_by_the_mean_over_seeds(full, pruned):
    at_first = full.values["valid_loss"][:, :, 0].mean(axis=1)
    third = sorted(np.argsort(at_first, kind="stable")[:3])
    assert np.flatnonzero(pruned.reached[:, 0] > 1).tolist() == third
    at_second = full.values["valid_loss"][third, :, 2].mean(axis=1)
    winner = third[int(np.argmin(at_second))]
    assert np.flatnonzero(pruned.reached[:, 0] == 4).tolist() == [winner]
    assert pruned.best().trial == winner
    assert pruned.status[winner].tolist() == ["finished"] * 2
    assert (np.delete(pruned.status, winner, axis=0) == "pruned").all()


def test_pruning_others_changes_no_bit(full, pruned):
    for name, values in pruned.values.items():
        made = pruned.evaluated
        np.testing.assert_array_equal(values[made], full.values[name][made])
        assert np.isnan(values[~made]).all()
    assert pruned.model_steps == 2 * (9 * 5 + 3 * 10 + 1 * 5)
    assert len(pruned.to_pandas()) == 3 * pruned.reached.sum()


def test_a_diverged_trial_goes_last_and_keeps_its_status():
    rates = [DIVERGES, 0.1, 0.03, 0.01]
    rule = successive_halving(eta=2, min_steps=5)
    result = run({"learning_rate": rates}, fragile, prune=rule)
    assert result.status[0, 0] == "diverged"
    assert result.reached[0, 0] == 1
    assert (result.status == "finished").sum() == 1


def test_groups_are_ranked_together():
    space = {"make": choice(sgd, adam), "learning_rate": [1e-6, 0.1]}
    rule = successive_halving(eta=4, min_steps=10, metric="train_loss")
    result = run(space, lambda make, learning_rate: make(learning_rate), prune=rule)
    assert (result.status == "finished").sum() == 1
    assert result.trials[int(np.argmax(result.status == "finished"))]["learning_rate"] == 0.1


def test_without_validation_the_training_loss_decides():
    rule = successive_halving(eta=3, min_steps=5)
    result = sweep(task(valid=False), adam, SPACE, prune=rule, **{**QUIET, "strategy": "vmap"})
    assert set(result.values) == {"train_loss"}
    assert (result.status == "finished").sum() == 1


def test_less_than_half_the_work_for_the_same_winner_on_digits():
    from lropt_jax.tasks.models import mlp

    problem = classification_task(mlp((16, 10)), load_data("digits"), batch_size=64)
    space = {"learning_rate": log_grid(1e-4, 1.0, 9)}
    arguments = {"steps": 90, "eval_every": 10, "progress": False, "strategy": "vmap", "width": 10}
    everything = sweep(problem, adam, space, **arguments)
    rule = successive_halving(eta=3, min_steps=10)
    few = sweep(problem, adam, space, prune=rule, **arguments)
    assert few.model_steps < everything.model_steps / 2
    assert few.best().trial == everything.best().trial
    assert few.best().value == everything.best().value


def test_population_based_training_copies_weights_and_moves_numbers():
    rates = [1e-6, 0.1, 0.05, 2e-6]
    rule = pbt(every=10, factors=(0.5,))
    result = run({"learning_rate": rates}, prune=rule, seeds=2)
    plain = run({"learning_rate": rates}, seeds=2)
    (event,) = result.lineage
    assert event.step == 10
    assert event.trial in (0, 3)
    assert event.source in (1, 2)
    assert event.numbers["learning_rate"] == pytest.approx(rates[event.source] / 2)
    others = [t for t in range(4) if t != event.trial]
    assert_same(result, plain, others)
    copied = result.values["valid_loss"]
    for name, values in result.values.items():
        np.testing.assert_array_equal(values[:, :, :2], plain.values[name][:, :, :2])
    # It has the source's weights (see the next test), but goes on at a rate of its own.
    assert (copied[event.trial, :, 2] != copied[event.source, :, 2]).all()


def test_a_copy_with_unchanged_numbers_is_its_source_from_then_on():
    rule = pbt(every=10, names=())
    result = run({"learning_rate": [1e-6, 0.1]}, prune=rule)
    for values in result.values.values():
        np.testing.assert_array_equal(values[0, :, 2:], values[1, :, 2:])


def test_a_diverged_trial_is_saved_by_a_copy():
    result = run({"learning_rate": [DIVERGES, 0.1]}, fragile, prune=pbt(every=10, names=()))
    assert result.status[:, 0].tolist() == ["finished", "finished"]
    assert np.isnan(result.values["valid_loss"][0, 0, :2]).all()
    assert np.isfinite(result.values["valid_loss"][0, 0, 2:]).all()


def test_population_based_training_resumes(tmp_path, monkeypatch):
    from lropt_jax.sweeps.keeping import store as stores

    arguments = {"prune": pbt(every=5), "seeds": 2}
    space = {"learning_rate": log_grid(0.001, 1.0, 6)}
    whole = run(space, **arguments)
    real, left = stores.Directory.save, [7]

    def save(self, name, snapshot):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        real(self, name, snapshot)

    with monkeypatch.context() as patch:
        patch.setattr(stores.Directory, "save", save)
        with pytest.raises(KeyboardInterrupt):
            run(space, directory=tmp_path, **arguments)
    resumed = run(space, directory=tmp_path, **arguments)
    assert_same(whole, resumed)
    assert whole.lineage == resumed.lineage


def warmed(learning_rate, warm):
    return sgd(warmup(constant(learning_rate), warm))


def test_whole_numbers_stay_whole():
    space = {"learning_rate": log_uniform(0.01, 1.0), "warm": integer(1, 9)}
    result = run(space, warmed, trials=8, prune=pbt(every=5, factors=(0.77, 1.3)))
    moved = [event.numbers["warm"] for event in result.lineage]
    assert len(moved) == 3 * 2
    assert all(warm == int(warm) and 1 <= warm <= 9 for warm in moved)
    given = run({**space, "warm": [1.0, 9.0]}, warmed, trials=8, prune=pbt(every=5))
    assert any(event.numbers["warm"] % 1 for event in given.lineage)  # of a list, any number


def test_what_a_rule_changes_is_a_number_of_the_space():
    with pytest.raises(ValueError, match=r"prune: unknown number 'rate'.*learning_rate"):
        run(SPACE, prune=pbt(every=5, names=["rate"]))
    one, several = (run(SPACE, prune=pbt(every=5, names=n)) for n in ("learning_rate", None))
    assert_same(one, several)
