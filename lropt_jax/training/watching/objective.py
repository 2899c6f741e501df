"""Of which function are curvature and noise? The training loss without what is random in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.interpreters import partial_eval

from lropt_jax.tasks.examples import batch_of
from lropt_jax.tasks.task import Task
from lropt_jax.training.fast_forms import value_and_grad

# The loss as it is; the task's evaluation where the loss is random; the loss with one key where
# the evaluation has no "loss".
AS_IT_IS, AS_EVALUATED, WITH_ONE_KEY = "as it is", "as evaluated", "with one key"

Gradient = Callable[[Any, Any, Any], Any]  # of (params, model_state, batch)


def form_of(task: Task) -> str:
    """Which of the forms of its loss is watched of a task; found on shapes."""
    batch, key = batch_of(task.train, task.batch_size), jax.random.key(0)
    params, model_state = jax.eval_shape(task.init, key)
    if not _depends_on_key(task.loss, params, model_state, batch, key):
        return AS_IT_IS
    return AS_EVALUATED if "loss" in task.metric_names else WITH_ONE_KEY


def _depends_on_key(loss: Any, params: Any, model_state: Any, batch: Any, key: Any) -> bool:
    def value(key: Any, params: Any, model_state: Any, batch: Any) -> Any:
        return loss(params, model_state, batch, key)[0]

    traced = jax.make_jaxpr(value)(key, params, model_state, batch)
    _, used = partial_eval.dce_jaxpr(traced.jaxpr, [True])
    return bool(used[0])


def gradient(loss: Any, evaluate: Any, form: str, fast: bool) -> Gradient:
    """The gradient of the mean loss of a batch.

    Args:
      loss, evaluate: as in `Task`.
      form: see `form_of`.
      fast: whether convolutions are rewritten.
    """

    def objective(params: Any, model_state: Any, batch: Any) -> tuple[Any, Any]:
        if form == AS_EVALUATED:
            return jnp.mean(evaluate(params, model_state, batch)["loss"]), ()
        return loss(params, model_state, batch, jax.random.key(0))[0], ()

    differentiated = (value_and_grad if fast else _value_and_grad)(objective)
    return lambda params, model_state, batch: differentiated(params, model_state, batch)[1]


def _value_and_grad(function: Any) -> Any:
    return jax.value_and_grad(function, has_aux=True)


def over_batches(gradient: Gradient, batch_size: int) -> Gradient:
    """The mean gradient of any number of examples, in batches; a last partial one has its share.

    So it takes the memory of a training step, and batch statistics are those of a batch.
    """

    def mean(params: Any, model_state: Any, data: Any) -> Any:
        count = len(jax.tree.leaves(data)[0])
        whole, rest = divmod(count, batch_size)
        if whole == 0 or (whole == 1 and not rest):
            return gradient(params, model_state, data)

        def add(total: Any, batch: Any) -> tuple[Any, None]:
            return jax.tree.map(jnp.add, total, gradient(params, model_state, batch)), None

        batches = in_groups(data, batch_size)
        total, _ = jax.lax.scan(add, jax.tree.map(jnp.zeros_like, params), batches)
        if rest:
            last = jax.tree.map(lambda x: x[whole * batch_size :], data)
            share, part = rest / batch_size, gradient(params, model_state, last)
            total = jax.tree.map(lambda t, g: t + share * g, total, part)
        return jax.tree.map(lambda t: t * (batch_size / count), total)

    return mean


def in_groups(data: Any, size: int) -> Any:
    """The examples as (groups, size, ...), without the last ones that fill no group."""

    def grouped(x: Any) -> Any:
        return x[: len(x) // size * size].reshape(-1, size, *x.shape[1:])

    return jax.tree.map(grouped, data)


def in_float32(params: Any) -> Any:
    """The parameters with half-precision ones in float32: differences of curvature need it."""

    def lifted(x: Any) -> Any:
        dtype = jnp.result_type(x)
        return x.astype(jnp.float32) if dtype.itemsize < 4 else x

    return jax.tree.map(lifted, params)
