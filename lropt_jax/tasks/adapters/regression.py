"""A regression problem out of a model and a data set."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from lropt_jax.tasks.adapters.objectives import SquaredError, center_of
from lropt_jax.tasks.adapters.supervised import Augment, Splits, supervised_task
from lropt_jax.tasks.task import Task


def regression_task(
    model: Any,
    data: Any,
    batch_size: int = 128,
    *,
    augment: Augment | None = None,
    dtype: Any = None,
) -> Task:
    r"""A `Task` of predicting numbers: mean squared error.

    $$\ell = \frac1{|B|} \sum_{(x, y) \in B} \frac1m \|f_\theta(x) - y\|^2$$

    with $m$ numbers in a target. The metrics are "loss" and "r2", the coefficient of
    determination over a whole split, which is the mean over the $m$ where there are several
    (scikit-learn's `r2_score`). Scale targets to a deviation near 1, or the best learning rates
    lie far from where one looks for them.

    When to use:
      To give a net and numbers to predict to `fit`, `sweep`, `compare`, `tune`. Start with
      targets of mean 0 and spread 1. Another loss than the squared error needs a `Task`.

    Args:
      model, batch_size, dtype: as in `classification_task`.
      data: as in `classification_task`; y holds numbers, of shape (N, ...), and the model's
        outputs have that shape. A last axis of 1 that only one of them has is no difference.
      augment: as in `classification_task`.

    Returns:
      The task.

    Raises:
      ValueError: for data of the wrong form, targets that are not finite, outputs and targets of
        different shapes, or what `Task` refuses.
      TypeError: for a model that is none of those that are known.
      ImportError: when the model's library is not installed.

    See also:
      `classification_task`, `Task`.

    Example:
      >>> from lropt_jax import Dataset, adam, fit, regression_task
      >>> from lropt_jax.tasks.models import mlp
      >>> from sklearn.datasets import load_diabetes
      >>> x, y = load_diabetes(return_X_y=True, scaled=True)
      >>> data = Dataset.of(20 * x, (y - y.mean()) / y.std(), valid=0.2, test=0.2)
      >>> task = regression_task(mlp((32, 1)), data, batch_size=32)
      >>> result = fit(task, adam(3e-3), steps=200)
      >>> bool(result.history["valid_r2"][-1] > 0.3)
      True
    """
    return supervised_task(model, data, _objective, batch_size, augment, dtype)


def _objective(outputs: tuple[int, ...], splits: Splits) -> tuple[SquaredError, Splits]:
    y = splits["train"]["y"]
    wanted = (1, *y.shape[1:])
    if outputs not in (wanted, (*wanted, 1)) and (*outputs, 1) != wanted:
        raise ValueError(_misfit(outputs, y))
    splits = {name: {**split, "y": _targets(name, split["y"])} for name, split in splits.items()}
    objective = SquaredError(center_of(splits["train"]["y"]))
    for name, split in splits.items():
        objective.check(name, split["y"], outputs)
    return objective, splits


def _misfit(outputs: tuple[int, ...], y: Any) -> str:
    wanted = ", ".join(["batch", *map(str, y.shape[1:])])
    return (
        f"the model must return outputs of shape ({wanted}) for targets y of shape {y.shape}; for "
        f"a batch of one it returned {outputs}"
    )


def _targets(name: str, y: Any) -> Any:
    if y.dtype == bool:
        raise ValueError(f"y of {name} holds yes and no: classification_task is for these")
    if jnp.issubdtype(y.dtype, jnp.integer):
        y = y.astype(np.float32)
    if not jnp.issubdtype(y.dtype, jnp.floating):
        raise ValueError(f"y of {name} must hold real numbers, got {y.dtype}")
    return y
