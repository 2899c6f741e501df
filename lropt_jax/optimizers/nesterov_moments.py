"""Adam with Nesterov momentum: NAdam, NAdamW."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import optax

from lropt_jax.hyperparameters.dynamics import answering, of_average
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
from lropt_jax.optimizers.descent import Decays, descend
from lropt_jax.validation import Averaging, Finite, NonNegative


class ScaleByNadamState(NamedTuple):
    r"""The state of `scale_by_nadam`.

    Attributes:
      warmth: $0.96^{t \psi}$, which takes the momentum from $\beta_1 / 2$ to $\beta_1$.
      mu_product: $\prod_{s \le t} \mu_s$.
      b2_product: $\prod_{s \le t} \beta_{2,s}$.
      mu: $m$, the average gradient.
      nu: $v$, the average squared gradient.
    """

    warmth: jax.Array
    mu_product: jax.Array
    b2_product: jax.Array
    mu: optax.Updates
    nu: optax.Updates


def _nadam(
    g: Any, m: Any, v: Any, b1: Any, b2: Any, of_gradient: Any, of_average: Any, eps: Any
) -> tuple[Any, Any, Any]:
    m = average(m, g, b1)
    v = average(v, square(g), b2)
    return (of_gradient * g + of_average * m) / (root(v) + eps), m, v


@direction
def scale_by_nadam(
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-8,
    momentum_decay: NonNegative = 4e-3,
    factor: Finite = 1.0,
) -> optax.GradientTransformation:
    r"""Adam's direction with Nesterov momentum on a schedule. See `nadam`.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `nadam` is all of it with numbers that can be
      set.

    Args:
      b1: $\beta_1$, the decay of $m$ and the momentum's limit.
      b2: $\beta_2$, the decay of $v$.
      eps: $\epsilon$.
      momentum_decay: $\psi$.
      factor: multiplies the direction; in the weights of $g$ and $m$ it costs nothing.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `nadam`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_nadam
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_nadam(),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.8944, -1.8944]
    """

    def init(params: Any) -> ScaleByNadamState:
        ones = scalar(1.0), scalar(1.0), scalar(1.0)
        return ScaleByNadamState(*ones, moments_like(params), magnitudes_like(params))

    def update(
        updates: Any, state: ScaleByNadamState, params: Any = None
    ) -> tuple[Any, ScaleByNadamState]:
        del params
        cooling = 0.96 ** scalar(momentum_decay)
        warmth = state.warmth * cooling
        now, following = (b1 * (1 - 0.5 * w) for w in (warmth, warmth * cooling))
        mu_product, b2_product = state.mu_product * now, state.b2_product * b2
        second = root(1 - b2_product)
        of_gradient = factor * second * (1 - now) / (1 - mu_product)
        of_average = factor * second * following / (1 - mu_product * following)

        numbers = [weights(b1), weights(b2), of_gradient, of_average, above_zero(eps * second)]
        direction, mu, nu = leafwise(_nadam, [updates, state.mu, state.nu], numbers, 3)
        return direction, ScaleByNadamState(warmth, mu_product, b2_product, mu, nu)

    return optax.GradientTransformation(init, update)


def _answered(
    learning_rate: Any, b1: Any, b2: Any, eps: Any, momentum_decay: Any
) -> optax.GradientTransformation:
    def response(state: ScaleByNadamState) -> Any:
        momentum = b1 * (1 - 0.5 * state.warmth)
        return 1 - momentum + momentum * of_average(b1)

    def denominators(state: ScaleByNadamState) -> Any:
        correction = above_zero(1 - state.b2_product)
        return jax.tree.map(lambda v: root(v / correction.astype(v.dtype)) + eps, state.nu)

    direction = scale_by_nadam(b1, b2, eps, momentum_decay, -learning_rate)
    return answering(direction, response, denominators)


@optimizer()
def nadam(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-8,
    momentum_decay: NonNegative = 4e-3,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""NAdam, Adam with Nesterov momentum that warms up. Equal to `torch.optim.NAdam`.

    .. math::
        \mu_t &= \beta_1 (1 - \tfrac12\, 0.96^{t \psi}) \\
        p_t &= p_{t-1} - \eta_t \left( \frac{(1 - \mu_t)\, g_t}{1 - \prod_{s \le t} \mu_s} +
        \frac{\mu_{t+1}\, m_t}{1 - \prod_{s \le t+1} \mu_s} \right) \Big/
        \left(\sqrt{\hat v_t} + \epsilon\right)

    with Adam's $m$ (which decays by $\beta_1$) and $\hat v$. With $\psi = 0$ the momentum is
    $\beta_1 / 2$, not $\beta_1$. Optax's `nadam` has no schedule of $\mu$, and equals no setting.

    When to use:
      Where `adam` works and you want a little speed early on. Start with Adam's rate, or a
      bit less. Its momentum has a schedule of its own (`momentum_decay`), so it is not `adam`
      with `nesterov` and goes less well with a scheduled `b1`.

    Args:
      learning_rate: $\eta$; PyTorch's default is 0.002.
      b1: $\beta_1$ in [0, 1), Adam's default.
      b2: $\beta_2$ in [0, 1), Adam's default.
      eps: $\epsilon$, outside the root, Adam's default.
      momentum_decay: $\psi \ge 0$, the paper's and PyTorch's default.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Dozat 2016, Incorporating Nesterov momentum into Adam, ICLR workshop.

    See also:
      `nadamw`, `adam`, `sgd` with `nesterov=True`.

    Example:
      >>> from lropt_jax import cosine_decay, fit, nadam, problem
      >>> model = fit(problem("digits_linear"), nadam(cosine_decay(0.01, 400)), steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = _answered(learning_rate, b1, b2, eps, momentum_decay)
    return descend(direction, learning_rate, **decays)


@optimizer(weight_decay=1e-2)
def nadamw(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-8,
    momentum_decay: NonNegative = 4e-3,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""NAdam with decoupled weight decay.

    Equal to `torch.optim.NAdam(decoupled_weight_decay=True)`: `nadam`'s step, and
    $-\eta_t \lambda p_{t-1}$.

    When to use:
      Where `adamw` is right: it came to AdamW's loss in two thirds of the updates on a small
      Transformer (`lropt reproduce muon`), and it is AlgoPerf's baseline. Start with AdamW's
      rate and decay. Not with a scheduled `b1`: the momentum already follows a schedule of its
      own.

    Args:
      learning_rate: $\eta$.
      b1: $\beta_1$ in [0, 1), Adam's default.
      b2: $\beta_2$ in [0, 1), Adam's default.
      eps: $\epsilon$, outside the root, Adam's default.
      momentum_decay: $\psi \ge 0$, the paper's and PyTorch's default.
      weight_decay: $\lambda$; the default is that of `adamw`; None for none.

    Raises:
      ValueError: for a concrete number out of its range, or for missing params in `update`.

    Reference:
      Dozat 2016, Incorporating Nesterov momentum into Adam, ICLR workshop; Loshchilov and
      Hutter 2019, arXiv:1711.05101.

    See also:
      `nadam`, `adamw`, `no_bias_norm`.

    Example:
      >>> from lropt_jax import cosine_decay, fit, nadamw, problem, warmup
      >>> schedule = warmup(cosine_decay(0.01, 380), steps=20)
      >>> tx = nadamw(schedule, weight_decay=0.05, mask="no_bias_norm")
      >>> model = fit(problem("digits_linear"), tx, steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = _answered(learning_rate, b1, b2, eps, momentum_decay)
    return descend(direction, learning_rate, **decays)
