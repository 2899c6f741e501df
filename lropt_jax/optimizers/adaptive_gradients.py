"""Methods that divide by a root of squared gradients: AdaGrad, Adadelta."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import optax

from lropt_jax.hyperparameters.dynamics import answering
from lropt_jax.optimizers.base import (
    above_zero,
    average,
    leafwise,
    magnitudes_like,
    root,
    square,
    weights,
)
from lropt_jax.optimizers.constructor import direction, optimizer
from lropt_jax.optimizers.descent import Decays, descend, times
from lropt_jax.validation import Averaging, Finite, NonNegative


class ScaleByAdagradState(NamedTuple):
    """The state of `scale_by_adagrad`.

    Attributes:
      sum_of_squares: $G$.
    """

    sum_of_squares: optax.Updates


def _adagrad(g: Any, total: Any, factor: Any, eps: Any) -> tuple[Any, Any]:
    total = total + square(g)
    return factor * g / (root(total) + eps), total


@direction
def scale_by_adagrad(
    eps: NonNegative = 1e-10, initial_accumulator_value: NonNegative = 0.0, factor: Finite = 1.0
) -> optax.GradientTransformation:
    r"""$G_t = G_{t-1} + g_t^2$, direction $g_t / (\sqrt{G_t} + \epsilon)$.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `adagrad` is all of it with numbers that can be
      set.

    Args:
      eps: $\epsilon$, outside the root (`optax.scale_by_rss` has it inside).
      initial_accumulator_value: $G_0$.
      factor: multiplies the direction; in the numerator it costs less than afterwards.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `adagrad`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_adagrad
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_adagrad(),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9, -1.9]
    """

    def init(params: Any) -> ScaleByAdagradState:
        return ScaleByAdagradState(magnitudes_like(params, initial_accumulator_value))

    def update(
        updates: Any, state: ScaleByAdagradState, params: Any = None
    ) -> tuple[Any, ScaleByAdagradState]:
        del params

        trees = [updates, state.sum_of_squares]
        direction, total = leafwise(_adagrad, trees, [factor, above_zero(eps)], 2)
        return direction, ScaleByAdagradState(total)

    return optax.GradientTransformation(init, update)


@optimizer()
def adagrad(
    learning_rate: NonNegative,
    eps: NonNegative = 1e-10,
    initial_accumulator_value: NonNegative = 0.0,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""AdaGrad. Equal to `torch.optim.Adagrad` (whose `lr_decay` is a schedule here).

    .. math::
        G_t = G_{t-1} + g_t^2, \qquad p_t = p_{t-1} - \eta_t \frac{g_t}{\sqrt{G_t} + \epsilon}

    Optax starts at $G_0 = 0.1$ and has $\epsilon$ inside the root: no setting of one equals the
    other exactly.

    When to use:
      Sparse features, such as words in a linear model, and convex problems. Start with a rate
      of 0.01 to 0.1. Not for long trainings of deep nets: its sum of squares only grows, so
      the steps die out.

    Args:
      learning_rate: $\eta$; PyTorch's default is 0.01.
      eps: $\epsilon$, PyTorch's default.
      initial_accumulator_value: $G_0 \ge 0$, read when the state is made; PyTorch's default.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Duchi, Hazan and Singer 2011, Adaptive subgradient methods, JMLR 12.

    See also:
      `rmsprop` and `adam`, which forget old gradients, `adadelta`.

    Example:
      >>> from lropt_jax import adagrad, fit, problem
      >>> model = fit(problem("digits_linear"), adagrad(0.1), steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """

    def denominators(state: ScaleByAdagradState) -> Any:
        return jax.tree.map(lambda total: root(total) + eps, state.sum_of_squares)

    direction = scale_by_adagrad(eps, initial_accumulator_value, -learning_rate)
    direction = answering(direction, lambda state: 1.0, denominators)
    return descend(direction, learning_rate, **decays)


class ScaleByAdadeltaState(NamedTuple):
    r"""The state of `scale_by_adadelta`.

    Attributes:
      squared_gradient: $E[g^2]$.
      squared_step: $E[\Delta^2]$.
    """

    squared_gradient: optax.Updates
    squared_step: optax.Updates


def _adadelta(g: Any, g2: Any, step2: Any, rho: Any, eps: Any) -> tuple[Any, Any, Any]:
    g2 = average(g2, square(g), rho)
    step = root(step2 + eps) / root(g2 + eps) * g
    return step, g2, average(step2, square(step), rho)


@direction
def scale_by_adadelta(
    rho: Averaging = 0.9, eps: NonNegative = 1e-6
) -> optax.GradientTransformation:
    r"""Direction $\Delta_t = \sqrt{E[\Delta^2]_{t-1} + \epsilon}/\sqrt{E[g^2]_t + \epsilon}\,g_t$.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `adadelta` is all of it with numbers that can
      be set.

    Args:
      rho: the decay of both averages.
      eps: $\epsilon$, inside both roots.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `adadelta`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_adadelta
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_adadelta(),
      ...     optax.scale_by_learning_rate(1.0),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9968, -1.9968]
    """

    def init(params: Any) -> ScaleByAdadeltaState:
        return ScaleByAdadeltaState(magnitudes_like(params), magnitudes_like(params))

    def update(
        updates: Any, state: ScaleByAdadeltaState, params: Any = None
    ) -> tuple[Any, ScaleByAdadeltaState]:
        del params

        numbers = [weights(rho), above_zero(eps)]
        direction, *averages = leafwise(_adadelta, [updates, *state], numbers, 3)
        return direction, ScaleByAdadeltaState(*averages)

    return optax.GradientTransformation(init, update)


@optimizer()
def adadelta(
    learning_rate: NonNegative = 1.0,
    rho: Averaging = 0.9,
    eps: NonNegative = 1e-6,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Adadelta. Equal to `torch.optim.Adadelta`.

    .. math::
        E[g^2]_t &= \rho E[g^2]_{t-1} + (1 - \rho) g_t^2 \\
        \Delta_t &= \frac{\sqrt{E[\Delta^2]_{t-1} + \epsilon}}{\sqrt{E[g^2]_t + \epsilon}}\, g_t,
        \qquad p_t = p_{t-1} - \eta_t \Delta_t \\
        E[\Delta^2]_t &= \rho E[\Delta^2]_{t-1} + (1 - \rho) \Delta_t^2

    When to use:
      Where nobody can tune a rate: its steps have the units of the parameters. Start with 1.0
      and leave it there. Not for the best result: its steps begin at about sqrt(eps), which
      makes a slow start, and a tuned `adam` is most often ahead.

    Args:
      learning_rate: $\eta$; the paper has none, which is 1.
      rho: $\rho$ in [0, 1), PyTorch's default; the paper's is 0.95.
      eps: $\epsilon$, the paper's and PyTorch's default.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Zeiler 2012, ADADELTA, arXiv:1212.5701.

    See also:
      `adagrad`, `rmsprop`.

    Example:
      >>> from lropt_jax import adadelta, fit, problem
      >>> model = fit(problem("digits_linear"), adadelta(), steps=400)  # no rate to choose
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """

    def ratio(squared_gradient: Any, squared_step: Any) -> Any:
        return root(squared_gradient + eps) / above_zero(root(squared_step + eps))

    direction = answering(
        scale_by_adadelta(rho, eps), lambda state: 1.0, lambda state: jax.tree.map(ratio, *state)
    )
    return descend(times(direction, -learning_rate), learning_rate, **decays)
