"""Problems of statistical claims that have no name of their own."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from lropt_jax.tasks.adapters import classification_task
from lropt_jax.tasks.data import load_data
from lropt_jax.tasks.task import Task


def mnist5k_cnn(batch_size: int = 64) -> Task:
    """The convolutional net of the texts at a quarter of its width (8, 16, 64), on MNIST-5k."""
    from lropt_jax.tasks.models import cnn

    return classification_task(cnn(width=8), load_data("mnist5k"), batch_size)


def watched(task: Task) -> Task:
    """The same training, in which the test split is looked at along the way.

    Its validation split holds the examples of both: "loss" and "accuracy" are those of the
    validation examples, by which alone one may choose, "new_loss" and "new_accuracy" those of the
    test examples. What early stopping would have kept can so be read off a finished sweep.
    """
    count = len(task.valid["y"]), len(task.test["y"])
    valid = np.repeat(np.array([sum(count) / count[0], 0], np.float32), count)
    test = np.repeat(np.array([0, sum(count) / count[1]], np.float32), count)
    both = {k: np.concatenate([task.valid[k], task.test[k]]) for k in ("x", "y")}
    none = np.zeros(len(task.train["y"]), np.float32)

    def evaluate(params: Any, state: Any, batch: Any) -> dict[str, Any]:
        found = task.evaluate(params, state, batch)
        old = {name: batch["valid"] * value for name, value in found.items()}
        return {**old, **{f"new_{name}": batch["test"] * value for name, value in found.items()}}

    return dataclasses.replace(
        task,
        evaluate=evaluate,
        train={**task.train, "valid": none, "test": none},
        valid={**both, "valid": valid, "test": test},
        test=None,
    )
