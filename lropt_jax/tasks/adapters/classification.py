"""A classification problem out of a model and a data set."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from lropt_jax.tasks.adapters.objectives import Sigmoid, Softmax
from lropt_jax.tasks.adapters.supervised import Augment, Splits, supervised_task
from lropt_jax.tasks.sources import Some
from lropt_jax.tasks.task import Task


def classification_task(
    model: Any,
    data: Any,
    batch_size: int = 128,
    *,
    augment: Augment | None = None,
    dtype: Any = None,
    class_weights: Sequence[float] | Mapping[int, float] | str | None = None,
    multilabel: bool | None = None,
) -> Task:
    r"""A `Task` of classifying: softmax cross-entropy with whole-number labels.

    $$\ell = \frac1{|B|} \sum_{(x, y) \in B} -\log \mathrm{softmax}(f_\theta(x))_y$$

    What is classified follows from the shapes of the labels and of the model's outputs:

    | y | outputs | what | metrics |
    |---|---|---|---|
    | (N,) whole numbers | (batch, classes) | one class for each example | "loss", "accuracy" |
    | (N, ...) whole numbers | (batch, ..., classes) | one for each position | the same |
    | (N, labels) of 0 and 1 | (batch, labels) | each label yes or no: sigmoid | with "f1" |
    | (N,) of 0 and 1 | (batch,) or (batch, 1) | yes or no: sigmoid | with "f1" |

    Labels may stand in a column, (N, 1), as a table has them.
    Losses are means over positions and labels, too; "f1" is over all labels of a split together.
    Dropout draws from the step's key; batch-norm statistics, and whatever else a model carries
    along, live in the task's `model_state`.

    When to use:
      To give a net and labelled data to `fit`, `sweep`, `compare`, `tune`. Start with
      `load_data("digits")` and `mlp((64, 10))`, which train in a second. A loss of your own
      needs a `Task`.

    Args:
      model: one of

        - a Flax linen module, whose argument `train`, `training`, `is_training`, `deterministic`
          or `use_running_average` is found and set;
        - for nnx, a function `rngs -> module` (an nnx class of one argument is one);
        - an Equinox module of one example, which is partitioned and vmapped over the batch, with
          `key`, state (batch-norm's) and `inference` seen to. From a function of `key` each seed
          has its own weights; a module that is made already starts every seed from its own;
        - a pair `(init, apply)`: `init(key, x) -> params`, `apply(params, x) -> outputs`, with
          `state` and `key` (or `rng`) where `apply` names them so, as Haiku does.
      data: a `Dataset`, or a mapping or object with `train`, `valid` and `test`, each None, a dict
        of "x" and "y", or `(x, y)`; or one `(x, y)`, which is all for training
        (`Dataset.of(x, y)` splits it). x has shape (N, ...), or is a mapping of such arrays. A
        `numpy.memmap`, or a split whose examples are read when they are needed, stays on the
        host (see `Task`); its labels are checked as they are read.
      batch_size: examples in a step's batch.
      augment: `augment(batch, key) -> batch`, a pure function of JAX that is applied to training
        batches before the model. It may turn labels into distributions over the classes, floats
        of shape (batch, ..., classes), as mixing examples does.
      dtype: the float type that the model computes in, jnp.bfloat16 say; parameters, their
        gradients, the model's state and the loss stay in theirs (mixed precision). None leaves
        it to the model.
      class_weights: of each class in the loss, which is the weighted mean then, as in PyTorch;
        a sequence, a mapping from class to weight (1 for others), or "balanced": inverse to the
        class's share of the training labels. "accuracy" stays unweighted.
      multilabel: whether a matrix y of 0 and 1 says yes or no for each label, or one class in
        each row (one-hot). Needed only where every row has exactly one 1.

    Returns:
      The task. Tasks of equal modules share compiled programs.

    Raises:
      ValueError: for data of the wrong form, labels outside of the model's classes, outputs and
        labels that do not fit each other, or what `Task` refuses.
      TypeError: for a model that is none of these.
      ImportError: when the model's library is not installed.

    See also:
      `regression_task`, `language_model_task`, `Task`, `load_data`.

    Example:
      >>> from lropt_jax import classification_task, load_data
      >>> from lropt_jax.tasks.models import mlp
      >>> task = classification_task(mlp((100, 100, 10)), load_data("mnist1d"), batch_size=64)
      >>> task.steps_per_epoch
      54

      Arrays of one's own, an Equinox module, and signals that are shifted at random.

      >>> import equinox, jax
      >>> from lropt_jax import Dataset, adamw, fit
      >>> from sklearn.datasets import load_breast_cancer
      >>> x, y = load_breast_cancer(return_X_y=True)
      >>> def noisy(batch, key):
      ...     return batch | {"x": batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)}
      >>> task = classification_task(
      ...     lambda key: equinox.nn.MLP(30, 2, 32, 1, key=key),
      ...     Dataset.of((x - x.mean(0)) / x.std(0), y, valid=0.2, test=0.2),
      ...     batch_size=32,
      ...     augment=noisy,
      ... )
      >>> result = fit(task, adamw(1e-2), steps=100)
      >>> bool(result.history["valid_accuracy"][-1] > 0.9)
      True
    """
    objective = functools.partial(_objective, class_weights=class_weights, multilabel=multilabel)
    return supervised_task(model, data, objective, batch_size, augment, dtype)


def _objective(
    outputs: tuple[int, ...], splits: Splits, class_weights: Any, multilabel: bool | None
) -> tuple[Softmax | Sigmoid, Splits]:
    y = splits["train"]["y"]
    labels = (1, *y.shape[1:])
    if multilabel is not True and outputs[:-1] in _without_column(labels) and outputs[-1] > 1:
        whole = {name: _whole(name, split) for name, split in splits.items()}
        for name, split in whole.items():
            Softmax().check(name, split["y"], outputs)
        return Softmax(_weights(class_weights, splits["train"], outputs[-1])), whole
    if outputs not in (labels, (*labels, 1)):
        raise ValueError(_misfit(outputs, y))
    for name, split in splits.items():
        Sigmoid().check(name, split["y"], outputs)
    rows = {name: _is_one_hot(split["y"]) for name, split in splits.items()}
    if multilabel is None and len(outputs) > 1 and outputs[-1] > 1 and all(rows.values()):
        raise ValueError(
            "every row of y has exactly one 1: give labels y.argmax(-1) or multilabel=False where "
            "that is the class, multilabel=True where it could be more than one"
        )
    if multilabel is False:
        if not all(rows.values()):
            raise ValueError("multilabel=False needs whole-number labels or one 1 in each row of y")
        if any(isinstance(split, Some) for split in splits.values()):
            raise ValueError(
                "y that stays on the host must hold labels, it is not turned into them"
            )
        splits = {n: {**s, "y": np.asarray(s["y"]).argmax(-1)} for n, s in splits.items()}
        return Softmax(_weights(class_weights, splits["train"], outputs[-1])), splits
    if class_weights is not None:
        raise ValueError(
            "class_weights are for labels of one class each; for labels of 0 and 1 there are none"
        )
    return Sigmoid(), {name: _as_floats(split) for name, split in splits.items()}


def _without_column(labels: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The shape of one example's labels, and that without a last axis of 1, as a table has it."""
    return (labels, labels[:-1]) if len(labels) > 1 and labels[-1] == 1 else (labels,)


def _misfit(outputs: tuple[int, ...], y: Any) -> str:
    shape = ", ".join(["batch", *map(str, y.shape[1:])])
    wanted = f"(batch, classes) for y of shape {y.shape}" if y.ndim == 1 else (
        f"({shape}, classes) or ({shape}) for y of train of shape {y.shape}"
    )  # fmt: skip
    return (
        f"the model must return logits of shape {wanted}; for a batch of one it returned {outputs}"
    )


def _whole(name: str, split: Any) -> Any:
    """A split whose labels are whole numbers; yes and no are 1 and 0."""
    y = split["y"]
    if y.dtype == bool:
        return {**split, "y": y.astype(np.int32)}
    if jnp.issubdtype(y.dtype, jnp.floating) and (missing := int(np.isnan(y).sum())):
        raise ValueError(
            f"y of {name} must be whole-number labels, {missing} of {y.size} are missing (NaN): "
            "leave these examples out"
        )
    if not jnp.issubdtype(y.dtype, jnp.integer):
        whole = jnp.issubdtype(y.dtype, jnp.floating) and bool((y == np.round(y)).all())
        hint = "y.astype(int) makes some of these" if whole else "regression_task is for numbers"
        raise ValueError(
            f"y of {name} must be whole-number labels, got {y.dtype} of shape {y.shape}; {hint}"
        )
    return split


def _as_floats(split: Any) -> Any:
    """A split with its labels as floats."""
    return {**split, "y": split["y"].astype(np.float32)}


def _is_one_hot(y: Any) -> bool:
    return bool(y.ndim > 1 and (y.sum(axis=-1) == 1).all())


def _weights(given: Any, split: Any, classes: int) -> tuple[float, ...] | None:
    if given is None:
        return None
    if isinstance(given, str):
        if given != "balanced":
            raise ValueError(f'class_weights must be weights or "balanced", got {given!r}')
        if isinstance(split, Some):
            raise ValueError("class_weights must be weights for labels that stay on the host")
        counts = np.bincount(np.asarray(split["y"]).ravel(), minlength=classes)
        there = np.count_nonzero(counts)
        weights = np.where(counts, counts.sum() / (there * np.maximum(counts, 1)), 0.0)
    elif isinstance(given, Mapping):
        if not set(given) <= set(range(classes)):
            raise ValueError(f"class_weights must name classes in [0, {classes}), got {given!r}")
        weights = np.array([given.get(c, 1.0) for c in range(classes)], float)
    else:
        weights = np.asarray(given, float)
    if weights.shape != (classes,) or not np.all(np.isfinite(weights) & (weights >= 0)):
        raise ValueError(
            f"class_weights must be {classes} finite numbers >= 0, one a class, got {given!r}"
        )
    if not weights.any():
        raise ValueError("class_weights must not all be 0")
    return tuple(weights.tolist())
