"""What a directory keeps of a training is what was trained, by its names, or is refused."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lropt_jax import (
    Task,
    adabelief,
    adagrad,
    adam,
    cosine_decay,
    early_stopping,
    fit,
    hyperparams,
    load_fit,
    rmsprop,
    set_hyperparams,
    sgd,
    train,
)
from lropt_jax.training.digests import digest

pytest.importorskip("orbax.checkpoint")

X = np.random.default_rng(0).normal(size=(24, 3)).astype(np.float32)


def task_of(*names, **changes):
    """Least squares whose weights, a product, have these names."""

    def errors(params, batch):
        return (batch["x"] @ params[names[0]] * params[names[1]] - 1) ** 2

    parts = {
        "init": lambda key: ({names[0]: jnp.zeros(3), names[1]: jnp.ones(())}, {}),
        "loss": lambda p, s, batch, key: (errors(p, batch).mean(), (s, {})),
        "evaluate": lambda p, s, batch: {"loss": errors(p, batch)},
        "train": {"x": X}, "valid": {"x": X[:5]}, "batch_size": 4,
    }  # fmt: skip
    return Task(**{**parts, **changes})


TASK = task_of("a", "b")


@pytest.mark.parametrize(
    ("task", "tx", "named"),
    [
        (task_of("c", "d"), rmsprop(0.1), "params/a, params/b, .*there, params/c, params/d"),
        (TASK, adagrad(0.1), "rmsprop there, adagrad now"),
        (TASK, adam(0.1), "rmsprop there, adam now"),
    ],
)
def test_what_has_the_same_shapes_is_not_the_same(tmp_path, task, tx, named):
    """Arrays are read back by their names, not by how many there are."""
    fit(TASK, rmsprop(0.1), 4).save(tmp_path)
    with pytest.raises(ValueError, match=f"another model or optimizer; what differs: .*{named}"):
        load_fit(tmp_path, task, tx)


def test_an_optimizer_whose_state_has_the_same_names_is_another_one(tmp_path):
    fit(TASK, adam(0.1), 4).save(tmp_path)
    with pytest.raises(ValueError, match="what differs: adam there, adabelief now"):
        load_fit(tmp_path, TASK, adabelief(0.1))
    assert load_fit(tmp_path, TASK, adam(0.3)).step == 4  # numbers are those that were kept
    with pytest.raises(ValueError, match="holds a trained model, no training that can go on"):
        fit(TASK, adam(0.3), steps=4, directory=tmp_path)


@pytest.mark.parametrize("name", ["a|b", "acc/top 5 %", "é.x", "..", "000 loss"])
def test_a_metric_may_have_any_name(tmp_path, name):
    task = dataclasses.replace(TASK, summarize=lambda means: {name: 2 * means["loss"]})
    result = fit(task, sgd(0.1), 8, eval_every=4, directory=tmp_path / "run")
    result.save(tmp_path / "model")
    for read in ("run", "model"):
        again = load_fit(tmp_path / read, task, sgd(0.1))
        assert again.metrics == result.metrics
        assert list(again.history) == list(result.history)
        assert np.array_equal(again.history[f"valid_{name}"], result.history[f"valid_{name}"])


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_a_key_of_any_generator_comes_back(tmp_path, generator):
    key = jax.random.key(3, impl=generator)
    whole = fit(TASK, sgd(0.1), 12, key=key, eval_every=4)
    fit(TASK, sgd(0.1), 8, key=key, eval_every=4, directory=tmp_path / "run")
    resumed = fit(TASK, sgd(0.1), 12, key=key, eval_every=4, directory=tmp_path / "run")
    resumed.save(tmp_path / "model")
    for result in (resumed, load_fit(tmp_path / "model", TASK, sgd(0.1))):
        assert jax.random.key_impl(result.key) == jax.random.key_impl(whole.key)
        np.testing.assert_array_equal(result.params["a"], whole.params["a"])


def test_what_was_kept_before_names_were_is_read(tmp_path, monkeypatch):
    import lropt_jax.training.checkpoints as checkpoints

    result, real = fit(TASK, adam(0.1), 8, eval_every=4), checkpoints.plain

    def before(moment):
        kept = real(moment)
        history = {
            f"{i:03d} {name}": x
            for i, (name, x) in enumerate(
                zip(moment.history, kept["history"].values(), strict=True)
            )
        }
        metrics = dict(zip(moment.metrics, kept["metrics"].values(), strict=True))
        return {"lane": kept["lane"], "history": history, "metrics": metrics}

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "plain", before)
        result.save(tmp_path)
    again = load_fit(tmp_path, TASK, adam(0.1))
    assert again.metrics == result.metrics
    assert list(again.history) == list(result.history)
    np.testing.assert_array_equal(again.params["a"], result.params["a"])
    with pytest.raises(ValueError, match="arrays there"):
        load_fit(tmp_path, TASK, sgd(0.1))


def test_another_start_is_another_training(tmp_path):
    """Also one that has taken as many updates."""
    first, second = (fit(TASK, sgd(0.1), 4, key=key) for key in (0, 1))
    call = {"eval_every": 4, "directory": tmp_path / "run"}
    whole = fit(TASK, sgd(0.1), 8, start=first, **call)
    with pytest.raises(ValueError, match="what differs: start"):
        fit(TASK, sgd(0.1), 12, start=second, **call)
    again = fit(TASK, sgd(0.1), 8, start=first, **call)
    np.testing.assert_array_equal(again.params["a"], whole.params["a"])


def test_a_directory_that_holds_nothing_yet_may_become_another_training(tmp_path):
    """It was killed before its first evaluation, or refused after it had been begun."""
    call = {"eval_every": 4, "directory": tmp_path / "run"}
    with pytest.raises(ValueError, match="stop"):
        fit(TASK, sgd(0.1), 8, stop=early_stopping("valid_los", mode="min"), **call)
    assert fit(TASK, adam(0.1), 8, **call).step == 8
    with pytest.raises(ValueError, match="what differs: optimizer"):
        fit(TASK, sgd(0.1), 8, **call)


def test_a_kept_training_refuses_a_state_that_it_could_not_read_back(tmp_path):
    def run(**kept):
        for moment in train(TASK, sgd(0.1), 8, eval_every=4, **kept):
            if moment.step == 4:
                moment.opt_state = set_hyperparams(
                    moment.opt_state, learning_rate=cosine_decay(0.1, 8)
                )
        return moment

    assert float(hyperparams(run().opt_state)["learning_rate"]) == 0
    with pytest.raises(ValueError, match=r"moment.opt_state must keep .*directory="):
        run(directory=tmp_path / "run")


def rising(**changes):
    """Least squares whose metric, the count of its updates, rises all the way."""
    plain = task_of("a", "b")

    def loss(params, state, batch, key):
        return plain.loss(params, state, batch, key)[0], (state + 1, {})

    return task_of(
        "a", "b", loss=loss, init=lambda key: (plain.init(key)[0], jnp.zeros(())),
        evaluate=lambda p, state, batch: {"loss": jnp.full(len(batch["x"]), state)}, **changes,
    )  # fmt: skip


def test_the_best_one_may_be_the_one_that_was_gone_on_from(tmp_path):
    call, task = {"eval_every": 4, "keep": "best"}, rising()
    whole, half = (fit(task, sgd(0.01), n, **call) for n in (12, 4))
    on = fit(task, sgd(0.01), 12, start=half, **call)
    assert whole.best_step == on.best_step == 4
    np.testing.assert_array_equal(on.params["a"], whole.params["a"])
    assert list(on.history["step"]) == [4, 8, 12]
    kept = {"start": half, "directory": tmp_path / "run", **call}
    for steps in (8, 12, 12):
        assert fit(task, sgd(0.01), steps, **kept).best_step == 4
    # Of another task: what it was judged on is not what this one is.
    other = rising(valid={"x": 9 * X[:5]})
    assert fit(other, sgd(0.01), 12, start=half, **call).best_step == 8


def test_a_best_one_that_was_not_kept_is_said(tmp_path):
    call, task = {"eval_every": 4, "directory": tmp_path / "run"}, rising()
    fit(task, sgd(0.01), 8, **call)
    with pytest.warns(RuntimeWarning, match=r"after 4 updates, was not kept .* after 8"):
        result = fit(task, sgd(0.01), 12, keep="best", **call)
    assert result.best_step == 8


SCRIPT = """
import logging

class Error:
    def __init__(self, target):
        self.target = target

    def __call__(self, p, batch):
        return (batch["x"] @ p - self.target) ** 2

error = Error(1.0)

def loss(p, state, batch, key):
    logging.getLogger(__name__)
    return error(p, batch).mean(), (state, {})
"""


def test_a_script_is_the_same_when_it_is_imported():
    spaces = [{"__name__": "as_script"}, {"__name__": "imported"}]
    for space in spaces:
        exec(SCRIPT, space)
    as_script, imported = (digest(space["loss"]) for space in spaces)
    assert as_script == imported
    spaces[1]["error"].target = 2.0
    assert digest(spaces[1]["loss"]) != imported
