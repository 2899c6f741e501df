"""What makes a lane diverged, and what does not."""

from __future__ import annotations

import functools
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lropt_jax import Task, fit, sgd, successive_halving, sweep

STEPS, EVERY = 20, 5
QUIET = {"steps": STEPS, "eval_every": EVERY, "progress": False, "strategy": "vmap", "width": 4}


def _residual(w, batch):
    return batch["x"] @ w - batch["y"]


def _split(seed):
    random = np.random.default_rng(seed)
    x = random.normal(size=(32, 3)).astype(np.float32)
    y = (x @ np.arange(3)).astype(np.float32)
    y[3] = 0.0
    return {"x": x, "y": y}


def _init(key):
    return 0.1 * jax.random.normal(key, (3,)), jnp.zeros(())  # the state counts the updates


def _loss(w, seen, batch, key):
    return jnp.mean(_residual(w, batch) ** 2), (seen + 1, {})


def _plain(w, seen, batch):
    return {"loss": _residual(w, batch) ** 2}


def _relative(w, seen, batch):  # infinite: one target is zero
    return {**_plain(w, seen, batch), "mape": jnp.abs(_residual(w, batch) / batch["y"])}


def _undefined_early(w, seen, batch):
    shown = jnp.where(seen > EVERY, 1.0, jnp.nan)
    return {**_plain(w, seen, batch), "recall": jnp.full(batch["y"].shape, shown)}


def _overflows_early(w, seen, batch):
    shown = jnp.exp(jnp.where(seen > EVERY, 1.0, 1000.0))
    return {**_plain(w, seen, batch), "perplexity": jnp.full(batch["y"].shape, shown)}


@functools.cache
def _task(evaluate=_plain, loss=_loss):
    return Task(_init, loss, evaluate, _split(0), _split(1), _split(2), batch_size=8)


@pytest.mark.parametrize(
    ("evaluate", "metric", "finite"),
    [
        (_relative, "mape", [False] * 4),
        (_undefined_early, "recall", [False, True, True, True]),
        (_overflows_early, "perplexity", [False, True, True, True]),
    ],
)
def test_another_metric_that_is_not_finite_is_just_that_value(evaluate, metric, finite):
    space = {"learning_rate": [0.01, 0.1]}
    plain = sweep(_task(), sgd, space, seeds=2, **QUIET, final_splits=("test",))
    result = sweep(_task(evaluate), sgd, space, seeds=2, **QUIET, final_splits=("test",))
    assert (result.status == "finished").all()
    assert (result.diverged_at == -1).all()
    for name in plain.values:
        np.testing.assert_array_equal(result.values[name], plain.values[name])
    np.testing.assert_array_equal(result.final["test_loss"], plain.final["test_loss"])
    shown = np.isfinite(result.values[f"valid_{metric}"])
    np.testing.assert_array_equal(shown, np.broadcast_to(finite, shown.shape))
    assert result.best()["learning_rate"] == plain.best()["learning_rate"] == 0.1
    single = fit(_task(evaluate), sgd(0.1), STEPS, eval_every=EVERY).history
    assert np.isfinite(single["train_loss"]).all()
    assert np.isfinite(single["valid_loss"]).all()
    np.testing.assert_array_equal(np.isfinite(single[f"valid_{metric}"]), finite)


def test_a_finisher_without_a_finite_value_is_never_the_best_and_is_pruned_first():
    def evaluate(w, seen, batch):
        far = jnp.abs(w - jnp.arange(3.0)).max()
        score = jnp.where(far < 0.5, -jnp.inf, far)  # would win, were it a number
        return {**_plain(w, seen, batch), "error": jnp.full(batch["y"].shape, score)}

    space = {"learning_rate": [0.3, 0.01, 0.001]}
    result = sweep(_task(evaluate), sgd, space, **QUIET)
    assert np.isneginf(result.last("valid_error")[0, 0])
    assert (result.status == "finished").all()
    assert result.best("valid_error", "min")["learning_rate"] == 0.01
    rule = successive_halving(eta=3, min_steps=15, metric="valid_error")
    pruned = sweep(_task(evaluate), sgd, space, **QUIET, prune=rule)
    assert pruned.status[:, 0].tolist() == ["pruned", "finished", "pruned"]


def test_parameters_that_are_not_finite_diverge_though_the_losses_hide_it():
    def blind(w, seen, batch, key):  # the gradient of an infinite kind, the loss without a trace
        return jnp.float32(1.0) + 0 * jnp.sum(w[:2]), (seen + 1, {})

    def unmoved(w, seen, batch):
        return {"loss": jnp.ones(batch["y"].shape)}

    def exploding(learning_rate):
        def update(updates, state, params=None, **extra):
            return jax.tree.map(lambda u: u.at[2].set(learning_rate * 1e30), updates), state

        return sgd(0.0)._replace(update=update)

    result = sweep(
        _task(unmoved, blind), exploding, {"learning_rate": [1e-30, 1e8]}, **QUIET
    )  # fmt: skip
    assert result.status[:, 0].tolist() == ["finished", "diverged"]
    assert result.diverged_at[:, 0].tolist() == [-1, EVERY]  # seen at the first evaluation
    assert np.isnan(result.values["valid_loss"][1]).all()
    assert np.isfinite(result.values["valid_loss"][0]).all()


@pytest.mark.slow
def test_a_healthy_training_passes_the_search_for_nans():
    code = """
import jax, numpy as np
jax.config.update("jax_num_cpu_devices", 2)
from lropt_jax import adam, compare, fit, log_grid, lr_range_test, reduce_on_plateau, sgd, sweep
from tests.problems import noisy_regression
task = noisy_regression()
fit(task, sgd(reduce_on_plateau(0.1)), 10, eval_every=3)
for strategy in ("vmap", "map", "map:2", "shared"):
    result = sweep(task, sgd, {"learning_rate": [.01, .02, .03]}, steps=10, eval_every=4,
                   width=4, strategy=strategy, progress=False, final_splits=("test",))
    assert (result.status == "finished").all()
sweep(task, lambda rate: sgd(reduce_on_plateau(rate)), {"rate": [.01, .02, .03]}, steps=10,
      eval_every=4, width=4, progress=False)
lr_range_test(task, adam, start=1e-4, end=1e-2, steps=20, seeds=2)
compare(task, {"sgd": (sgd, {"learning_rate": log_grid(1e-3, 1e-1, 3)})}, steps=10, seeds=2,
        tuning_seeds=1, progress=False).table()
try:
    fit(task, sgd(1e20), 10)
except FloatingPointError:
    print("stopped at theirs")
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False,
        env={**os.environ, "JAX_DEBUG_NANS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "stopped at theirs"
