"""A loss and an evaluation whose convolutions and poolings are fast inside a loop.

Everything here trains inside a compiled loop, where XLA:CPU is slow with both (see
`convolutions` and `poolings`). So what is traced is rewritten: once before it is differentiated,
and, for the gradients of the convolutions that are left to XLA, once more afterwards. A function
with a derivative of its own keeps it. Other compilers need none of this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax

from lropt_jax.training.config import config
from lropt_jax.training.convolutions import after_gradient, before_gradient
from lropt_jax.training.poolings import pooling
from lropt_jax.training.rewriting import Replacement, found, rewritten


def rewrites(devices: Sequence[Any]) -> bool:
    """Whether programs for these devices are rewritten."""
    return bool(config.rewrite_convolutions) and devices[0].platform == "cpu"


def value_and_grad(loss: Callable[..., Any]) -> Callable[..., Any]:
    """`jax.value_and_grad(loss, has_aux=True)` in fast forms; itself where nothing is to be done.

    Args:
      loss: as in `Task`.
    """
    plain = jax.value_and_grad(loss, has_aux=True)
    fast = rewritten(jax.value_and_grad(for_gradient(loss), has_aux=True), _last)
    return found(loss, _last, fast, plain)


def for_gradient(loss: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is to be differentiated, in such forms as are fast by themselves."""
    return rewritten(loss, _first)


def without_gradient(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is not to be differentiated any more, in fast forms."""
    return found(function, _last, rewritten(function, _last), function)


def _either(*replacements: Replacement) -> Replacement:
    def replacement(eqn: Any) -> Callable[..., Any] | None:
        return next(filter(None, (replace(eqn) for replace in replacements)), None)

    return replacement


_first = _either(before_gradient, pooling)
_last = _either(after_gradient, pooling)
