"""The gradient over the root of its average square: RMSprop, plain, centered, with momentum."""

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
    moments_like,
    root,
    square,
    weights,
)
from lropt_jax.optimizers.constructor import direction, optimizer
from lropt_jax.optimizers.descent import Decays, descend
from lropt_jax.validation import Averaging, Finite, NonNegative, UnitInterval


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


def _plain(g: Any, v: Any, decay: Any, factor: Any, eps: Any) -> tuple[Any, Any]:
    v = average(v, square(g), decay)
    return factor * g / (root(v) + eps), v


def _centered(g: Any, v: Any, m: Any, decay: Any, factor: Any, eps: Any) -> tuple[Any, ...]:
    # E[g²] - E[g]² by its own recursion: never negative, never infinity less infinity.
    v = average(v, decay[0] * square(g - m), decay)
    m = average(m, g, decay)
    return factor * g / (root(v) + eps), v, m


def _accumulated(d: Any, buffer: Any, momentum: Any, factor: Any) -> tuple[Any, Any]:
    buffer = momentum * buffer + d
    return factor * buffer, buffer


@direction
def scale_by_rmsprop(
    decay: Averaging = 0.99,
    eps: NonNegative = 1e-8,
    momentum: UnitInterval | None = None,
    centered: bool = False,
    factor: Finite = 1.0,
) -> optax.GradientTransformation:
    r"""Direction $g_t / (\sqrt{v_t} + \epsilon)$, then momentum. See `rmsprop`.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `rmsprop` is all of it with numbers that can be
      set.

    Args:
      decay: the decay of the averages.
      eps: $\epsilon$, outside the root.
      momentum: of the buffer that the scaled gradient goes through, or None.
      centered: whether to divide by the standard deviation.
      factor: multiplies the direction; in the numerator it costs less than afterwards.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `rmsprop`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_rmsprop
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_rmsprop(),
      ...     optax.scale_by_learning_rate(0.01),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9, -1.9]
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

        # The buffer holds directions without the factor, so that one that changes acts at once.
        numbers = [weights(decay), factor if momentum is None else 1.0, above_zero(eps)]
        mu, velocity = None, None
        if centered:
            direction, nu, mu = leafwise(_centered, [updates, state.nu, state.mu], numbers, 3)
        else:
            direction, nu = leafwise(_plain, [updates, state.nu], numbers, 2)
        if momentum is not None:
            trees = [direction, state.velocity]
            direction, velocity = leafwise(_accumulated, trees, [momentum, factor], 2)
        return direction, ScaleByRmspropState(nu, mu, velocity)

    return optax.GradientTransformation(init, update)


@optimizer()
def rmsprop(
    learning_rate: NonNegative,
    decay: Averaging = 0.99,
    eps: NonNegative = 1e-8,
    momentum: UnitInterval | None = None,
    centered: bool = False,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""RMSprop. Equal to `torch.optim.RMSprop`.

    .. math::
        v_t = \alpha v_{t-1} + (1 - \alpha) g_t^2, \qquad
        d_t = \frac{g_t}{\sqrt{v_t} + \epsilon}, \qquad
        b_t = \mu b_{t-1} + d_t, \qquad p_t = p_{t-1} - \eta_t b_t

    Centered, $v_t - m_t^2$ with the average gradient $m_t$ stands under the root. Optax has
    $\epsilon$ inside the root by default, and the learning rate inside the momentum buffer,
    which differs under a schedule.

    When to use:
      Recurrent nets and reinforcement learning, and to repeat older work. Start with a rate
      of 1e-3 and the decay at 0.99 (0.9 on short trainings). Not from its first updates on at
      a high rate: the average is not corrected and starts at 0, so the first steps are up to
      ten times the rate; put a `warmup` before it.

    Args:
      learning_rate: $\eta$; PyTorch's default is 0.01.
      decay: $\alpha$ in [0, 1), PyTorch's default; Hinton's is 0.9.
      eps: $\epsilon$, outside the root, PyTorch's default.
      momentum: $\mu$ in [0, 1], or None for none.
      centered: whether to divide by the standard deviation (Graves 2013).

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Tieleman and Hinton 2012, Neural networks for machine learning, lecture 6.5; Graves 2013,
      arXiv:1308.0850 (centered).

    See also:
      `adam`, which corrects its averages, `adagrad`.

    Example:
      >>> from lropt_jax import cosine_decay, fit, problem, rmsprop, warmup
      >>> schedule = warmup(cosine_decay(0.01, 380), steps=20)  # the first steps are the longest
      >>> model = fit(problem("digits_linear"), rmsprop(schedule), steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """

    def response(state: ScaleByRmspropState) -> Any:
        return 1.0 if momentum is None else 1 / (1 + momentum)

    def denominators(state: ScaleByRmspropState) -> Any:
        return jax.tree.map(lambda v: root(v) + eps, state.nu)

    direction = scale_by_rmsprop(decay, eps, momentum, centered, -learning_rate)
    return descend(answering(direction, response, denominators), learning_rate, **decays)
