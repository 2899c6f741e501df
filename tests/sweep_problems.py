"""A small problem for the tests of sweeps, and how results are compared."""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax import Task, adam, linear, sgd, sweep
from lropt_jax.sweeps.keeping.store import Directory

EXAMPLES, FEATURES = 48, 4


def logits(params: Any, x: Any) -> Any:
    return jnp.tanh(x @ params["w1"] + params["b1"][None]) @ params["w2"]


def init(key: Any) -> Any:
    first, second = jax.random.split(key)
    return {
        "w1": jax.random.normal(first, (FEATURES, 8)) / 2,
        "b1": jnp.zeros(8),
        "w2": jax.random.normal(second, (8, 2)) / 3,
    }, {}


def per_example(params: Any, batch: Any) -> Any:
    chosen = jax.nn.log_softmax(logits(params, batch["x"]))
    return -jnp.where(batch["y"][:, None] == jnp.arange(2)[None], chosen, 0).sum(axis=1)


def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    return per_example(params, batch).mean(), (state, {})


def evaluate(params: Any, state: Any, batch: Any) -> Any:
    right = jnp.argmax(logits(params, batch["x"]), axis=1) == batch["y"]
    return {"loss": per_example(params, batch), "accuracy": right.astype(jnp.float32)}


def _split(seed: int, examples: int) -> Any:
    random = np.random.default_rng(seed)
    x = random.normal(size=(examples, FEATURES)).astype(np.float32)
    y = (x[:, 0] * x[:, 1] + 0.3 * random.normal(size=examples) > 0).astype(np.int32)
    return {"x": x, "y": y}


@functools.cache
def task(valid: bool = True, batch_size: int = 8) -> Task:
    return Task(
        init,
        loss,
        evaluate,
        _split(0, EXAMPLES),
        _split(1, 32) if valid else None,
        _split(2, 32),
        batch_size,
    )


def decayed(peak: Any) -> Any:
    return adam(linear(peak, 0.0, 40))


# Adam's steps are as long as its rate whatever the gradient, so a huge one overflows at once.
def fragile(learning_rate: Any) -> Any:
    return sgd(learning_rate, l2=1.0)


DIVERGES = 1e20

QUIET: dict[str, Any] = {"steps": 20, "eval_every": 5, "progress": False, "width": 4}


def run(space: Any, optimizer: Any = adam, **arguments: Any) -> Any:
    return sweep(task(), optimizer, space, **{**QUIET, "strategy": "vmap", **arguments})


def assert_same(first: Any, second: Any, trials: Any = None, others: Any = None) -> None:
    """The trials of one result are bit-identical to (others of) another's."""
    trials = range(len(first.trials)) if trials is None else trials
    others = trials if others is None else others
    assert set(first.values) == set(second.values)
    for name, values in first.values.items():
        np.testing.assert_array_equal(values[list(trials)], second.values[name][list(others)], name)
    np.testing.assert_array_equal(first.diverged_at[list(trials)], second.diverged_at[list(others)])


class Stopped(Exception):
    """Stands for a kill."""


def stop_after(monkeypatch: Any, saves: int) -> None:
    """The process dies after so many saves."""
    real, left = Directory.save, [saves]

    def save(self: Directory, name: str, snapshot: Any) -> None:
        if not left[0]:
            raise Stopped
        left[0] -= 1
        real(self, name, snapshot)

    monkeypatch.setattr(Directory, "save", save)
