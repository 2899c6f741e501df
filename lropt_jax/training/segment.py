"""The one training segment: what happens in a lane between two visits of the host.

The number of updates is data, so one compilation serves segments of every length.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lropt_jax.hyperparameters.access import set_hyperparams
from lropt_jax.hyperparameters.updating import updated
from lropt_jax.schedules.counts import float_type
from lropt_jax.tasks.task import summarized
from lropt_jax.training.lanes import Feed, Lane

EVALUATION_CHUNK = 1000  # examples that one evaluation step holds at once


def segment(
    loss_and_grad: Callable[[Any, Any, Any, Any], Any], tx: optax.GradientTransformation
) -> Callable[[Lane, Feed, Any, Any], tuple[Lane, dict[str, jax.Array]]]:
    """The function that trains a lane: `(lane, feed, data, updates) -> (lane, metrics)`.

    `updates`, at most the feed's capacity, may be a tracer. Metrics, the loss among them, are
    recorded for each update, (capacity,); entries from `updates` on are 0 and mean nothing.

    Args:
      loss_and_grad: gives the value and the gradient of a loss as in `Task`.
      tx: the transformation that updates the parameters.
    """

    def gradient(lane: Lane, data: Any, indices: Any, key: Any, model_state: Any) -> Any:
        batch = jax.tree.map(lambda a: a.at[indices].get(mode="promise_in_bounds"), data)
        (value, (model_state, metrics)), grads = loss_and_grad(lane.params, model_state, batch, key)
        return {"loss": value, **metrics}, grads, model_state

    def step_gradient(lane: Lane, feed: Feed, data: Any, i: Any) -> Any:
        key = jax.random.fold_in(lane.key, lane.step)
        if feed.starts is None:
            return gradient(lane, data, feed.order[i], key, lane.model_state)

        first, last = feed.starts[i], feed.starts[i + 1]

        def micro(j: Any, total: Any) -> Any:
            metrics, grads, state = gradient(
                lane, data, feed.order[j], jax.random.fold_in(key, j - first), total[2]
            )
            return (*jax.tree.map(_added, total[:2], (metrics, grads)), state)

        of_metrics, of_grads, _ = jax.eval_shape(
            gradient, lane, data, feed.order[0], key, lane.model_state
        )
        zeros = (
            jax.tree.map(lambda s: jnp.zeros(s.shape, float_type()), of_metrics),
            jax.tree.map(lambda s: jnp.zeros(s.shape, _sum_type(s.dtype)), of_grads),
        )
        *sums, state = jax.lax.fori_loop(first, last, micro, (*zeros, lane.model_state))
        metrics, grads = jax.tree.map(lambda x: x / (last - first).astype(x.dtype), sums)
        grads = jax.tree.map(lambda g, s: g.astype(s.dtype), grads, of_grads)
        return metrics, grads, state

    def update(lane: Lane, feed: Feed, data: Any, i: Any) -> tuple[Lane, Any]:
        if feed.settings:
            now = {name: values[i] for name, values in feed.settings.items()}
            lane = lane._replace(opt_state=set_hyperparams(lane.opt_state, **now))
        metrics, grads, model_state = step_gradient(lane, feed, data, i)
        updates, opt_state = updated(tx, grads, lane.opt_state, lane.params, metrics["loss"])
        params = optax.apply_updates(lane.params, updates)
        return Lane(params, model_state, opt_state, lane.key, lane.step + 1), metrics

    def run(lane: Lane, feed: Feed, data: Any, updates: Any) -> tuple[Lane, Any]:
        capacity = len(feed.order) if feed.starts is None else len(feed.starts) - 1
        _, shapes = jax.eval_shape(update, lane, feed, data, 0)
        records = jax.tree.map(lambda s: jnp.zeros((capacity,), float_type()), shapes)

        def body(i: Any, carry: Any) -> Any:
            lane, records = carry
            lane, metrics = update(lane, feed, data, i)
            records = jax.tree.map(lambda r, m: r.at[i].set(m.astype(r.dtype)), records, metrics)
            return lane, records

        lane, records = jax.lax.fori_loop(0, updates, body, (lane, records))
        return lane, records

    return run


def _added(total: Any, x: Any) -> Any:
    return total + x.astype(total.dtype)


def _sum_type(dtype: Any) -> Any:
    """Of a sum of gradients: what half precision rounds away is the small ones."""
    half = jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4
    return jnp.float32 if half else dtype


def evaluation(
    evaluate: Callable[[Any, Any, Any], Mapping[str, Any]],
    summarize: Callable[[dict[str, Any]], Mapping[str, Any]] | None = None,
) -> Callable[[Any, Any, Any], dict[str, jax.Array]]:
    """The function that evaluates a model: `(params, model_state, split) -> metrics by name`.

    Args:
      evaluate, summarize: as in `Task`.
    """

    sums = totals(evaluate)

    def run(params: Any, model_state: Any, split: Any) -> dict[str, jax.Array]:
        examples = len(jax.tree.leaves(split)[0])
        chunks, rest = divmod(examples, EVALUATION_CHUNK)
        parts = []
        if chunks > 1 or (chunks and rest):
            whole = jax.tree.map(
                lambda a: a[: chunks * EVALUATION_CHUNK].reshape(chunks, -1, *a.shape[1:]), split
            )
            mapped = jax.lax.map(functools.partial(sums, params, model_state), whole)
            parts.append({name: jnp.sum(v, axis=0) for name, v in mapped.items()})
            split = jax.tree.map(lambda a: a[chunks * EVALUATION_CHUNK :], split)
        if not parts or rest:
            parts.append(sums(params, model_state, split))
        means = jax.tree.map(lambda *x: sum(x) / examples, *parts)
        return shown_metrics(means, summarize)

    return run


def totals(
    evaluate: Callable[[Any, Any, Any], Mapping[str, Any]],
) -> Callable[[Any, Any, Any], dict[str, jax.Array]]:
    """The function that sums what `evaluate` says of each example of a batch, by name."""

    def run(params: Any, model_state: Any, batch: Any) -> dict[str, jax.Array]:
        values = evaluate(params, model_state, batch)
        return {name: jnp.sum(v.astype(float_type()), axis=0) for name, v in values.items()}

    return run


def shown_metrics(means: Mapping[str, Any], summarize: Any) -> dict[str, jax.Array]:
    """A split's metrics, each of the default float type."""
    metrics = summarized(means, summarize)
    return {name: jnp.asarray(value, float_type()) for name, value in metrics.items()}
