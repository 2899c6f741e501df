"""A small classifier, the same in NumPy arrays for every framework, for range tests."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax import Task
from lropt_jax.training.lanes import BatchOrder

START, END, STEPS = 1e-5, 10.0, 100
SEED, BATCH_SIZE, EXAMPLES, WIDTHS = 3, 16, 240, (12, 10, 4)
OPTIMIZERS: dict[str, dict[str, float]] = {"sgd": {}, "momentum": {"momentum": 0.9}, "adam": {}}


def data() -> dict[str, np.ndarray]:
    random = np.random.RandomState(0)
    centres = 2.0 * random.normal(size=(WIDTHS[-1], WIDTHS[0]))
    y = random.randint(WIDTHS[-1], size=EXAMPLES)
    x = centres[y] + random.normal(size=(EXAMPLES, WIDTHS[0]))
    return {"x": x.astype(np.float32), "y": y.astype(np.int32)}


def weights() -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel (in, out) and bias of each layer."""
    random = np.random.RandomState(1)
    return [
        (random.normal(size=(m, n)).astype(np.float32) / np.sqrt(m, dtype=np.float32),
         np.zeros(n, np.float32))
        for m, n in itertools.pairwise(WIDTHS)
    ]  # fmt: skip


def task() -> Task:
    def losses(params: Any, batch: Any) -> Any:
        hidden = batch["x"]
        for kernel, bias in params[:-1]:
            hidden = jax.nn.relu(hidden @ kernel + bias[None])
        kernel, bias = params[-1]
        logits = hidden @ kernel + bias[None]
        return optax.softmax_cross_entropy_with_integer_labels(logits, batch["y"])

    return Task(
        init=lambda key: (jax.tree.map(jnp.asarray, weights()), {}),
        loss=lambda p, state, batch, key: (losses(p, batch).mean(), (state, {})),
        evaluate=lambda p, state, batch: {"loss": losses(p, batch)},
        train=data(),
        valid={name: a[:50] for name, a in data().items()},
        batch_size=BATCH_SIZE,
    )


def lane_order(seed: int, examples: int, batch_size: int) -> BatchOrder:
    """The batches of the lane of a seed, for key 0."""
    _, key = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))
    return BatchOrder(np.asarray(jax.random.key_data(key)), examples, batch_size)
