"""Methods that divide by a root of squared gradients: AdaGrad, Adadelta, RMSprop."""

from __future__ import annotations

from typing import Any, NamedTuple

import optax

from lropt_jax.hyperparameters import tunable
from lropt_jax.optimizers.base import (
    Hyperparameter,
    Mask,
    above_zero,
    average,
    leafwise,
    magnitudes_like,
    moments_like,
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


class ScaleByRmspropState(NamedTuple):
    """The state of `scale_by_rmsprop`.

    Attributes:
      nu: the average of squared gradients, or their variance when centered.
      mu: the average gradient when centered, else None.
      velocity: the momentum buffer, or None without momentum.
    """

    nu: optax.Updates
    mu: optax.Updates | None
    velocity: optax.Updates | None


def scale_by_rmsprop(
    decay: Any = 0.99,
    eps: Any = 1e-8,
    momentum: Any = None,
    centered: bool = False,
    factor: Any = 1.0,
) -> optax.GradientTransformation:
    r"""Direction $g_t / (\sqrt{v_t} + \epsilon)$, then momentum. See `rmsprop`.

    Args:
      decay: the decay of the averages.
      eps: $\epsilon$, outside the root.
      momentum: of the buffer that the scaled gradient goes through, or None.
      centered: whether to divide by the standard deviation.
      factor: multiplies the direction; in the numerator it costs less than afterwards.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import scale_by_rmsprop
      >>> tx = scale_by_rmsprop()
      >>> params, grads = jnp.array([1.0, -2.0]), jnp.array([0.5, -0.5])
      >>> step, _ = tx.update(grads, tx.init(params), params)
      >>> [round(float(x), 4) for x in step]
      [10.0, -10.0]
    """

    def init(params: Any) -> ScaleByRmspropState:
        return ScaleByRmspropState(
            nu=magnitudes_like(params),
            mu=moments_like(params) if centered else None,
            velocity=None if momentum is None else moments_like(params),
        )

    def update(
        updates: Any, state: ScaleByRmspropState, params: Any = None
    ) -> tuple[Any, ScaleByRmspropState]:
        del params

        def plain(g: Any, v: Any, decay: Any, factor: Any, eps: Any) -> tuple[Any, Any]:
            v = average(v, square(g), decay)
            return factor * g / (root(v) + eps), v

        def variance(g: Any, v: Any, m: Any, decay: Any, factor: Any, eps: Any) -> tuple[Any, ...]:
            # E[g²] - E[g]² by its own recursion: never negative, never infinity less infinity.
            v = average(v, decay[0] * square(g - m), decay)
            m = average(m, g, decay)
            return factor * g / (root(v) + eps), v, m

        def accumulate(d: Any, buffer: Any, momentum: Any, factor: Any) -> tuple[Any, Any]:
            buffer = momentum * buffer + d
            return factor * buffer, buffer

        # The buffer holds directions without the factor, so that one that changes acts at once.
        numbers = [weights(decay), factor if momentum is None else 1.0, above_zero(eps)]
        mu, velocity = None, None
        if centered:
            direction, nu, mu = leafwise(variance, [updates, state.nu, state.mu], numbers, 3)
        else:
            direction, nu = leafwise(plain, [updates, state.nu], numbers, 2)
        if momentum is not None:
            trees = [direction, state.velocity]
            direction, velocity = leafwise(accumulate, trees, [momentum, factor], 2)
        return direction, ScaleByRmspropState(nu, mu, velocity)

    return optax.GradientTransformation(init, update)


@tunable
def rmsprop(
    learning_rate: Hyperparameter,
    decay: Hyperparameter = 0.99,
    eps: Hyperparameter = 1e-8,
    momentum: Hyperparameter | None = None,
    centered: bool = False,
    *,
    l2: Hyperparameter | None = None,
    weight_decay: Hyperparameter | None = None,
    mask: Mask = None,
    independent_decay: bool = False,
) -> optax.GradientTransformation:
    r"""RMSprop. Equal to `torch.optim.RMSprop`.

    .. math::
        v_t = \alpha v_{t-1} + (1 - \alpha) g_t^2, \qquad
        d_t = \frac{g_t}{\sqrt{v_t} + \epsilon}, \qquad
        b_t = \mu b_{t-1} + d_t, \qquad p_t = p_{t-1} - \eta_t b_t

    Centered, $v_t - m_t^2$ with the average gradient $m_t$ stands under the root. Optax has
    $\epsilon$ inside the root by default, and the learning rate inside the momentum buffer,
    which differs under a schedule.

    Args:
      learning_rate: $\eta$; PyTorch's default is 0.01.
      decay: $\alpha$ in [0, 1), PyTorch's default; Hinton's is 0.9.
      eps: $\epsilon$, outside the root, PyTorch's default.
      momentum: $\mu$ in [0, 1), or None for none.
      centered: whether to divide by the standard deviation (Graves 2013).
      l2: coupled decay, added to the gradient (PyTorch's `weight_decay`), or None.
      weight_decay: decoupled decay, times the learning rate, or None.
      mask: which leaves decay, for both: a pytree of bools or a callable of params.
      independent_decay: whether decoupled decay is not multiplied by the learning rate.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Tieleman and Hinton 2012, Neural networks for machine learning, lecture 6.5; Graves 2013,
      arXiv:1308.0850 (centered).

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import rmsprop
      >>> tx = rmsprop(0.5, decay=0.75)
      >>> params = jnp.array(1.0)
      >>> updates, _ = tx.update(jnp.array(3.0), tx.init(params), params)
      >>> round(float(updates), 5)
      -1.0
    """
    return descend(
        scale_by_rmsprop(decay, eps, momentum, centered, -learning_rate),
        learning_rate,
        l2=l2,
        weight_decay=weight_decay,
        mask=mask,
        independent_decay=independent_decay,
        scaled=True,
    )
