"""`train` hands out moments, `fit` is its loop: going on, stopping, keeping, taking away."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from lropt_jax import (
    Fit,
    accumulate,
    adam,
    classification_task,
    cosine_decay,
    cyclic,
    early_stopping,
    fit,
    hyperparams,
    load_fit,
    reduce_on_plateau,
    set_hyperparams,
    sgd,
    train,
)
from lropt_jax.training.checkpoints import Checkpoints


class Net(nn.Module):
    """Everything that has a state of its own: dropout, batch norm."""

    @nn.compact
    def __call__(self, x, train=False):
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(nn.Dense(8)(x))
        return nn.Dense(3)(nn.Dropout(0.3, deterministic=not train)(nn.relu(x)))


def _data(n, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 5)).astype(np.float32)
    return {"x": x, "y": (x[:, :3].argmax(1)).astype(np.int32)}


DATA = {"train": _data(90, 0), "valid": _data(40, 1), "test": _data(1100, 2)}
TASK = dataclasses.replace(
    classification_task(Net(), DATA, batch_size=16),
    predict=lambda params, state, x: Net().apply({"params": params, **state}, x),
)


def same(a, b):
    left, right = (jax.tree.leaves(x.lane._replace(key=jax.random.key_data(x.key))) for x in (a, b))
    for x, y in zip(left, right, strict=True):
        np.testing.assert_array_equal(x, y)
    assert list(a.history) == list(b.history)
    for name in a.history:
        np.testing.assert_array_equal(a.history[name], b.history[name])


PLATEAU = reduce_on_plateau(0.05, factor=0.5, patience=0)


@pytest.mark.parametrize(
    ("tx", "arguments"),
    [
        (adam(cosine_decay(0.01, 40)), {}),
        (sgd(PLATEAU, momentum=0.9), {}),
        (sgd(0.05, momentum=0.9), {"accumulate": 3}),
        (accumulate(adam(0.01), 2), {}),
    ],
)
def test_going_on_is_as_if_nothing_had_happened(tx, arguments):
    arguments = {"eval_every": 10, "key": 3, **arguments}
    whole = fit(TASK, tx, 40, **arguments)
    half = fit(TASK, tx, 20, **arguments)
    same(whole, fit(TASK, tx, 40, start=half, **arguments))
    # From a moment in the middle, which the loop has left behind, and the loop can go on, too.
    moments = list(train(TASK, tx, 40, **arguments))
    assert [m.step for m in moments] == [10, 20, 30, 40]
    same(whole, moments[-1])
    same(whole, fit(TASK, tx, 40, start=moments[0], **arguments))
    same(whole, fit(TASK, tx, 40, start=moments[0], **arguments))  # nothing was taken from it


def test_the_history_has_the_numbers_of_the_optimizer():
    result = fit(TASK, adam(cosine_decay(0.1, 20)), 20, eval_every=5)
    expected = [float(cosine_decay(0.1, 20)(t)) for t in (5, 10, 15, 20)]
    np.testing.assert_allclose(result.history["learning_rate"], expected, rtol=1e-6)
    assert set(result.history) >= {"step", "train_loss", "valid_accuracy", "b1", "eps"}
    groups = optax.partition(
        {"a": sgd(0.1), "b": sgd(0.2)},
        lambda p: jax.tree.map_with_path(lambda k, _: "ab"["bias" in str(k)], p),
    )
    history = fit(TASK, groups, 4).history
    assert (history["a/learning_rate"], history["b/learning_rate"]) == (
        pytest.approx(0.1),
        pytest.approx(0.2),
    )


def test_a_number_set_in_the_loop_is_used_and_nothing_compiles():
    rates = []
    for moment in train(TASK, sgd(0.1), 30, eval_every=10):
        rates.append(float(hyperparams(moment.opt_state)["learning_rate"]))
        before = moment.opt_state
        moment.opt_state = set_hyperparams(moment.opt_state, learning_rate=0.0)
        assert float(hyperparams(before)["learning_rate"]) == rates[-1]
        if moment.step == 10:
            kept = moment
    assert rates == [pytest.approx(0.1), 0.0, 0.0]
    for a, b in zip(*map(jax.tree.leaves, (kept.params, moment.params)), strict=True):
        np.testing.assert_array_equal(a, b)  # a rate of 0 moves nothing


@pytest.mark.parametrize("in_place", [False, True])
def test_parameters_and_state_may_be_assigned_in_the_loop(in_place):
    """As a training that goes on from there."""
    moments = list(train(TASK, adam(0.01), 20, eval_every=10))
    changed = dataclasses.replace(
        moments[0],
        params=jax.tree.map(lambda x: x / 2, moments[0].params),
        model_state=jax.tree.map(jnp.ones_like, moments[0].model_state),
    )
    expected = fit(TASK, adam(0.01), 20, eval_every=10, start=changed)
    for moment in train(TASK, adam(0.01), 20, eval_every=10):
        if moment.step == 10 and in_place:
            for name, layer in changed.params.items():
                moment.params[name] = layer
            moment.model_state["batch_stats"] = changed.model_state["batch_stats"]
        elif moment.step == 10:
            moment.params = jax.tree.map(np.asarray, changed.params)
            moment.model_state = changed.model_state
    same(expected, moment)


def test_what_is_assigned_must_fit():
    for name, value in (
        ("params", {"w": 1.0}),
        ("params", jax.tree.map(lambda x: x.astype(jnp.bfloat16), TASK.init(jax.random.key(0))[0])),
        ("model_state", {}),
    ):
        with pytest.raises(ValueError, match=f"moment.{name} must keep its structure"):  # noqa: PT012
            for moment in train(TASK, sgd(0.1), 4, eval_every=2):
                setattr(moment, name, value)


def test_a_loop_may_take_a_diverged_training_back():
    def run():
        for moment in train(TASK, sgd(0.1), 15, eval_every=5):
            if moment.step == 5:
                good, rate = moment.params, 1e30
            elif moment.step == 10:
                assert np.isnan(moment.metrics["train_loss"])
                moment.params, rate = good, 0.1
            moment.opt_state = set_hyperparams(moment.opt_state, learning_rate=rate)
        return moment

    with pytest.warns(RuntimeWarning, match="not finite from update"):
        assert np.isfinite(run().metrics["train_loss"])


def test_epochs_and_evaluations_by_the_epoch():
    per_epoch = TASK.steps_per_epoch
    result = fit(TASK, sgd(0.1), epochs=4, eval_every="epoch")
    assert result.history["step"].tolist() == [per_epoch * k for k in (1, 2, 3, 4)]
    assert fit(TASK, sgd(0.1), epochs=4, accumulate=2).step == 4 * per_epoch // 2
    grown = fit(TASK, sgd(0.1), epochs=4, accumulate=lambda t: 1.0 + (t >= 5))
    assert grown.step == 5 + -(-(4 * per_epoch - 5) // 2)
    plain = fit(TASK, sgd(0.1), epochs=4, accumulate=lambda t: 1 if t < 5 else 2)  # no tracer
    assert plain.step == grown.step
    halved = fit(TASK, sgd(0.1), epochs=4, eval_every="epoch", accumulate=np.int64(2))
    assert len(halved.history["step"]) == 5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "give steps or epochs"),
        ({"steps": 3, "epochs": 2}, "give steps or epochs"),
        ({"epochs": 0}, "epochs must be a whole number"),
        ({"steps": 10, "eval_every": "week"}, 'or "epoch"'),
        ({"steps": 10, "keep": "first"}, "keep must be 'last' or 'best'"),
        ({"steps": 10, "stop": early_stopping("valid_los", mode="min")}, "valid_loss"),
    ],
)
def test_bad_arguments_are_refused_at_once(arguments, words):
    with pytest.raises(ValueError, match=words):
        fit(TASK, sgd(0.1), **arguments)


def test_the_iterator_refuses_before_the_loop_begins():
    with pytest.raises(ValueError, match="give steps or epochs"):
        train(TASK, sgd(0.1))
    with pytest.raises(TypeError, match=r"adam\(1e-3\)"):
        fit(TASK, adam, 10)
    with pytest.raises(ValueError, match="more than the 10 that start has taken"):
        fit(TASK, sgd(0.1), 10, start=fit(TASK, sgd(0.1), 10))
    with pytest.raises(ValueError, match="another model or optimizer"):
        fit(TASK, adam(0.1), 20, start=fit(TASK, sgd(0.1), 10))


def _moment(metric, values):
    moment = next(train(TASK, sgd(0.1), 1))
    return dataclasses.replace(moment, history={metric: np.array(values)})


def test_early_stopping_counts_evaluations_without_an_improvement():
    rule = early_stopping(patience=2, min_delta=0.1)
    values = [1.0, 0.95, 0.8, np.nan, 0.75, 0.6]
    stops = [rule(_moment("valid_loss", values[: i + 1])) for i in range(len(values))]
    assert stops == [False, False, False, False, True, False]
    assert early_stopping("valid_accuracy", patience=1)(_moment("valid_accuracy", [0.5, 0.5]))
    with pytest.raises(ValueError, match="mode must be given"):
        early_stopping("valid_bleu")
    with pytest.raises(ValueError, match="patience"):
        early_stopping(patience=0)


def test_stopping_early_and_keeping_the_best():
    rule = early_stopping("valid_accuracy", patience=2)
    result = fit(TASK, sgd(5.0), 200, eval_every=5, stop=rule, keep="best")
    curve = result.history["valid_accuracy"]
    assert len(curve) < 40
    best = int(np.argmax(curve))
    assert len(curve) == best + 3
    assert result.step == result.best_step == result.history["step"][best]
    assert result.evaluate("valid")["accuracy"] == pytest.approx(curve[best], abs=1e-6)
    last = fit(TASK, sgd(5.0), 200, eval_every=5, stop=rule)
    assert last.best_step is None
    assert last.step == result.history["step"][-1]
    assert fit(TASK, sgd(5.0), 50, eval_every=5, stop=lambda moment: moment.step == 15).step == 15


@pytest.mark.parametrize(
    "tx", [optax.lbfgs(), optax.chain(optax.scale_by_backtracking_linesearch(3), sgd(1.0))]
)
def test_an_optimizer_that_evaluates_the_loss_is_refused_at_once(tx):
    with pytest.raises(ValueError, match=r"tx must make an update of .*value_fn"):
        train(TASK, tx, 3)


def test_an_optimizer_that_takes_no_further_arguments_is_not_given_any():
    """Though its type says that it takes some."""
    assert fit(TASK, optax.contrib.sam(sgd(0.1), sgd(0.01)), 4).step == 4


RISES = reduce_on_plateau(0.1, mode="max")


@pytest.mark.parametrize(
    ("tx", "observe", "metric"),
    [
        (sgd(RISES), None, "valid_loss is better when it falls"),
        (sgd(2.0 * RISES), "train_loss", "train_loss is better when it falls"),
        (sgd(PLATEAU), "valid_accuracy", "valid_accuracy is better when it rises"),
        (sgd(RISES), "valid_accuracy", None),
        (sgd(PLATEAU), None, None),
        (sgd(cyclic(0.1, 0.2, 3) * PLATEAU), None, None),  # which has a mode of another kind
    ],
)
def test_a_schedule_that_waits_for_a_metric_to_become_worse_is_said(tx, observe, metric):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        train(TASK, tx, 9, eval_every=3, observe=observe)
    said = [w for w in caught if "mode=" in str(w.message)]
    assert len(said) == (metric is not None)
    for warning in said:
        assert str(warning.message).startswith(metric)
        assert warning.filename == __file__


def test_what_one_takes_away():
    result = fit(TASK, adam(0.01), 60, eval_every=20)
    assert isinstance(result, Fit)
    logits = result.predict(DATA["test"]["x"])  # more than one batch
    expected = Net().apply(result.variables, DATA["test"]["x"])
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)
    accuracy = float((logits.argmax(1) == DATA["test"]["y"]).mean())
    assert result.evaluate("test")["accuracy"] == pytest.approx(accuracy, abs=1e-6)
    assert len(repr(result)) < 300
    assert len(result._repr_html_()) < 1000
    with pytest.raises(ValueError, match="did you mean 'test'"):
        result.evaluate("tests")
    bare = dataclasses.replace(TASK, predict=None)
    with pytest.raises(ValueError, match="no predict"):
        fit(bare, adam(0.01), 2).predict(DATA["test"]["x"])


def test_the_figure_has_the_losses_the_metrics_and_the_rate():
    pytest.importorskip("matplotlib")
    figure = fit(TASK, adam(cosine_decay(0.01, 20)), 20, eval_every=5, keep="best").plot()
    legend = {text.get_text() for text in figure.axes[0].get_legend().get_texts()}
    assert legend == {"train loss", "valid loss", "best step"}
    # What is alone on its axes is their label.
    assert [axes.get_ylabel() for axes in figure.axes[1:]] == ["valid accuracy", "learning rate"]


def test_legends_leave_the_frames_their_room():
    """The longest: what is watched with its limit, and the best step, in each panel."""
    pytest.importorskip("matplotlib")
    from lropt_jax.plotting.training import WATCHED, history_figure

    names = [
        "train_loss",
        "valid_loss",
        "valid_accuracy",
        "learning_rate",
        *sum(WATCHED.values(), ()),
    ]
    steps = np.arange(1, 9)
    figure = history_figure({"step": steps, **dict.fromkeys(names, 1.0 * steps)}, best_step=4)
    figure.canvas.draw()
    shown = [axes for axes in figure.axes if axes.axison]
    assert len(shown) == 7
    assert min(axes.get_position().width for axes in shown) > 0.2


def test_a_divergence_is_said_once_where_it_began():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(TASK, optax.chain(optax.scale_by_schedule(lambda t: jnp.where(t < 7, 0.0, jnp.nan))),
            30, eval_every=5)  # fmt: skip
    said = [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]
    assert len(said) == 1
    assert "not finite from update" in said[0]


def test_schedule_free_is_judged_where_it_wants_to_be():
    tx = optax.contrib.schedule_free(sgd(0.5), learning_rate=0.5)
    result = fit(TASK, tx, 20)
    assert result.evaluate("valid")["loss"] == pytest.approx(result.metrics["valid_loss"], rel=1e-5)
    point = optax.contrib.schedule_free_eval_params(result.opt_state, result.params)
    expected = Net().apply({"params": point, **result.model_state}, DATA["valid"]["x"])
    np.testing.assert_allclose(result.predict(DATA["valid"]["x"]), expected, rtol=1e-4, atol=1e-5)


def test_a_kept_training_goes_on_and_is_read_back(tmp_path, monkeypatch):
    pytest.importorskip("orbax.checkpoint")
    arguments = {"eval_every": 5, "keep": "best", "stop": early_stopping(patience=30)}
    tx = sgd(PLATEAU, momentum=0.9)
    whole = fit(TASK, tx, 40, **arguments)
    monkeypatch.setenv("HOME", str(tmp_path))
    left = [3]

    def interrupted(moment):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        fit(TASK, tx, 40, directory="~/run", **{**arguments, "stop": interrupted})
    assert (tmp_path / "run" / "training.json").exists()
    same(whole, fit(TASK, tx, 40, directory="~/run", **arguments))
    same(whole, fit(TASK, tx, 40, directory=tmp_path / "run", **arguments))  # read back
    with pytest.raises(ValueError, match="what differs: key"):
        fit(TASK, tx, 40, directory=tmp_path / "run", **{**arguments, "key": 1})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    with pytest.raises(ValueError, match="holds no training"):
        fit(TASK, tx, 40, directory=tmp_path / "other", **arguments)


@pytest.mark.parametrize("saves", [1, 2, 3])
def test_killed_between_the_last_and_the_best_nothing_is_lost(tmp_path, monkeypatch, saves):
    """Each evaluation is kept as the last one, then as the best one where it is."""
    pytest.importorskip("orbax.checkpoint")
    real, left = Checkpoints.save, [saves]

    def save(self, name, moment):
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(self, name, moment)

    # The loss rises: the first evaluation is the best one.
    arguments = {"eval_every": 5, "keep": "best"}
    whole = fit(TASK, sgd(3.0), 15, **arguments)
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", save)
        with pytest.raises(KeyboardInterrupt):
            fit(TASK, sgd(3.0), 15, directory=tmp_path / "run", **arguments)
    resumed = fit(TASK, sgd(3.0), 15, directory=tmp_path / "run", **arguments)
    same(whole, resumed)
    assert resumed.best_step == whole.best_step
    same(whole, fit(TASK, sgd(3.0), 15, directory=tmp_path / "run", **arguments))


def test_killed_while_the_directory_is_begun(tmp_path, monkeypatch):
    pytest.importorskip("orbax.checkpoint")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            fit(TASK, sgd(0.1), 5, directory=tmp_path / "run")
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["training.json.writing"]
    same(fit(TASK, sgd(0.1), 5, directory=tmp_path / "run"), fit(TASK, sgd(0.1), 5))


def test_a_trained_model_is_saved_loaded_and_goes_on(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    tx = adam(cosine_decay(0.01, 40))
    whole, half = fit(TASK, tx, 40, eval_every=10), fit(TASK, tx, 20, eval_every=10, keep="best")
    half.save(tmp_path / "model")
    half.save(tmp_path / "model")  # again
    loaded = load_fit(tmp_path / "model", TASK, tx)
    same(half, loaded)
    assert loaded.best_step == half.best_step
    x = DATA["test"]["x"]
    np.testing.assert_array_equal(loaded.predict(x), half.predict(x))
    fit(TASK, tx, 20, eval_every=10).save(tmp_path / "last")
    same(whole, fit(TASK, tx, 40, eval_every=10, start=load_fit(tmp_path / "last", TASK, tx)))
    with pytest.raises(ValueError, match="another model or optimizer"):
        load_fit(tmp_path / "last", TASK, sgd(0.1))
    with pytest.raises(ValueError, match="holds no trained model"):
        load_fit(tmp_path, TASK, tx)


SCRIPT = """
import sys
sys.path.insert(0, {tests!r})
from tests.test_train_and_fit import TASK, adam, cosine_decay, train
for moment in train(TASK, adam(cosine_decay(0.01, 400)), 400, eval_every=10, directory={where!r}):
    print(moment.step, flush=True)
"""


@pytest.mark.slow
def test_killed_at_any_moment_the_same_call_goes_on(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    script = SCRIPT.format(tests=tests, where=str(tmp_path / "run"))
    for lines in (3, 5):
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, text=True
        )
        for _ in range(lines):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        process.wait()
    tx = adam(cosine_decay(0.01, 400))
    resumed = list(train(TASK, tx, 400, eval_every=10, directory=tmp_path / "run"))
    assert resumed[0].step > 10
    same(fit(TASK, tx, 400, eval_every=10), resumed[-1])


def test_what_was_trained_travels_by_pickle_with_its_functions():
    result = fit(
        dataclasses.replace(TASK, summarize=lambda means: {"twice": means["loss"]}), adam(0.1), 5
    )
    for again in (pickle.loads(pickle.dumps(result)), copy.deepcopy(result)):
        assert again.evaluate("train") == result.evaluate("train")
    assert again.task.loss is result.task.loss  # a copy here compiles nothing
