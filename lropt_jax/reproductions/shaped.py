"""One optimizer under several schedules, which are data: one program for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from lropt_jax.comparisons.families import of_family
from lropt_jax.reproductions.tuned import Entries
from lropt_jax.schedules import exponential_decay, inverse_sqrt, warmup_stable_decay

Shape = Callable[[Any, int], Any]

# Problems whose metric is a share of examples, so that points mean the same on all of them.
NETS = ("mnist1d_mlp", "mnist1d_batchnorm", "mnist5k_mlp", "docs_ngram")


def _family(name: str, warm: float = 0.0) -> Shape:
    return lambda peak, steps: of_family(name, peak, steps, int(warm * steps))


def _staircase(peak: Any, steps: int) -> Any:
    return exponential_decay(peak, 0.95, max(1, steps // 50), staircase=True)


def _stable(peak: Any, steps: int) -> Any:
    warm, falling = steps // 20, steps // 5
    return warmup_stable_decay(peak, warm, steps - warm - falling, falling)


# By the peak and the number of updates.
SHAPES: dict[str, Shape] = {
    "constant": _family("constant"),
    "staircase": _staircase,
    "cosine": _family("cosine"),
    "warm_cosine": _family("cosine", 0.1),
    "linear": _family("linear"),
    "one_cycle": _family("one_cycle", 0.3),
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
