"""Methods that divide by a root of squared gradients: AdaGrad, Adadelta."""

from __future__ import annotations

from typing import Any, NamedTuple

import optax

from lropt_jax.hyperparameters.building import tunable
from lropt_jax.optimizers.base import (
    Hyperparameter,
    Mask,
    above_zero,
    average,
    leafwise,
    magnitudes_like,
    root,
    square,
    weights,
)
from lropt_jax.optimizers.descent import descend


class ScaleByAdagradState(NamedTuple):
    """The state of `scale_by_adagrad`.

    Attributes:
      sum_of_squares: $G$.
    """

    sum_of_squares: optax.Updates


def scale_by_adagrad(
    eps: Any = 1e-10, initial_accumulator_value: Any = 0.0, factor: Any = 1.0
) -> optax.GradientTransformation:
    r"""$G_t = G_{t-1} + g_t^2$, direction $g_t / (\sqrt{G_t} + \epsilon)$.

    Args:
      eps: $\epsilon$, outside the root (`optax.scale_by_rss` has it inside).
      initial_accumulator_value: $G_0$.
      factor: multiplies the direction; in the numerator it costs less than afterwards.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import scale_by_adagrad
      >>> tx = scale_by_adagrad()
      >>> params, grads = jnp.array([1.0, -2.0]), jnp.array([0.5, -0.5])
      >>> step, _ = tx.update(grads, tx.init(params), params)
      >>> [round(float(x), 4) for x in step]
      [1.0, -1.0]
    """

    def init(params: Any) -> ScaleByAdagradState:
        return ScaleByAdagradState(magnitudes_like(params, initial_accumulator_value))

    def update(
        updates: Any, state: ScaleByAdagradState, params: Any = None
    ) -> tuple[Any, ScaleByAdagradState]:
        del params

        def equation(g: Any, total: Any, factor: Any, eps: Any) -> tuple[Any, Any]:
            total = total + square(g)
            return factor * g / (root(total) + eps), total

        trees = [updates, state.sum_of_squares]
        direction, total = leafwise(equation, trees, [factor, above_zero(eps)], 2)
        return direction, ScaleByAdagradState(total)

    return optax.GradientTransformation(init, update)


@tunable
def adagrad(
    learning_rate: Hyperparameter,
    eps: Hyperparameter = 1e-10,
    initial_accumulator_value: Hyperparameter = 0.0,
    *,
    l2: Hyperparameter | None = None,
    weight_decay: Hyperparameter | None = None,
    mask: Mask = None,
    independent_decay: bool = False,
) -> optax.GradientTransformation:
    r"""AdaGrad. Equal to `torch.optim.Adagrad` (whose `lr_decay` is a schedule here).

    .. math::
        G_t = G_{t-1} + g_t^2, \qquad p_t = p_{t-1} - \eta_t \frac{g_t}{\sqrt{G_t} + \epsilon}

    Optax starts at $G_0 = 0.1$ and has $\epsilon$ inside the root: no setting of one equals the
    other exactly.

    Args:
      learning_rate: $\eta$; PyTorch's default is 0.01.
      eps: $\epsilon$, PyTorch's default.
      initial_accumulator_value: $G_0 \ge 0$, read when the state is made; PyTorch's default.
      l2: coupled decay, added to the gradient (PyTorch's `weight_decay`), or None.
      weight_decay: decoupled decay, times the learning rate, or None.
      mask: which leaves decay, for both: a pytree of bools or a callable of params.
      independent_decay: whether decoupled decay is not multiplied by the learning rate.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Duchi, Hazan and Singer 2011, Adaptive subgradient methods, JMLR 12.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import adagrad
      >>> tx = adagrad(0.5)
      >>> params = jnp.array([1.0, 2.0])
      >>> updates, _ = tx.update(jnp.array([3.0, -0.1]), tx.init(params), params)
      >>> [round(float(u), 6) for u in updates]
      [-0.5, 0.5]
    """
    return descend(
        scale_by_adagrad(eps, initial_accumulator_value, -learning_rate),
        learning_rate,
        l2=l2,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
        scaled=True,
    )


class ScaleByAdadeltaState(NamedTuple):
    r"""The state of `scale_by_adadelta`.

    Attributes:
      squared_gradient: $E[g^2]$.
      squared_step: $E[\Delta^2]$.
    """

    squared_gradient: optax.Updates
    squared_step: optax.Updates


def scale_by_adadelta(rho: Any = 0.9, eps: Any = 1e-6) -> optax.GradientTransformation:
    r"""Direction $\Delta_t = \sqrt{E[\Delta^2]_{t-1} + \epsilon}/\sqrt{E[g^2]_t + \epsilon}\,g_t$.

    Args:
      rho: the decay of both averages.
      eps: $\epsilon$, inside both roots.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import scale_by_adadelta
      >>> tx = scale_by_adadelta()
      >>> params, grads = jnp.array([1.0, -2.0]), jnp.array([0.5, -0.5])
      >>> step, _ = tx.update(grads, tx.init(params), params)
      >>> [round(float(x), 4) for x in step]
      [0.0032, -0.0032]
    """

    def init(params: Any) -> ScaleByAdadeltaState:
        return ScaleByAdadeltaState(magnitudes_like(params), magnitudes_like(params))

    def update(
        updates: Any, state: ScaleByAdadeltaState, params: Any = None
    ) -> tuple[Any, ScaleByAdadeltaState]:
        del params

        def equation(g: Any, g2: Any, step2: Any, rho: Any, eps: Any) -> tuple[Any, Any, Any]:
            g2 = average(g2, square(g), rho)
            step = root(step2 + eps) / root(g2 + eps) * g
            return step, g2, average(step2, square(step), rho)

        numbers = [weights(rho), above_zero(eps)]
        direction, *averages = leafwise(equation, [updates, *state], numbers, 3)
        return direction, ScaleByAdadeltaState(*averages)

    return optax.GradientTransformation(init, update)


@tunable
def adadelta(
    learning_rate: Hyperparameter = 1.0,
    rho: Hyperparameter = 0.9,
    eps: Hyperparameter = 1e-6,
    *,
    l2: Hyperparameter | None = None,
    weight_decay: Hyperparameter | None = None,
    mask: Mask = None,
    independent_decay: bool = False,
) -> optax.GradientTransformation:
    r"""Adadelta. Equal to `torch.optim.Adadelta`.

    .. math::
        E[g^2]_t &= \rho E[g^2]_{t-1} + (1 - \rho) g_t^2 \\
        \Delta_t &= \frac{\sqrt{E[\Delta^2]_{t-1} + \epsilon}}{\sqrt{E[g^2]_t + \epsilon}}\, g_t,
        \qquad p_t = p_{t-1} - \eta_t \Delta_t \\
        E[\Delta^2]_t &= \rho E[\Delta^2]_{t-1} + (1 - \rho) \Delta_t^2

    Args:
      learning_rate: $\eta$; the paper has none, which is 1.
      rho: $\rho$ in [0, 1), PyTorch's default; the paper's is 0.95.
      eps: $\epsilon$, the paper's and PyTorch's default.
      l2: coupled decay, added to the gradient (PyTorch's `weight_decay`), or None.
      weight_decay: decoupled decay, times the learning rate, or None.
      mask: which leaves decay, for both: a pytree of bools or a callable of params.
      independent_decay: whether decoupled decay is not multiplied by the learning rate.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Zeiler 2012, ADADELTA, arXiv:1212.5701.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import adadelta
      >>> tx = adadelta(eps=1e-2, rho=0.0)
      >>> params = jnp.array(1.0)
      >>> updates, _ = tx.update(jnp.array(0.3), tx.init(params), params)
      >>> round(float(updates), 4)  # -0.1 * 0.3 / sqrt(0.1)
      -0.0949
    """
    return descend(
        scale_by_adadelta(rho, eps),
        learning_rate,
        l2=l2,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
    )
