"""Problems that are made out of a formula: a quadratic with noise, classes of unequal sizes."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.tasks.task import Task


def noisy_quadratic(seed: int = 0) -> Task:
    r"""A quadratic of 1,000 curvatures $1/i$ with the noise of one example: the answer is known.

    $$\ell(\theta) = \tfrac12 \sum_i \frac{(\theta_i - 1)^2}{i} + \sum_i \frac{\xi_i
    \theta_i}{\sqrt{i}}, \quad \xi \sim N(0, 1)$$

    begun at 0 and 2 in turns (Zhang et al. 2019, arXiv:1907.04164, whose minimum lies at 0, where
    weight decay leads by itself). The noise is drawn from each step's key. By "loss", which is the
    exact risk, without noise; the splits hold nothing.

    25 us a step.

    Args:
      seed: moves the start away from the minimum by that many hundredths, so that seeds differ.
    """
    curvature = (1 / np.arange(1, 1001)).astype(np.float32)
    spread = np.sqrt(curvature)
    start = (1 + np.resize([-1, 1], 1000) * (1 + 0.01 * seed)).astype(np.float32)

    def risk(x: Any) -> Any:
        return 0.5 * jnp.sum(curvature * (x - 1) ** 2)

    def loss(x: Any, state: Any, batch: Any, key: Any) -> Any:
        noise = spread * jax.random.normal(key, x.shape)
        return risk(x) + noise @ x, (state, {})

    def evaluate(x: Any, state: Any, batch: Any) -> Any:
        return {"loss": jnp.full(len(batch["x"]), risk(x))}

    nothing = {"x": np.zeros((1, 1), np.float32)}
    return Task(
        init=lambda key: (jnp.asarray(start), {}),
        loss=loss,
        evaluate=evaluate,
        train=nothing,
        valid=nothing,
        test=nothing,
        batch_size=1,
    )


def heavy_tails(seed: int = 0) -> Task:
    """Linear softmax on classes of 2 to 32 examples, whole batches: Adam's case.

    Gradient descent learns rare classes last (Kunstner et al. 2024, arXiv:2402.19449). What is
    asked is how low the training "loss" gets: all three splits are the training set, 160 examples.

    60 us a step.

    Args:
      seed: of the inputs.
    """
    task = imbalanced(5, seed, balanced=False)
    return dataclasses.replace(task, valid=task.train, test=task.train)


def labels(m: int) -> np.ndarray:
    """For i < m: 2^i classes of 2^(m-i) examples each."""
    sizes = np.repeat(2 ** (m - np.arange(m)), 2 ** np.arange(m))
    return np.repeat(np.arange(len(sizes)), sizes)


def imbalanced(m: int, seed: int, balanced: bool) -> Task:
    """The data of the paper: inputs that say nothing, but are enough to tell examples apart.

    Args:
      m: groups of classes, each with as many examples as the others.
      seed: of the inputs.
      balanced: whether the same inputs have labels that are all equally frequent instead.
    """
    y = labels(m)
    if balanced:
        y = np.arange(len(y)) % (y.max() + 1)
    groups = np.repeat(np.arange(m), 2**m)
    x = np.random.default_rng(seed).random((len(y), (m + 1) * 2**m), np.float32)
    classes = int(y.max()) + 1

    def losses(w: Any, batch: Any) -> Any:
        scores = jax.nn.log_softmax(batch["x"] @ w)
        return -jnp.take_along_axis(scores, batch["y"][:, None], 1)[:, 0]

    def loss(w: Any, state: Any, batch: Any, key: Any) -> Any:
        each = losses(w, batch)
        of_group = {
            name: jnp.sum(jnp.where(batch["group"] == g, each, 0.0)) / 2**m
            for name, g in (("commonest", 0), ("rarest", m - 1))
        }
        return each.mean(), (state, of_group)

    return Task(
        init=lambda key: (jnp.zeros((x.shape[1], classes)), {}),
        loss=loss,
        evaluate=lambda w, state, batch: {"loss": losses(w, batch)},
        train={"x": x, "y": y.astype(np.int32), "group": groups.astype(np.int32)},
        batch_size=len(y),
    )
