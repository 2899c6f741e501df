"""The gradient noise scale: at which batch size the noise of a gradient is as large as itself."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.training.watching.objective import Gradient, in_groups

AT_ONCE = 2**22  # numbers of gradients that are held at a time


def deviations(
    gradient: Gradient, params: Any, model_state: Any, data: Any, size: int
) -> dict[str, jax.Array]:
    """How the gradients of groups of examples differ, in two passes.

    Args:
      gradient: of the mean loss of some examples.
      params, model_state: where.
      data: the examples.
      size: of a group.

    Returns:
      The square of the mean gradient, and the mean square of the groups' distances from it.
    """
    groups = in_groups(data, size)
    parameters = sum(x.size for x in jax.tree.leaves(params))
    count = len(jax.tree.leaves(groups)[0])
    at_once = int(np.clip(AT_ONCE // max(parameters, 1), 1, count))

    def of_group(group: Any) -> Any:
        return gradient(params, model_state, group)

    mean = jax.tree.map(lambda x: x / count, _summed(of_group, groups, at_once))

    def distance(group: Any) -> Any:
        return _square(jax.tree.map(jnp.subtract, of_group(group), mean))

    return {"signal": _square(mean), "noise": _summed(distance, groups, at_once) / count}


def _summed(function: Any, groups: Any, at_once: int) -> Any:
    """The sum of a function over groups, some of them at once."""
    whole, rest = divmod(len(jax.tree.leaves(groups)[0]), at_once)

    def block(groups: Any) -> Any:
        return jax.tree.map(lambda x: x.sum(0), jax.vmap(function)(groups))

    blocks = in_groups(groups, at_once)
    start = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(block, groups))
    total, _ = jax.lax.scan(
        lambda total, part: (jax.tree.map(jnp.add, total, block(part)), None), start, blocks
    )
    if rest:
        last = jax.tree.map(lambda x: x[whole * at_once :], groups)
        total = jax.tree.map(jnp.add, total, block(last))
    return total


def _square(tree: Any) -> jax.Array:
    leaves = [jnp.sum(x.real**2 + x.imag**2) for x in jax.tree.leaves(tree)]
    return sum(leaves, jnp.zeros(()))


def noise_scale(
    signal: np.ndarray, noise: np.ndarray, size: int, looked_at: int, examples: int
) -> np.ndarray:
    r"""$\mathrm{tr}\,\Sigma / |G|^2$, in examples.

    $\Sigma$ is the covariance of the gradients of single training examples, $G$ their mean.
    Where only some of the examples are looked at, both are estimated without bias: the square of
    a sample's mean is too large by the noise that is left in it.

    Args:
      signal, noise: see `deviations`, (width,).
      size: of a group.
      looked_at: examples.
      examples: of the training set.

    Returns:
      Infinity where the gradient drowns in the noise, NaN for a single group.
    """
    groups = looked_at // size
    if groups < 2:
        return np.full_like(signal, np.nan)
    spread = noise * (size * groups / (groups - 1))  # of single examples, over n - 1
    used = groups * size
    with np.errstate(divide="ignore", invalid="ignore"):
        square = signal - spread / used * (1 - used / examples)
        scale = spread * ((examples - 1) / examples) / square
    return np.where(square > 0, scale, np.where(spread > 0, np.inf, np.nan))
