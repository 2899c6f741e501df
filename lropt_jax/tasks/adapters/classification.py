"""A classification problem out of a Flax module and a data set."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.tasks.adapters.base import Network
from lropt_jax.tasks.adapters.registry import adapt
from lropt_jax.tasks.arrays import shape_of
from lropt_jax.tasks.task import SPLITS, Task


def classification_task(model: Any, data: Any, batch_size: int = 128) -> Task:
    r"""A `Task` of classifying: softmax cross-entropy with whole-number labels.

    $$\ell = \frac1{|B|} \sum_{(x, y) \in B} -\log \mathrm{softmax}(f_\theta(x))_y$$

    Evaluation gives "loss" and "accuracy" of each example. Dropout draws from the step's key;
    batch-norm statistics, and every other mutable collection, live in the task's `model_state`.

    Args:
      model: a Flax linen module, whose argument `train`, `training`, `is_training`,
        `deterministic` or `use_running_average` is found and set; or, for nnx, a function
        `rngs -> module` (an nnx class of one argument is one). It must return logits of shape
        (batch, classes).
      data: a `Dataset`, or a dict or object with `train`, `valid` and `test`, each None or a dict
        with "x" of shape (N, ...) and whole-number "y" of shape (N,).
      batch_size: examples in a step's batch.

    Returns:
      The task. Tasks of equal modules share compiled programs.

    Raises:
      ValueError: for data of the wrong form, labels outside of the model's classes, a model whose
        output is not (batch, classes), or what `Task` refuses.
      TypeError: for a model that is neither of the two.
      ImportError: when Flax is not installed.

    Example:
      >>> from lropt_jax import classification_task, load_data
      >>> from lropt_jax.tasks.models import mlp
      >>> task = classification_task(mlp((100, 100, 10)), load_data("mnist1d"), batch_size=64)
      >>> task.steps_per_epoch
      54
    """

    given = data if isinstance(data, Mapping) else {n: getattr(data, n, None) for n in SPLITS}
    splits = {name: _checked(name, given.get(name)) for name in SPLITS}
    if splits["train"] is None:
        raise ValueError(
            'data must have a train split {"x": ..., "y": ...}, such as load_data returns, '
            f"got {type(data).__name__}"
        )
    network = adapt(model)
    x = splits["train"]["x"]
    example = shape_of((1, *x.shape[1:]), x.dtype)
    task = Task(
        init=_Init(network, example.shape, example.dtype.name),
        loss=_Loss(network),
        evaluate=_Evaluate(network),
        train=splits["train"],
        valid=splits["valid"],
        test=splits["test"],
        batch_size=batch_size,
    )
    _check_classes(network, task, example)
    return task


@dataclasses.dataclass(frozen=True)
class _Init:
    network: Network
    shape: tuple[int, ...]
    dtype: str

    def __call__(self, key: jax.Array) -> tuple[Any, Any]:
        return self.network.init(_typed(key), jnp.zeros(self.shape, self.dtype))


@dataclasses.dataclass(frozen=True)
class _Loss:
    network: Network

    def __call__(
        self, params: Any, model_state: Any, batch: Any, key: jax.Array
    ) -> tuple[jax.Array, tuple[Any, dict[str, Any]]]:
        logits, model_state = self.network.apply(params, model_state, batch["x"], _typed(key))
        return cross_entropy(logits, batch["y"]).mean(), (model_state, {})


@dataclasses.dataclass(frozen=True)
class _Evaluate:
    network: Network

    def __call__(self, params: Any, model_state: Any, batch: Any) -> dict[str, jax.Array]:
        logits, _ = self.network.apply(params, model_state, batch["x"], None)
        right = jnp.argmax(logits, axis=-1) == batch["y"]
        loss = cross_entropy(logits, batch["y"])
        return {"loss": loss, "accuracy": right.astype(loss.dtype)}


def cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Softmax cross-entropy of each example, at least in float32.

    Args:
      logits: shape (batch, classes).
      labels: whole numbers in [0, classes), shape (batch,).
    """
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    # A select, not an index: the gradient of a gather is a scatter, which is slow on a CPU.
    hit = labels[:, None] == jnp.arange(logits.shape[-1])[None, :]
    loss: jax.Array = -jnp.sum(jnp.where(hit, jax.nn.log_softmax(logits), 0), axis=-1)
    return loss


def _typed(key: Any) -> Any:
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key
    return jax.random.wrap_key_data(key)


def _checked(name: str, split: Any) -> dict[str, Any] | None:
    if split is None:
        return None
    if not isinstance(split, Mapping) or set(split) != {"x", "y"}:
        got = sorted(split) if isinstance(split, Mapping) else type(split).__name__
        raise ValueError(f'{name} must be a dict of "x" and "y", got {got}')
    x, y = (v if hasattr(v, "dtype") else np.asarray(v) for v in (split["x"], split["y"]))
    if y.ndim != 1 or not jnp.issubdtype(y.dtype, jnp.integer):
        raise ValueError(
            f"y of {name} must be whole-number labels of shape (N,), got {y.dtype} of shape "
            f"{y.shape}"
        )
    if x.ndim < 2:
        raise ValueError(f"x of {name} must have shape (N, ...), got {x.shape}")
    return {"x": x, "y": y}


def _check_classes(network: Network, task: Task, example: Any) -> None:
    def logits(key: jax.Array, x: jax.Array) -> jax.Array:
        params, state = network.init(key, x)
        return network.apply(params, state, x, None)[0]

    try:
        out = jax.eval_shape(logits, jax.random.key(0), example)
    except Exception as error:
        raise ValueError(f"the model fails on inputs of shape {example.shape}: {error}") from error
    if getattr(out, "ndim", None) != 2 or out.shape[0] != 1:
        got = getattr(out, "shape", type(out).__name__)
        raise ValueError(
            "the model must return logits of shape (batch, classes); for inputs of shape "
            f"{example.shape} it returned {got}"
        )
    for name, split in task.splits.items():
        low, high = int(split["y"].min()), int(split["y"].max())
        if low < 0 or high >= out.shape[1]:
            raise ValueError(
                f"labels must be in [0, {out.shape[1]}), the model's number of classes; those of "
                f"{name} go from {low} to {high}"
            )
