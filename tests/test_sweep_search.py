"""Optuna's studies over populations."""

from __future__ import annotations

import warnings

import jax
import numpy as np
import pytest

from lropt_jax import adam, choice, log_grid, log_uniform, search, sgd, successive_halving, uniform
from tests.sweep_problems import DIVERGES, QUIET, fragile, task

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.ERROR)
ARGUMENTS = {**{k: v for k, v in QUIET.items() if k != "width"}, "strategy": "vmap"}


def test_a_study_drives_batches():
    space = {"learning_rate": log_uniform(1e-4, 1.0), "b1": uniform(0.5, 0.95), "eps": 1e-6}
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0, constant_liar=True))
    result = search(task(), adam, space, 10, study, batch=4, seeds=2, **ARGUMENTS)
    assert [len(result.trials), len(study.trials)] == [10, 10]
    assert result.width == [8, 8, 8]  # one program: the last batch is padded
    np.testing.assert_array_equal([t.value for t in study.trials], result.means("valid_loss"))
    assert study.best_params["learning_rate"] == result.best()["learning_rate"]
    assert all(trial["eps"] == 1e-6 for trial in result.trials)
    again = search(task(), adam, space, 4, study, batch=4, seeds=2, **ARGUMENTS)
    assert len(study.trials) == 14
    assert not np.isin(
        [t["learning_rate"] for t in again.trials], [t["learning_rate"] for t in result.trials]
    ).any()


def test_the_same_seed_gives_the_same_search():
    space = {"learning_rate": log_uniform(1e-4, 1.0)}
    first, second = (search(task(), adam, space, 6, batch=3, **ARGUMENTS) for _ in range(2))
    assert first.trials == second.trials


def test_choices_of_anything():
    space = {"make": choice(adam, sgd), "learning_rate": log_grid(0.01, 0.1, 3)}
    result = search(
        task(), lambda make, learning_rate: make(learning_rate), space, 5, batch=5, **ARGUMENTS
    )
    assert {t["make"] for t in result.trials} <= {adam, sgd}
    assert {t["learning_rate"] for t in result.trials} <= {0.01, 0.0316227766017, 0.1}


def test_a_diverged_trial_is_told_as_the_worst_and_a_pruned_one_as_pruned():
    study = optuna.create_study()
    rates = choice(DIVERGES, 2 * DIVERGES)
    search(task(), fragile, {"learning_rate": rates}, 2, study, **ARGUMENTS)
    assert [t.value for t in study.trials] == [np.inf] * 2
    study = optuna.create_study(direction="maximize")
    space = {"learning_rate": rates}
    search(task(), fragile, space, 2, study, metric="valid_accuracy", **ARGUMENTS)
    assert [t.value for t in study.trials] == [-np.inf] * 2
    study = optuna.create_study()
    rule = successive_halving(eta=4, min_steps=5)
    space = {"learning_rate": log_uniform(0.01, 0.1)}
    search(task(), adam, space, 4, study, prune=rule, **ARGUMENTS)
    states = [t.state.name for t in study.trials]
    assert sorted(states) == ["COMPLETE", "PRUNED", "PRUNED", "PRUNED"]


def test_a_journal_is_shared(tmp_path):
    def study():
        backend = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal"))
        storage = optuna.storages.JournalStorage(backend)
        return optuna.create_study(storage=storage, study_name="shared", load_if_exists=True)

    space = {"learning_rate": log_uniform(1e-4, 1.0)}
    search(task(), adam, space, 3, study(), **ARGUMENTS)
    search(task(), adam, space, 2, study(), **ARGUMENTS)
    assert len(study().trials) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"trials": 0}, "trials must be"),
        ({"batch": 0}, "batch must be"),
        ({"space": {"learning_rate": 0.1}}, "nothing to search"),
        ({"mode": "max"}, "direction must be maximize"),
        ({"directory": "here"}, "storage"),
        ({"metric": "val_loss"}, "unknown metric 'val_loss'; did you mean 'valid_loss'"),
        ({"space": {"rate": log_uniform(0.1, 1)}}, "unknown hyperparameter 'rate'"),
    ],
)
def test_bad_input(arguments, words):
    given = {"space": {"learning_rate": log_uniform(0.1, 1)}, "trials": 2, **arguments}
    with pytest.raises(ValueError, match=words):
        search(task(), adam, study=optuna.create_study(), **given, **ARGUMENTS)


def test_a_wrong_metric_trains_nothing_and_leaves_no_trial_running():
    study = optuna.create_study()
    with pytest.raises(ValueError, match="unknown metric 'val_loss'"):
        search(task(), adam, {"learning_rate": log_uniform(0.1, 1)}, 2, study, metric="val_loss")
    assert study.trials == []
    # A function of task is only known once it is called: what was asked is told as failed.
    with pytest.raises(KeyError, match="unknown metric 'val_loss'"):
        search(
            lambda: task(), adam, {"learning_rate": log_uniform(0.1, 1)}, 2, study,
            metric="val_loss", **ARGUMENTS,
        )  # fmt: skip
    assert {t.state.name for t in study.trials} == {"FAIL"}


def test_a_list_is_a_grid_as_in_a_sweep():
    space = {"learning_rate": [0.01, 0.1], "n": np.array([1, 2])}
    result = search(task(), lambda learning_rate, n: adam(learning_rate / n), space, 4, **ARGUMENTS)
    assert {t["n"] for t in result.trials} <= {1, 2}
    assert {t["learning_rate"] for t in result.trials} <= {0.01, 0.1}


def test_the_best_goes_by_what_was_searched_for():
    space = {"learning_rate": log_uniform(0.001, 1.0)}
    study = optuna.create_study(direction="maximize")
    found = search(
        task(), adam, space, 6, study, batch=3, metric="valid_accuracy", keep=1,
        seeds=np.int64(2), key=jax.random.key(3), **ARGUMENTS,
    )  # fmt: skip
    assert found.best().metric == "valid_accuracy"
    assert found.best().value == study.best_value
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was kept, and is not trained again
        assert found.trained().step == QUIET["steps"]
