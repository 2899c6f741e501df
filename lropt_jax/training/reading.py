"""Data that stay on the host: what a segment or an evaluation sees of them, read ahead of it."""

from __future__ import annotations

import functools
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.hyperparameters.evaluation import evaluation_params
from lropt_jax.schedules.counts import float_type
from lropt_jax.schedules.fingerprint import Fingerprint
from lropt_jax.tasks.sources import Source
from lropt_jax.training.fast_forms import without_gradient
from lropt_jax.training.lanes import Feed, Fetched
from lropt_jax.training.layout import Layout
from lropt_jax.training.segment import EVALUATION_CHUNK, shown_metrics, totals
from lropt_jax.training.visits import READ_BYTES, power_of_two


class Reader:
    """What reads the training examples of segments from a source.

    The arrays that it reads into never shrink, so that segments need few programs.

    Args:
      source: the training set.
      layout: on whose devices the examples are put.
    """

    def __init__(self, source: Source, layout: Layout):
        self._source, self._where, self._rows = source, layout.everywhere, 1

    def fetched(self, feed: Feed) -> Fetched:
        """The feed with its examples on their way, each once however many lanes see it."""
        numbers, order = np.unique(np.asarray(feed.order), return_inverse=True)
        self._rows = max(self._rows, power_of_two(len(numbers)))
        order = order.reshape(feed.order.shape).astype(np.int32)
        coming = self._source.ahead(numbers, self._rows, self._where)
        return Fetched(feed._replace(order=order), coming)


def fits(source: Source) -> bool:
    """Whether all of a source may lie on the devices for an evaluation."""
    return source.bytes * len(source) <= READ_BYTES


def evaluated_in_parts(
    evaluate: Fingerprint[Any],
    summarize: Fingerprint[Any],
    layout: Layout,
    fast: bool,
    source: Source,
    at: tuple[Any, Any],
    model_state: Any,
    rounds: Any,
) -> dict[str, jax.Array]:
    """The metrics of lanes over a source, of which a part is read while the last is evaluated.

    Args:
      evaluate, summarize: as in `Task`.
      layout: how the lanes lie on the machine.
      fast: whether convolutions are rewritten.
      source: the split.
      at: their parameters, and their optimizers' states where these are evaluated elsewhere.
      model_state: what else they carry.
      rounds: (width,), 0 for those that need no evaluation.
    """
    part_of = _totals_program(evaluate, layout, fast)
    size = max(1, min(EVALUATION_CHUNK, READ_BYTES // max(source.bytes, 1)))
    starts = range(0, len(source), size)
    spans = [np.arange(start, min(start + size, len(source))) for start in starts]
    coming = source.ahead(spans[0], len(spans[0]), layout.everywhere)
    sums: dict[str, Any] = {}
    for following in itertools.chain(spans[1:], [None]):
        found = part_of(at, model_state, coming.result(), rounds)
        if following is not None:
            coming = source.ahead(following, len(following), layout.everywhere)
        sums = {k: sums.get(k, 0) + np.asarray(v, np.float64) for k, v in found.items()}
    means = {k: jnp.asarray(v / len(source), float_type()) for k, v in sums.items()}
    return _summary_program(summarize)(means)  # type: ignore[no-any-return]


@functools.lru_cache(128)
def _totals_program(evaluate: Fingerprint[Any], layout: Layout, fast: bool) -> Any:
    axes = (True, True, False, True)
    sums = totals(without_gradient(evaluate.function) if fast else evaluate.function)

    def lane(at: tuple[Any, Any], model_state: Any, part: Any) -> dict[str, jax.Array]:
        params, opt_state = at
        return sums(evaluation_params(opt_state, params), model_state, part)

    return layout.compiled(layout.over_lanes(layout.resting(lane), axes), axes)


@functools.lru_cache(128)
def _summary_program(summarize: Fingerprint[Any]) -> Any:
    return jax.jit(jax.vmap(lambda means: shown_metrics(means, summarize.function)))
