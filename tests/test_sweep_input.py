"""Bad input: one clear error, before anything is compiled."""

from __future__ import annotations

import dataclasses
import pathlib

import jax
import numpy as np
import optax
import pytest

from lropt_jax import adam, choice, grid, reduce_on_plateau, sgd, successive_halving, sweep, uniform
from lropt_jax.sweeps.planning.plan import planned
from lropt_jax.training.visits import itinerary
from tests.sweep_problems import QUIET, run, task

GRID = {"learning_rate": grid(0.1)}


@pytest.fixture(autouse=True)
def _compiles_nothing(monkeypatch):
    def refuse(*arguments, **keywords):
        raise AssertionError("a program was made")

    monkeypatch.setattr("lropt_jax.training.population.Population.run", refuse)
    monkeypatch.setattr("lropt_jax.training.population.Population.start", refuse)


def sgd_of(learning_rate, momentum=0.0):
    return sgd(learning_rate, momentum=momentum)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"space": {}}, "at least one hyperparameter"),
        ({"space": GRID, "seeds": 10**9}, "seeds must be at most 1,000,000, got 1,000,000,000"),
        (
            {"space": {"learning_rate": grid(range(1, 1001))}, "seeds": 10**4},
            r"trainings \(1,000 configurations x 10,000 seeds\) must be at most 1,000,000, got "
            "10,000,000: give fewer trials, values or seeds",
        ),
        (
            {
                "space": {
                    name: grid(range(1, 101)) for name in ("learning_rate", "momentum", "x", "y")
                }
            },
            "the configurations of space's full grid must be at most 100,000, got 100,000,000: "
            "give trials=n",
        ),
        (
            {"space": {"learning_rate": uniform(0, 1)}, "trials": 10**9},
            "trials must be at most 100,000, got 1,000,000,000: sweep in parts",
        ),
        (
            {"space": {"learning_rat": grid(0.1)}},
            "unknown hyperparameter 'learning_rat'; did you mean 'learning_rate'",
        ),
        ({"space": {"learning_rate": 0.1, "momentun": 0.9}}, "did you mean 'momentum'"),
        ({"space": {"momentum": grid(0.9)}}, "must give a value to learning_rate"),
        ({"space": {"learning_rate": grid(-1.0)}}, "learning_rate=-1.0: learning_rate must be"),
        ({"space": {"learning_rate": grid(0.1, np.nan)}}, "learning_rate must be"),
        ({"space": {"learning_rate": 0.1, "batch_size": 49}}, "batch_size must be between 1 and"),
        ({"steps": 0}, "steps must be"),
        ({"steps": 1.5}, "steps must be"),
        ({"eval_every": 0}, "eval_every must be"),
        ({"seeds": 0}, "seeds must be"),
        ({"seeds": [1, 1]}, "seeds must be"),
        ({"seeds": [-1]}, "seeds must be"),
        ({"seeds": 1.5}, "seeds must be"),
        ({"trials": 0, "space": {"learning_rate": grid(0.1)}}, "trials must be"),
        ({"width": 0}, "width must be"),
        ({"width": 2.5}, "width must be"),
        ({"strategy": "fast"}, "strategy must be"),
        ({"strategy": "map:0"}, "strategy must be"),
        ({"devices": 0}, "devices must be"),
        ({"devices": []}, "devices must be"),
        ({"devices": 99}, "devices=99, but there are"),
        ({"devices": jax.devices, "executor": object()}, "devices must be a count"),
        ({"devices": ["cpu"]}, "devices must be different devices of this process"),
        ({"devices": jax.devices()[:1] * 2}, "devices must be different devices"),
        ({"executor": object()}, "executor must be"),
        ({"prune": "halving"}, "prune must be"),
        ({"prune": successive_halving(min_steps=7)}, "no multiple of eval_every"),
        (
            {"prune": successive_halving(min_steps=5, metric="valid_acc")},
            "did you mean 'valid_accuracy'",
        ),
        ({"final_splits": ["exam"]}, "no split 'exam'"),
    ],
)
def test_one_clear_error(arguments, words):
    with pytest.raises(ValueError, match=words):
        run(**{"space": GRID, "optimizer": sgd_of, **arguments})


def test_a_loss_that_is_no_scalar():
    bad = dataclasses.replace(
        task(), loss=lambda p, s, b, k: (task().evaluate(p, s, b)["loss"], (s, {}))
    )
    with pytest.raises(ValueError, match="loss must return a real scalar"):
        sweep(bad, adam, GRID, **QUIET)


def test_a_split_of_no_examples():
    empty = {k: v[:0] for k, v in task().train.items()}
    with pytest.raises(ValueError, match="valid is empty"):
        dataclasses.replace(task(), valid=empty)


def test_a_task_that_is_none():
    with pytest.raises(ValueError, match="task must be a Task"):
        sweep("digits", adam, GRID, **QUIET)
    with pytest.raises(ValueError, match="task must return a Task"):
        sweep(lambda size: size, adam, {"size": choice("a"), **GRID}, **QUIET)


def test_an_optimizer_that_cannot_take_its_number_as_data():
    def branches(learning_rate):
        return optax.sgd(learning_rate if learning_rate > 0.01 else 0.01)

    with pytest.raises(ValueError, match="fails when learning_rate is data"):
        run(GRID, branches)


def test_a_schedule_that_observes_needs_evaluations():
    with pytest.raises(ValueError, match="eval_every must be given"):
        run({"peak": [0.1]}, lambda peak: sgd(reduce_on_plateau(peak)), eval_every=None)


@pytest.mark.parametrize("optimizer", [
    lambda peak: sgd(reduce_on_plateau(peak, mode="max")),
    lambda peak: optax.chain(optax.clip(1.0), adam(2.0 * reduce_on_plateau(peak, mode="max"))),
])  # fmt: skip
def test_a_schedule_that_waits_for_a_higher_loss_is_said(optimizer):
    what = r"valid_loss is better when it falls, .* reduce_on_plateau\(..., mode='min'\)"
    with pytest.warns(UserWarning, match=what) as said:
        planned(task(), optimizer, {"peak": [0.1, 0.2]}, itinerary=itinerary(20, 5))
    assert [pathlib.Path(w.filename).name for w in said] == [pathlib.Path(__file__).name]
