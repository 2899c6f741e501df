"""One optimizer under several schedules, which are data: one program for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from lropt_jax.reproductions.tuned import Entries
from lropt_jax.schedules import (
    constant,
    cosine_decay,
    exponential_decay,
    inverse_sqrt,
    linear,
    one_cycle,
    warmup,
    warmup_stable_decay,
)

Shape = Callable[[Any, int], Any]

# Problems whose metric is a share of examples, so that points mean the same on all of them.
NETS = ("mnist1d_mlp", "mnist1d_batchnorm", "mnist5k_mlp", "docs_ngram")


def _staircase(peak: Any, steps: int) -> Any:
    return exponential_decay(peak, 0.95, max(1, steps // 50), staircase=True)


def _warm(peak: Any, steps: int) -> Any:
    return warmup(cosine_decay(peak, steps - steps // 10), steps // 10)


def _stable(peak: Any, steps: int) -> Any:
    warm, falling = steps // 20, steps // 5
    return warmup_stable_decay(peak, warm, steps - warm - falling, falling)


# By the peak and the number of updates; those that begin at 0 are warmed up by their own rule.
SHAPES: dict[str, Shape] = {
    "constant": lambda peak, steps: constant(peak),
    "staircase": _staircase,
    "cosine": lambda peak, steps: cosine_decay(peak, steps),
    "warm_cosine": _warm,
    "linear": lambda peak, steps: linear(peak, 0.0, steps),
    "one_cycle": lambda peak, steps: one_cycle(peak, steps),
    "wsd": _stable,
    "inverse_sqrt": lambda peak, steps: inverse_sqrt(peak, max(1, steps // 20)),
}


def select(schedules: Sequence[Callable[[Any], Any]], number: Any) -> Callable[[Any], Any]:
    """The schedule with this number, which is data."""

    def chosen(count: Any) -> Any:
        return jnp.stack([s(count) for s in schedules])[jnp.asarray(number, jnp.int32)]

    return chosen


def shaped(
    factory: Callable[..., Any],
    shapes: Mapping[str, Shape] | tuple[str, ...],
    rates: Any,
    steps: int,
    **fixed: Any,
) -> Entries:
    """Factories and spaces for `tuned`: an optimizer under schedules, each at its best rate.

    Args:
      factory: the optimizer's.
      shapes: schedules by name, of a peak and a number of updates; or names of `SHAPES`.
      rates: the grid of peaks.
      steps: updates of the training.
      **fixed: the optimizer's other arguments.
    """
    if not isinstance(shapes, Mapping):
        shapes = {name: SHAPES[name] for name in shapes}
    made = list(shapes.values())

    def scheduled(learning_rate: Any, shape: Any) -> Any:
        return factory(select([of(learning_rate, steps) for of in made], shape), **fixed)

    return {
        name: (scheduled, {"learning_rate": rates, "shape": number})
        for number, name in enumerate(shapes)
    }
