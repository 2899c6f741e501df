"""AdaBelief: Adam that divides by how much a gradient surprises."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import optax

from lropt_jax.optimizers.adaptive_moments import answered, folded
from lropt_jax.optimizers.base import (
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
from lropt_jax.optimizers.descent import Decays, descend
from lropt_jax.validation import Averaging, Finite, NonNegative


class ScaleByAdabeliefState(NamedTuple):
    r"""The state of `scale_by_adabelief`; not Adam's, which a file of it must not be taken for.

    Attributes:
      b1_product: $\prod_{s \le t} \beta_{1,s}$, for an exact bias correction.
      b2_product: $\prod_{s \le t} \beta_{2,s}$.
      mu: $m$, the average gradient.
      variance: $s$, the average squared difference of a gradient from $m$.
    """

    b1_product: jax.Array
    b2_product: jax.Array
    mu: optax.Updates
    variance: optax.Updates


def _adabelief(g: Any, m: Any, s: Any, b1: Any, b2: Any, *numbers: Any) -> tuple[Any, Any, Any]:
    eps, factor, spread, folded_eps = numbers
    m = average(m, g, b1)
    s = b2[0] * s + (b2[1] * square(g - m) + eps)
    return factor * m / (spread * root(s) + folded_eps), m, s


@direction
def scale_by_adabelief(
    b1: Averaging = 0.9, b2: Averaging = 0.999, eps: NonNegative = 1e-16, factor: Finite = 1.0
) -> optax.GradientTransformation:
    r"""Direction $\hat m_t / (\sqrt{\hat s_t} + \epsilon)$. See `adabelief`.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `adabelief` is all of it with numbers that can
      be set.

    Args:
      b1: the decay of $m$.
      b2: the decay of $s$.
      eps: $\epsilon$, inside the sum and outside the root.
      factor: multiplies the direction; in the numerator it costs less than afterwards.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `adabelief`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_adabelief
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_adabelief(),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.8889, -1.8889]
    """

    def init(params: Any) -> ScaleByAdabeliefState:
        return ScaleByAdabeliefState(
            scalar(1.0), scalar(1.0), moments_like(params), magnitudes_like(params)
        )

    def update(
        updates: Any, state: ScaleByAdabeliefState, params: Any = None
    ) -> tuple[Any, ScaleByAdabeliefState]:
        del params
        products = state.b1_product * b1, state.b2_product * b2

        numbers = [weights(b1), weights(b2), eps, factor, *folded(*products, eps)]
        trees = [updates, state.mu, state.variance]
        direction, mu, variance = leafwise(_adabelief, trees, numbers, 3)
        return direction, ScaleByAdabeliefState(*products, mu, variance)

    return optax.GradientTransformation(init, update)


@optimizer()
def adabelief(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-16,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""AdaBelief. Equal to the authors' code (adabelief-pytorch) with `rectify=False`.

    .. math::
        s_t = \beta_2 s_{t-1} + (1 - \beta_2)(g_t - m_t)^2 + \epsilon, \qquad
        p_t = p_{t-1} - \eta_t \frac{\hat m_t}{\sqrt{\hat s_t} + \epsilon}

    with Adam's $m$ and corrections. The $\epsilon$ accumulates in $s$, so that it matters more
    than Adam's. The authors' code decays decoupled and rectifies by default; the paper's CIFAR
    results have $\epsilon = 10^{-8}$, L2 of 5e-4 and no rectification. It is equal to
    `optax.adabelief(eps=eps, eps_root=eps)`.

    When to use:
      Where `adam` works and gradients keep their direction: it divides by how far a gradient
      is from its average, so steady ones take longer steps. Start with Adam's rate and leave
      `eps` at 1e-16. Not with an `eps` taken over from Adam without a try: it stands in
      another place.

    Args:
      learning_rate: $\eta$; the authors' default is 0.001.
      b1: $\beta_1$ in [0, 1), Adam's default.
      b2: $\beta_2$ in [0, 1), Adam's default.
      eps: $\epsilon$, the default of the authors' code since 0.1.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Zhuang et al. 2020, AdaBelief optimizer, arXiv:2010.07468.

    See also:
      `adam`, `adamw`.

    Example:
      >>> from lropt_jax import adabelief, cosine_decay, fit, problem
      >>> model = fit(problem("digits_linear"), adabelief(cosine_decay(0.01, 400)), steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = answered(scale_by_adabelief(b1, b2, eps, -learning_rate), b1, eps, of="variance")
    return descend(direction, learning_rate, **decays)
