"""Calls that are made by mistake, and what a second call finds of a first."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import warnings

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import lropt_jax as lj
from lropt_jax import Task, adam, early_stopping, fit, set_hyperparams, sgd, sweep, train
from lropt_jax.training.digests import digest

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int)
TASK = lj.classification_task(lj.mlp((8, 2)), lj.Dataset.of(X, Y), 16)


def with_metric(value):
    """The task with a metric that is the same at each evaluation."""
    return dataclasses.replace(TASK, summarize=lambda means: {"auc": value * means["loss"]})


# Kept trainings


def test_a_kept_training_is_no_other_one(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    call = {"eval_every": 10, "directory": tmp_path / "run"}
    first = fit(TASK, adam(0.01), 20, **call)
    moved = lj.classification_task(lj.mlp((8, 2)), lj.Dataset.of(X + 3, Y), 16)
    wider = dataclasses.replace(TASK, loss=lambda *a: TASK.loss(*a))
    for task, tx, more, named in (
        (TASK, adam(0.02), {}, "optimizer"), (TASK, adam(lj.linear(0.01, 0, 9)), {}, "optimizer"),
        (TASK, sgd(0.01), {}, "optimizer"), (moved, adam(0.01), {}, "data"),
        (wider, adam(0.01), {}, "task"), (TASK, adam(0.01), {"accumulate": 2}, "accumulate"),
        (TASK, adam(0.01), {"key": 1}, "key"), (TASK, adam(0.01), {"eval_every": 5}, "eval_every"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=f"another training; what differs: {named}"):
            fit(task, tx, 20, **{**call, **more})
    with pytest.raises(ValueError, match="has taken 20 updates, more than steps=10"):
        fit(TASK, adam(0.01), 10, **call)
    np.testing.assert_array_equal(
        fit(TASK, adam(0.01), 20, **call).history["train_loss"], first.history["train_loss"]
    )
    assert fit(TASK, adam(0.01), 40, **call).step == 40
    assert lj.load_fit(tmp_path / "run", TASK, adam(0.01)).step == 40


SCHEDULED = """
import optax, lropt_jax as lj
from lropt_jax.training.digests import digest
labels = {"a": "x", "b": "y"}
for rate in (0.1, 0.2):
    for tx in (
        lj.adam(rate), lj.adam(lj.cosine_decay(rate, 9)), lj.adam(lambda c: rate * 0.9**c),
        lj.sgd(optax.cosine_decay_schedule(rate, 9)), lj.adamw(rate, mask={"a": True, "b": False}),
        optax.partition({"x": lj.adam(rate), "y": lj.sgd(0.1)}, labels), optax.adam(rate),
        lj.accumulate(lj.adam(rate), 2), lj.by_layer(lj.adam, rate), lj.tunable(optax.lion)(rate),
        optax.chain(optax.clip(rate), lj.adam(0.1)), lj.sgd(lj.reduce_on_plateau(rate)),
        lj.sgd(rate, momentum=0.9), lj.sgd(rate, momentum=0.9, nesterov=True),
    ):
        print(digest(tx))
"""


def test_an_optimizer_has_one_digest_in_every_process():
    runs = [
        subprocess.run(
            [sys.executable, "-c", SCHEDULED], capture_output=True, text=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.split()
        for seed in ("1", "2")
    ]  # fmt: skip
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == 28


def test_training_with_an_optimizer_does_not_change_its_digest():
    tx = adam(lj.cosine_decay(0.01, 50))
    before = digest(tx)
    fit(TASK, tx, 4)
    assert digest(tx) == before


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", [10, 20, 30])
def test_what_was_set_before_a_kill_is_set_again(tmp_path, at):
    pytest.importorskip("orbax.checkpoint")

    def run(killed=0, **kept):
        for moment in train(TASK, adam(0.01), 40, eval_every=10, **kept):
            if moment.step == 20:
                moment.opt_state = set_hyperparams(moment.opt_state, learning_rate=1e-3)
            if moment.step == killed:
                raise Killed
        return moment

    whole = run()
    with pytest.raises(Killed):
        run(killed=at, directory=tmp_path / "run")
    resumed = run(directory=tmp_path / "run")
    for name, values in whole.history.items():
        np.testing.assert_array_equal(resumed.history[name], values)
    read_back = run(directory=tmp_path / "run")
    assert (read_back.step, list(read_back.history["step"])) == (40, [10, 20, 30, 40])


# The best of none


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_never_finite_is_never_the_best(value):
    with pytest.warns(RuntimeWarning, match="no evaluation has a finite valid_auc"):
        result = fit(
            with_metric(value), adam(0.01), 40, eval_every=10, keep="best",
            stop=early_stopping("valid_auc", patience=50),
        )  # fmt: skip
    assert (result.step, result.best_step) == (40, 40)


# What fit, predict and the rest are given


@pytest.mark.parametrize(
    ("call", "error", "named"),
    [
        (lambda: fit(lj.mlp((8, 2)), adam(0.1), 2), TypeError, "task must be a Task"),
        (lambda: fit(TASK, adam(0.1), 9, start={"w": 1}), TypeError, "start must be a Fit"),
        (lambda: fit(TASK, adam(0.1), 2, key="a"), ValueError, "key must be a whole number"),
        (lambda: fit(TASK, adam(0.1), 2, key=1.5), ValueError, "key must be a whole number"),
        (lambda: fit(TASK, adam(0.1), 2, key=2**40), ValueError, "key must be a whole number in"),
        (lambda: fit(TASK, adam(0.1), 2, stop=True), TypeError, "stop must be early_stopping"),
        (
            lambda: fit(TASK, adam(0.1), 2, eval_every=1, stop=early_stopping),
            TypeError,
            "stop must be early_stopping",
        ),
        (
            lambda: sweep(TASK, sgd(0.1), {"rate": [1]}, steps=2),
            TypeError,
            "optimizer must be a function",
        ),
        (
            lambda: sweep(TASK, lambda learning_rate: None, {"learning_rate": [0.1]}, steps=2),
            ValueError,
            "must return an Optax transformation, got None",
        ),
        (
            lambda: sweep(
                TASK, lambda learning_rate: optax.masked(sgd(learning_rate), {"a": True}),
                {"learning_rate": [0.1, 0.2]}, steps=2,
            ),
            ValueError,
            "the optimizer fails with learning_rate=0.1 on this task's parameters",
        ),
        *(
            (
                lambda factory=factory: sweep(
                    TASK, factory, {"learning_rate": (1e-4, 0.1)}, steps=2
                ),
                ValueError,
                r"\(0.0001, 0.1\) is one value: a range is log_uniform\(0.0001, 0.1\)",
            )
            for factory in (sgd, optax.sgd)
        ),
        (
            lambda: sweep(
                TASK, sgd, {"learning_rate": [0.1, 0.2]}, steps=20, eval_every=5,
                prune=lj.successive_halving(min_steps=100),
            ),
            ValueError,
            "prune never decides within 20 updates",
        ),
        (
            lambda: sweep(TASK, sgd, {"learning_rate": [0.1]}, steps=2, executor=4),
            ValueError,
            "executor must be a concurrent.futures.Executor",
        ),
        (
            lambda: lj.search(
                TASK, sgd, {"learning_rate": [0.1, 1]}, trials=2, batch=2, steps=2, study="abc"),
            ValueError,
            "study must be an Optuna study",
        ),
        (
            lambda: lj.lr_range_test(TASK, sgd, over={"momentum": 0.9}),
            ValueError,
            "over: momentum must be a list of values",
        ),
        (
            lambda: lj.compare(TASK, {1: (sgd, {"learning_rate": [0.1]})}),
            ValueError,
            "optimizers must be named by strings",
        ),
        (
            lambda: lj.tune(TASK, steps=1000, budget="100 steps", progress=False),
            ValueError,
            "budget must be at least one training of steps=1,000",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named_before_anything_is_trained(call, error, named):
    with pytest.raises(error, match=named):
        call()


def test_a_stop_that_cannot_come_is_said():
    with pytest.warns(UserWarning, match="eval_every must be given for stop"):
        assert fit(TASK, adam(0.1), 9, stop=early_stopping()).step == 9


def test_gaps_in_the_data_are_said():
    gaps = X.copy()
    gaps[3, 2] = np.nan
    with pytest.warns(UserWarning, match=r"x of (train|valid|test) must be finite, 1 of its"):
        lj.classification_task(lj.mlp((8, 2)), lj.Dataset.of(gaps, Y), 16)


def test_labels_that_are_missing_are_said():
    some = Y.astype(float)
    some[[1, 5]] = np.nan
    with pytest.raises(ValueError, match=r"are missing \(NaN\): leave these examples out"):
        lj.classification_task(lj.mlp((8, 2)), lj.Dataset.of(X, some), 16)


def test_curves_of_one_configuration_need_no_legend():
    pytest.importorskip("matplotlib")
    result = sweep(TASK, sgd, {"learning_rate": [0.1]}, steps=4, eval_every=2, progress=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        result.plot_curves()


def test_going_on_with_a_model_of_other_shapes():
    other = lj.classification_task(lj.mlp((9, 2)), lj.Dataset.of(X, Y), 16)
    with pytest.raises(ValueError, match="model of other shapes"):
        fit(other, adam(0.1), 9, start=fit(TASK, adam(0.1), 3))


def test_predict_takes_what_training_took():
    pandas = pytest.importorskip("pandas")
    result = fit(TASK, adam(0.01), 4)
    expected = result.predict(X[:5])
    for given in (X[:5].tolist(), pandas.DataFrame(X[:5]), jnp.asarray(X[:5]), X[:5].astype(float)):
        np.testing.assert_allclose(result.predict(given), expected, rtol=1e-5)
    assert result.predict(np.zeros((0, 6))).shape == (0, 2)
    for given in (X[0], X[:5, :3], X[:5, None]):
        with pytest.raises(ValueError, match=r"x must have the shape \(examples, 6\)"):
            result.predict(given)


def test_spaces_may_be_arrays_of_jax_and_ranges():
    rates = sweep(TASK, sgd, {"learning_rate": jnp.array([0.25, 0.5])}, steps=2, progress=False)
    assert [t["learning_rate"] for t in rates.trials] == [0.25, 0.5]
    assert lj.grid(jnp.array([0.25, 0.5])).values == (0.25, 0.5)
    assert lj.choice(range(1, 3)).values == (1, 2)


def test_a_sweep_is_not_saved_over_another(tmp_path):
    first = sweep(
        TASK, sgd, {"learning_rate": [0.1, 0.2]}, steps=2, directory=tmp_path, progress=False
    )
    other = sweep(TASK, adam, {"learning_rate": [0.1]}, steps=2, progress=False)
    with pytest.raises(ValueError, match="is that of another sweep"):
        other.save(tmp_path)
    first.save(tmp_path)
    assert lj.load_sweep(tmp_path).trials == first.trials


def test_a_compared_model_has_the_metrics_of_its_task():
    found = lj.compare(
        TASK, {"sgd": (sgd, {"learning_rate": [0.1, 0.5]})}, steps=4, seeds=2, tuning_seeds=1,
        progress=False,
    )  # fmt: skip
    fitted = found.trained("sgd")
    assert sorted(fitted.evaluate("test")) == ["accuracy", "loss"]
    assert not [name for name in (*fitted.history, *fitted.metrics) if "deviation" in name]


def test_a_ladder_that_ends_in_the_descent_suggests_no_rate():
    def squares(w, batch):
        return (batch["x"] @ w - batch["y"]) ** 2

    task = Task(
        init=lambda key: (jnp.zeros(6), {}),
        loss=lambda w, state, batch, key: (squares(w, batch).mean(), (state, {})),
        evaluate=lambda w, state, batch: {"loss": squares(w, batch)},
        train={"x": X, "y": X @ np.ones(6, np.float32)}, batch_size=len(X),
    )  # fmt: skip
    found = lj.lr_range_test(task, sgd, start=1e-6, end=0.05, steps=60, seeds=2)
    assert found.suggestions["steepest"] is None
    assert "extend it" in found.reasons["steepest"]


def test_tune_says_no_more_than_there_can_be():
    found = lj.tune(TASK, steps=60, budget=4, seeds=2, progress=False)
    table = found.table()
    shares = table[[n for n in table if n.startswith(("fresh_", "test_"))]].to_numpy(float)
    assert np.nanmin(shares) >= 0
    assert np.nanmax(shares) <= 1
    for steps in (0, "a"):
        with pytest.raises(ValueError, match="steps must be a whole number"):
            found.optimizer(steps)


def test_a_closed_standard_output_is_no_error():
    command = f"{sys.executable} -m lropt_jax.cli list schedules >&-"
    code = "import sys; from lropt_jax.cli import main; sys.exit(main(['list', 'schedules']))"
    command = f'{sys.executable} -c "{code}" >&-'
    ended = subprocess.run(command, shell=True, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_one_name_is_not_set_and_tried_over_at_once(capsys):
    from lropt_jax.cli import main

    words = ["find-lr", "--set", "momentum=0.9", "--over", "momentum=0,0.9"]
    assert main([*words, "--data", "digits"]) == 2
    assert "momentum must be in --set or in --over" in capsys.readouterr().err


def test_what_is_in_a_file_and_is_no_function_is_said(tmp_path, capsys):
    from lropt_jax.cli import main

    file = tmp_path / "mine.py"
    file.write_text(
        "import argparse\nimport lropt_jax\nargparse.ArgumentParser().parse_args()\n"
        "made = lropt_jax.sgd(0.1)\nnothing = None\n"
    )
    for words, named in (
        (["--data", "digits", "--optimizers", f"{file}:made"], "made must be a function, got sgd("),
        (["--task", f"{file}:nothing"], "nothing must be a "),
    ):
        assert main(["compare", *words]) == 2
        assert named in capsys.readouterr().err


@pytest.mark.parametrize("name", [["wilson"], {"wilson"}, None, 3, "wilsom"], ids=repr)
def test_a_name_that_is_none_is_said_whatever_it_is(name):
    for call, what in (
        (lj.reproduce, "claim"),
        (lj.problem, "problem"),
        (lj.load_data, "data set"),
        (fit(TASK, sgd(0.1), 1).evaluate, "split"),
    ):
        with pytest.raises(ValueError, match=f"^unknown {what} "):
            call(name)
    with pytest.raises(KeyError, match="no citation for"):
        lj.citation(name)


def test_results_are_compared_without_an_error():
    one, other = fit(TASK, sgd(0.1), 1), fit(TASK, sgd(0.1), 1)
    assert one == one
    assert one != other


def test_data_in_a_names_place_do_not_hide_the_words():
    model = fit(TASK, sgd(0.1), steps=2)
    with pytest.raises(ValueError, match=r"unknown split \(dict\)\. Known: train") as raised:
        model.evaluate({"x": X, "y": Y})
    assert "\n" not in str(raised.value)
