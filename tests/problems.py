"""Small problems that tests share, so that their programs are compiled once."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax import Task

EXAMPLES, FEATURES, BATCH = 40, 3, 8


def _residual(params, batch):
    return batch["x"] @ params["w"] + params["b"] - batch["y"]


def _init(key):
    return {"w": 0.1 * jax.random.normal(key, (FEATURES,)), "b": jnp.zeros(())}, {}


def _loss(params, model_state, batch, key):
    return jnp.mean(_residual(params, batch) ** 2), (model_state, {})


def _evaluate(params, model_state, batch):
    residual = _residual(params, batch)
    return {"loss": residual**2, "accuracy": (abs(residual) < 0.5).astype(jnp.float32)}


def _noisy_loss(params, model_state, batch, key):
    noise = 0.1 * jax.random.normal(key, batch["y"].shape)
    loss = jnp.mean((_residual(params, batch) + noise) ** 2)
    return loss, ({"seen": model_state["seen"] + 1}, {"noise": noise.mean()})


@functools.cache
def regression(batch_size=BATCH):
    """Noisy linear regression with all three splits."""
    rng = np.random.default_rng(0)

    def split(n):
        x = rng.normal(size=(n, FEATURES)).astype(np.float32)
        y = x @ np.array([1.0, -2.0, 0.5]) + 0.3 + 0.3 * rng.normal(size=n)
        return {"x": x, "y": y.astype(np.float32)}

    splits = {"train": split(EXAMPLES), "valid": split(20), "test": split(30)}
    return Task(_init, _loss, _evaluate, **splits, batch_size=batch_size)


@functools.cache
def noisy_regression():
    """The same with a random loss, a model state and a metric of its own."""
    task = regression()

    def init(key):
        return _init(key)[0], {"seen": jnp.zeros((), jnp.int32)}

    return Task(init, _noisy_loss, _evaluate, task.train, task.valid, task.test, BATCH)
