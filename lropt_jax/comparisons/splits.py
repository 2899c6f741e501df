"""The data's own chance: other splits of the same examples, and the test set's standard error."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.tasks.sources import Source
from lropt_jax.tasks.task import SPLITS, Task

DEVIATION = "_deviation"


def redrawn(task: Task, number: int, key: np.ndarray) -> Task:
    """The task with its examples dealt out anew to splits of the same sizes.

    Args:
      task: a task with all three splits.
      number: which split; 0 is the task's own.
      key: words that decide the draw.
    """
    if number == 0:
        return task
    if any(isinstance(split, Source) for split in task.splits.values()):
        raise ValueError("splits must be 1 for data that stay on the host: they are not dealt anew")
    sizes = [task.num_examples[name] for name in SPLITS]
    order = np.random.default_rng([*map(int, key.ravel()), number]).permutation(sum(sizes))
    dealt = np.split(order, np.cumsum(sizes)[:-1])
    pool = jax.tree.map(
        lambda *parts: np.concatenate([np.asarray(p) for p in parts]), *task.splits.values()
    )
    fresh = {
        name: jax.tree.map(lambda a, rows=rows: a[rows], pool)
        for name, rows in zip(SPLITS, dealt, strict=True)
    }
    return dataclasses.replace(task, **fresh)


def with_deviations(task: Task | Callable[..., Task]) -> Task | Callable[..., Task]:
    """The task with a further metric for each of its own: the standard deviation over examples."""
    if not isinstance(task, Task):
        make = task

        @functools.wraps(make)
        def made(**names: Any) -> Task:
            return _deviating(make(**names))

        return made
    return _deviating(task)


def without_deviations(values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the task itself measures."""
    return {name: value for name, value in values.items() if not name.endswith(DEVIATION)}


def without_deviating(task: Task) -> Task:
    """The task as it was before `with_deviations`."""
    parts = {"evaluate": task.evaluate, "summarize": task.summarize}
    own = {
        name: part.args[0]
        for name, part in parts.items()
        if isinstance(part, functools.partial) and part.func in (_with_squares, _with_roots)
    }
    return dataclasses.replace(task, **own)


def _deviating(task: Task) -> Task:
    return dataclasses.replace(
        task,
        evaluate=functools.partial(_with_squares, task.evaluate),
        summarize=functools.partial(_with_roots, task.summarize),
    )


def _with_squares(
    evaluate: Callable[..., Mapping[str, Any]], params: Any, model_state: Any, batch: Any
) -> dict[str, Any]:
    metrics = dict(evaluate(params, model_state, batch))
    squares = {f"_squared_{k}": _float(v) ** 2 for k, v in metrics.items() if not k.startswith("_")}
    return {**metrics, **squares}


def _with_roots(
    summarize: Callable[..., Mapping[str, Any]] | None, means: dict[str, Any]
) -> dict[str, Any]:
    own = {k: v for k, v in means.items() if not k.startswith("_squared_")}
    further = {} if summarize is None else dict(summarize(own))
    for name in means:
        if (squared := f"_squared_{name}") in means:
            variance = means[squared] - _float(means[name]) ** 2
            further[name + DEVIATION] = jnp.sqrt(jnp.maximum(variance, 0))
    return further


def _float(x: Any) -> Any:
    return jnp.asarray(x).astype(jnp.result_type(float))
