"""Quasi-hyperbolic momentum: QHM, QHAdam, QHAdamW."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.dynamics import answering, of_average
from lropt_jax.optimizers.adaptive_moments import ScaleByAdamState, answered
from lropt_jax.optimizers.base import (
    above_zero,
    average,
    leafwise,
    magnitudes_like,
    moments_like,
    root,
    scalar,
    square,
    weights,
)
from lropt_jax.optimizers.constructor import direction, optimizer
from lropt_jax.optimizers.descent import Decays, descend, times
from lropt_jax.validation import Averaging, Finite, NonNegative, UnitInterval


class ScaleByQhmState(NamedTuple):
    """The state of `scale_by_qhm`.

    Attributes:
      mu: $m$, the average gradient.
    """

    mu: optax.Updates


def _qhm(g: Any, m: Any, beta: Any, nu: Any) -> tuple[Any, Any]:
    m = average(m, g, beta)
    return average(m, g, nu), m


@direction
def scale_by_qhm(momentum: Averaging = 0.999, nu: Finite = 0.7) -> optax.GradientTransformation:
    r"""$m_t = \beta m_{t-1} + (1 - \beta) g_t$, direction $(1 - \nu) g_t + \nu m_t$.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `qhm` is all of it with numbers that can be
      set.

    Args:
      momentum: $\beta$.
      nu: $\nu$.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `qhm`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_qhm
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_qhm(0.9),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9835, -1.9669]
    """

    def init(params: Any) -> ScaleByQhmState:
        return ScaleByQhmState(moments_like(params))

    def update(
        updates: Any, state: ScaleByQhmState, params: Any = None
    ) -> tuple[Any, ScaleByQhmState]:
        del params

        numbers = [weights(momentum), weights(nu)]
        direction, mu = leafwise(_qhm, [updates, state.mu], numbers, 2)
        return direction, ScaleByQhmState(mu)

    return optax.GradientTransformation(init, update)


@optimizer()
def qhm(
    learning_rate: NonNegative,
    momentum: Averaging = 0.999,
    nu: Finite = 0.7,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Quasi-hyperbolic momentum. Equal to `qhoptim.pyt.QHM`.

    .. math::
        m_t = \beta m_{t-1} + (1 - \beta) g_t, \qquad
        p_t = p_{t-1} - \eta_t \left[(1 - \nu) g_t + \nu m_t\right]

    $\nu = 0$ is plain SGD and $\nu = 1$ is momentum, damped: coming from `sgd(lr, momentum=b)`,
    multiply the learning rate by $1/(1 - b)$. $\nu = \beta$ is Nesterov's, damped likewise.

    When to use:
      Where momentum is right but lags: part of the step is today's gradient. Start with
      momentum 0.999, nu 0.7, and ten times the rate of `sgd` with momentum 0.9 (its direction
      is an average, not a sum). Not on short trainings at these defaults, whose memory is a
      thousand updates: take 0.9 to 0.99.

    Args:
      learning_rate: $\eta$; the paper's rule of thumb is 1.
      momentum: $\beta$ in [0, 1), the paper's rule of thumb.
      nu: $\nu$, the paper's rule of thumb.
      l2: coupled decay, added to the gradient (qhoptim's "grad"), or None.
      weight_decay: decoupled decay, times the learning rate (qhoptim's "direct"), or None.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Ma and Yarats 2019, Quasi-hyperbolic momentum and Adam for deep learning, arXiv:1810.06801.

    See also:
      `sgd`, `qhadam`.

    Example:
      >>> from lropt_jax import cosine_decay, fit, problem, qhm
      >>> tx = qhm(cosine_decay(3.0, 400), momentum=0.95)  # ten times the rate of sgd's 0.3
      >>> model = fit(problem("digits_linear"), tx, steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = answering(
        scale_by_qhm(momentum, nu), lambda state: 1 - nu + nu * of_average(momentum)
    )
    return descend(times(direction, -learning_rate), learning_rate, **decays)


def _qhadam(g: Any, m: Any, v: Any, b1: Any, b2: Any, *numbers: Any) -> tuple[Any, Any, Any]:
    of_gradient, of_average, of_square, of_squares, eps = numbers
    m = average(m, g, b1)
    v = average(v, square(g), b2)
    top = of_gradient * g + of_average * m
    # The usual weight of the square is 0, the square of 1e30 infinite, and 0 times that NaN.
    bounded = jnp.minimum(square(g), np.finfo(v.dtype).max)
    return top / (root(of_square * bounded + of_squares * v) + eps), m, v


@direction
def scale_by_qhadam(
    b1: Averaging = 0.995,
    b2: Averaging = 0.999,
    nu1: Finite = 0.7,
    nu2: UnitInterval = 1.0,
    eps: NonNegative = 1e-8,
    factor: Finite = 1.0,
) -> optax.GradientTransformation:
    r"""Adam's direction with both moments mixed with the present. See `qhadam`.

    The state is Adam's.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `qhadam` is all of it with numbers that can be
      set.

    Args:
      b1: the decay of $m$.
      b2: the decay of $v$.
      nu1: the weight of $\hat m$ against the gradient.
      nu2: the weight of $\hat v$ against the squared gradient.
      eps: $\epsilon$.
      factor: multiplies the direction; in the weights of $g$ and $m$ it costs nothing.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `qhadam`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_qhadam
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_qhadam(),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9, -1.9]
    """

    def init(params: Any) -> ScaleByAdamState:
        return ScaleByAdamState(
            scalar(1.0), scalar(1.0), moments_like(params), magnitudes_like(params)
        )

    def update(
        updates: Any, state: ScaleByAdamState, params: Any = None
    ) -> tuple[Any, ScaleByAdamState]:
        del params
        b1_product, b2_product = state.b1_product * b1, state.b2_product * b2
        of_gradient, of_average = factor * (1 - nu1), factor * nu1 / (1 - b1_product)
        of_square, of_squares = 1 - nu2, nu2 / (1 - b2_product)

        numbers = [weights(b1), weights(b2), of_gradient, of_average]
        numbers += [of_square, of_squares, above_zero(eps)]
        direction, mu, nu = leafwise(_qhadam, [updates, state.mu, state.nu], numbers, 3)
        return direction, ScaleByAdamState(b1_product, b2_product, mu, nu)

    return optax.GradientTransformation(init, update)


def _answered(direction: optax.GradientTransformation, b1: Any, nu1: Any, eps: Any) -> Any:
    """QHAdam's direction that says how it meets a curvature; for any `nu2` divided as by Adam.

    Where the gradient changes its sign at each update and keeps its size, its square is the
    average one, so that their mixture is, too.
    """
    return answered(direction, b1, eps, lambda state: 1 - nu1 + nu1 * of_average(b1))


@optimizer()
def qhadam(
    learning_rate: NonNegative,
    b1: Averaging = 0.995,
    b2: Averaging = 0.999,
    nu1: Finite = 0.7,
    nu2: UnitInterval = 1.0,
    eps: NonNegative = 1e-8,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Quasi-hyperbolic Adam. Equal to `qhoptim.pyt.QHAdam`.

    .. math::
        p_t = p_{t-1} - \eta_t \frac{(1 - \nu_1) g_t + \nu_1 \hat m_t}
        {\sqrt{(1 - \nu_2) g_t^2 + \nu_2 \hat v_t} + \epsilon}

    with Adam's corrected moments; $\nu_1 = \nu_2 = 1$ is Adam.

    When to use:
      Where `adam` with a large `b1` is unstable. Start with Adam's rate, and lower `b1` to
      0.9 to 0.99 on trainings of a few thousand updates: the default averages over 200. Not a
      safe gain: tuned by its rate alone, `qhadamw` ended behind AdamW on three of four small
      nets (`lropt reproduce qhadam_early`).

    Args:
      learning_rate: $\eta$; qhoptim's default is 0.001.
      b1: $\beta_1$ in [0, 1), the paper's rule of thumb (qhoptim's default is 0.9).
      b2: $\beta_2$ in [0, 1), Adam's default.
      nu1: $\nu_1$, the paper's rule of thumb (qhoptim's default is 1).
      nu2: $\nu_2$ in [0, 1], the paper's rule of thumb.
      eps: $\epsilon$, outside the root, Adam's default.
      l2: coupled decay, added to the gradient (qhoptim's `weight_decay`), or None.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Ma and Yarats 2019, Quasi-hyperbolic momentum and Adam for deep learning, arXiv:1810.06801.

    See also:
      `qhadamw`, `adam`, `qhm`.

    Example:
      >>> from lropt_jax import cosine_decay, fit, problem, qhadam
      >>> tx = qhadam(cosine_decay(0.01, 400), b1=0.95)  # a short training
      >>> model = fit(problem("digits_linear"), tx, steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = _answered(scale_by_qhadam(b1, b2, nu1, nu2, eps, -learning_rate), b1, nu1, eps)
    return descend(direction, learning_rate, **decays)


@optimizer(weight_decay=1e-2)
def qhadamw(
    learning_rate: NonNegative,
    b1: Averaging = 0.995,
    b2: Averaging = 0.999,
    nu1: Finite = 0.7,
    nu2: UnitInterval = 1.0,
    eps: NonNegative = 1e-8,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Quasi-hyperbolic Adam with decoupled weight decay.

    `qhadam`'s step, and $-\eta_t \lambda p_{t-1}$, as in `qhoptim.pyt.QHAdamW`; or
    $-\lambda p_{t-1}$ with `independent_decay`, as in IPRally's port.

    When to use:
      Where `qhadam` is right and weights decay. Start with AdamW's rate and decay, and `b1`
      as for `qhadam`. Not on short trainings at the defaults, whose average is over 200
      updates.

    Args:
      learning_rate: $\eta$.
      b1: $\beta_1$ in [0, 1), the paper's rule of thumb.
      b2: $\beta_2$ in [0, 1), Adam's default.
      nu1: $\nu_1$, the weight of $\hat m$ against the gradient; the paper's rule of thumb.
      nu2: $\nu_2$ in [0, 1], the weight of $\hat v$ against the squared gradient; the paper's.
      eps: $\epsilon$, outside the root, Adam's default.
      weight_decay: $\lambda$; the default is that of `adamw`; None for none.

    Raises:
      ValueError: for a concrete number out of its range, or for missing params in `update`.

    Reference:
      Ma and Yarats 2019, arXiv:1810.06801; Loshchilov and Hutter 2019, arXiv:1711.05101.

    See also:
      `qhadam`, `adamw`, `no_bias_norm`.

    Example:
      >>> from lropt_jax import cosine_decay, fit, problem, qhadamw
      >>> tx = qhadamw(cosine_decay(0.01, 400), b1=0.95, weight_decay=0.05, mask="no_bias_norm")
      >>> model = fit(problem("digits_linear"), tx, steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = _answered(scale_by_qhadam(b1, b2, nu1, nu2, eps, -learning_rate), b1, nu1, eps)
    return descend(direction, learning_rate, **decays)
