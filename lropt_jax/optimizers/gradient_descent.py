"""Stochastic gradient descent, with momentum and with decoupled decay."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import numpy as np
import optax

from lropt_jax.hyperparameters.dynamics import answering
from lropt_jax.optimizers.base import leafwise, moments_like
from lropt_jax.optimizers.constructor import direction, optimizer
from lropt_jax.optimizers.descent import Decays, descend, times
from lropt_jax.validation import NonNegative, UnitInterval, is_number, requires


class ScaleByMomentumState(NamedTuple):
    """The state of `scale_by_momentum`.

    Attributes:
      started: whether a gradient has been seen; the first one is not dampened.
      velocity: the buffer $v$.
    """

    started: jax.Array
    velocity: optax.Updates


def _heavy_ball(g: Any, v: Any, mu: Any, weight: Any) -> tuple[Any, Any]:
    v = mu * v + weight * g
    return v, v


def _nesterov(g: Any, v: Any, mu: Any, weight: Any) -> tuple[Any, Any]:
    v = mu * v + weight * g
    return g + mu * v, v


@direction
def scale_by_momentum(
    momentum: UnitInterval, dampening: UnitInterval = 0.0, nesterov: bool = False
) -> optax.GradientTransformation:
    r"""Heavy-ball or Nesterov momentum, as in PyTorch.

    .. math::
        v_1 = g_1, \qquad v_t = \mu v_{t-1} + (1 - d)\, g_t, \qquad
        \text{direction } v_t, \text{ or } g_t + \mu v_t \text{ with Nesterov}

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `sgd` is all of it with numbers that can be
      set.

    Args:
      momentum: $\mu$.
      dampening: $d$; the first gradient is not dampened.
      nesterov: whether to look ahead.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `sgd`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_momentum
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_momentum(0.9, nesterov=True),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.915, -1.8301]
    """

    def init(params: Any) -> ScaleByMomentumState:
        return ScaleByMomentumState(jnp.zeros((), bool), moments_like(params))

    def update(
        updates: Any, state: ScaleByMomentumState, params: Any = None
    ) -> tuple[Any, ScaleByMomentumState]:
        del params

        step = _nesterov if nesterov else _heavy_ball
        weight = jnp.where(state.started, 1 - dampening, 1.0)
        direction, velocity = leafwise(step, [updates, state.velocity], [momentum, weight], 2)
        return direction, ScaleByMomentumState(jnp.ones_like(state.started), velocity)

    return optax.GradientTransformation(init, update)


def _with_momentum(momentum: Any, dampening: Any, nesterov: bool) -> optax.GradientTransformation:
    def response(state: Any) -> Any:
        velocity = (1 - dampening) / (1 + momentum)
        return 1 + momentum * velocity if nesterov else velocity

    return answering(scale_by_momentum(momentum, dampening, nesterov), response)


def _nesterov_needs(
    momentum: Any = None, dampening: Any = 0.0, nesterov: bool = False, **_: Any
) -> None:
    if nesterov and momentum is None:
        raise ValueError("nesterov must be False without momentum, got nesterov=True")
    concrete = is_number(dampening) and not isinstance(dampening, jax.core.Tracer)
    if nesterov and concrete and np.any(np.asarray(dampening) != 0):
        raise ValueError(f"dampening must be 0 with nesterov, as in PyTorch, got {dampening!r}")


@optimizer()
@requires(_nesterov_needs)
def sgd(
    learning_rate: NonNegative,
    momentum: UnitInterval | None = None,
    dampening: UnitInterval = 0.0,
    nesterov: bool = False,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Stochastic gradient descent. Equal to `torch.optim.SGD`.

    .. math::
        v_t = \mu v_{t-1} + (1 - d)\, g_t \;(v_1 = g_1), \qquad p_t = p_{t-1} - \eta_t v_t

    The learning rate is outside the buffer, so that a schedule acts at once; Sutskever et al.
    have it inside. The two agree for a constant rate.

    When to use:
      Images and other problems that you can fit perfectly, and as the baseline of every
      comparison. Start with momentum 0.9, `nesterov=True` and a rate from `lr_range_test`
      (0.03 to 0.3 with batches of 32 to 128), under a warm-up and a decay. Not for
      Transformers with rare tokens, where Adam's kin need far fewer updates.

    Args:
      learning_rate: $\eta$.
      momentum: $\mu$ in [0, 1], or None for none, PyTorch's default; 0.9 is usual.
      dampening: $d$ in [0, 1], not applied to the first gradient; PyTorch's default.
      nesterov: whether the step is $g_t + \mu v_t$.

    Raises:
      ValueError: for a concrete number out of its range, `nesterov` without momentum, or
        dampening with it.

    Reference:
      Polyak 1964; Nesterov 1983; Sutskever et al. 2013, On the importance of initialization and
      momentum in deep learning.

    See also:
      `sgdw` for decay that stands alone, `qhm`, `lars` for very large batches, `adamw`.

    Example:
      >>> from lropt_jax import cosine_decay, fit, problem, sgd, warmup
      >>> schedule = warmup(cosine_decay(0.3, 380), steps=20)
      >>> tx = sgd(schedule, momentum=0.9, nesterov=True, l2=1e-4)
      >>> model = fit(problem("digits_linear"), tx, steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    if momentum is None:
        direction = answering(optax.identity(), lambda state: 1.0)
    else:
        direction = _with_momentum(momentum, dampening, nesterov)
    return descend(times(direction, -learning_rate), learning_rate, **decays)


@optimizer(weight_decay=1e-4)
@requires(_nesterov_needs)
def sgdw(
    learning_rate: NonNegative,
    momentum: UnitInterval = 0.9,
    nesterov: bool = False,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""SGD with momentum and decoupled weight decay.

    .. math::
        v_t = \mu v_{t-1} + g_t, \qquad p_t = (1 - \eta_t \lambda)\, p_{t-1} - \eta_t v_t

    The paper multiplies the decay by the schedule alone (there $\lambda$ stands for our
    $\eta_0 \lambda$) and keeps the learning rate inside the buffer; with a constant rate both
    are the above. Under a schedule it is equal to the SGDW of timm.

    When to use:
      Where `sgd` with momentum is right and decay is tuned apart from it. Start with `sgd`'s
      rate and a decay of 5e-4 to 1e-2. It is not a second kind of momentum: with
      `weight_decay=None` it is `sgd`.

    Args:
      learning_rate: $\eta$.
      momentum: $\mu$ in [0, 1]; 0.9 is usual.
      nesterov: whether the step is $g_t + \mu v_t$.
      weight_decay: $\lambda$, decoupled decay, times the learning rate; the default is ours. None
        for none.

    Raises:
      ValueError: for a concrete number out of its range, or for missing params in `update`.

    Reference:
      Loshchilov and Hutter 2019, Decoupled weight decay regularization, arXiv:1711.05101.

    See also:
      `sgd`, whose `l2` is the coupled kind, `adamw`, `no_bias_norm`.

    Example:
      >>> from lropt_jax import cosine_decay, fit, problem, sgdw
      >>> tx = sgdw(cosine_decay(0.3, 400), weight_decay=1e-3, mask="no_bias_norm")
      >>> model = fit(problem("digits_linear"), tx, steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = _with_momentum(momentum, 0.0, nesterov)
    return descend(times(direction, -learning_rate), learning_rate, **decays)
