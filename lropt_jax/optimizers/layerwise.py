"""Steps in proportion to each layer's norm, for large batches: LARS, LAMB."""

from __future__ import annotations

from typing import Any, TypedDict, Unpack

import jax.numpy as jnp
import optax

from lropt_jax.optimizers.adaptive_moments import ScaleByAdamState, scale_by_adam
from lropt_jax.optimizers.base import Mask, leafwise, norm
from lropt_jax.optimizers.constructor import direction, optimizer
from lropt_jax.optimizers.descent import add_decay, decay_mask, descend, require_params, times
from lropt_jax.optimizers.gradient_descent import ScaleByMomentumState, scale_by_momentum
from lropt_jax.validation import Averaging, NonNegative, UnitInterval, requires


class Coupled(TypedDict, total=False):
    """The shared arguments of those that have a weight decay of their own."""

    l2: NonNegative | None
    independent_decay: bool


def _ratio_or_one(numerator: Any, denominator: Any, times: Any = 1) -> Any:
    """The trust ratio; 1 where a norm is 0, so that a layer of zeros can leave it."""
    usable = (numerator > 0) & (denominator > 0)
    return jnp.where(usable, times * numerator / jnp.where(usable, denominator, 1), 1)


def _decay_is_inside(independent_decay: bool = False, **_: Any) -> None:
    if independent_decay:
        raise ValueError(
            "independent_decay must be False, got True: the decay of lars and lamb is inside the "
            "trust ratio"
        )


def _lars(g: Any, p: Any, decays: bool, rate: Any, trust: Any, eps: Any, decay: Any) -> tuple[Any]:
    decay = decay if decays else 0.0
    size = norm(p)
    # The trust coefficient is no part of the fallback, which is plain SGD's rate.
    local = _ratio_or_one(size, norm(g) + decay * size + eps, trust)
    return (rate * local * (g + decay * p),)


@direction
def scale_by_lars(
    learning_rate: NonNegative,
    momentum: UnitInterval = 0.9,
    trust_coefficient: NonNegative = 1e-3,
    eps: NonNegative = 0.0,
    nesterov: bool = False,
    weight_decay: NonNegative | None = None,
    mask: Mask = None,
) -> optax.GradientTransformation:
    r"""The velocity of LARS, learning rate included. See `lars`; the state is momentum's.

    When to use:
      In an `optax.chain` of your own. The learning rate is in it, the sign is not: it descends
      with `optax.scale(-1.0)` after it, as `lars` does by itself.

    Args:
      learning_rate: $\gamma$, the global rate.
      momentum: $\mu$.
      trust_coefficient: $\eta$ of the paper.
      eps: added to the denominator of the trust ratio.
      nesterov: whether to look ahead.
      weight_decay: $\beta$, inside the ratio, or None.
      mask: which leaves decay: a pytree of bools, a callable of params, or "no_bias_norm".

    Raises:
      ValueError: for a concrete number out of its range; (`update`) for missing params.

    See also:
      `lars`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_lars
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_lars(1.0),
      ...     optax.scale(-1.0),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.999, -1.998]
    """
    trace = scale_by_momentum(momentum, 0.0, nesterov)

    def update(
        updates: Any, state: ScaleByMomentumState, params: Any = None
    ) -> tuple[Any, ScaleByMomentumState]:
        require_params(params, "lars")

        numbers = [
            learning_rate,
            trust_coefficient,
            eps,
            0.0 if weight_decay is None else weight_decay,
        ]
        trees = [updates, params, decay_mask(None if weight_decay is None else mask, params)]
        (updates,) = leafwise(_lars, trees, numbers, 1)
        return trace.update(updates, state)  # type: ignore[no-any-return]

    return optax.GradientTransformation(trace.init, update)


@optimizer()
@requires(_decay_is_inside)
def lars(
    learning_rate: NonNegative,
    momentum: UnitInterval = 0.9,
    trust_coefficient: NonNegative = 1e-3,
    eps: NonNegative = 0.0,
    nesterov: bool = False,
    *,
    weight_decay: NonNegative | None = None,
    mask: Mask = None,
    **decays: Unpack[Coupled],
) -> optax.GradientTransformation:
    r"""LARS, layer-wise adaptive rates for SGD. Equal to the paper's Algorithm 1.

    .. math::
        \lambda^l &= \eta \frac{\|w^l\|}{\|g^l\| + \beta \|w^l\| + \epsilon}, \qquad
        v^l_t = \mu v^l_{t-1} + \gamma_t \lambda^l (g^l_t + \beta w^l_{t-1}) \\
        w^l_t &= w^l_{t-1} - v^l_t

    A leaf stands for a layer. $\lambda^l$ is 1 where $\|w^l\|$ or the denominator is 0 (timm,
    Optax). The global rate $\gamma$ is inside the buffer, as in the paper; timm has it outside,
    the same for a constant rate. Optax divides by $\|g + \beta w\|$, which is another number. A
    masked leaf has no decay, and is scaled like the others; to leave it unscaled, use
    `optax.multi_transform`.

    When to use:
      Very large batches (thousands of examples) of convolutional nets with batch
      normalization. Start with a rate of 1 to 10, a warm-up over 5 epochs and polynomial
      decay. Not for small batches: `sgd` with momentum is as good there and has one number
      less.

    Args:
      learning_rate: $\gamma$, the global rate.
      momentum: $\mu$ in [0, 1], the paper's default.
      trust_coefficient: $\eta$, the paper's default.
      eps: $\epsilon \ge 0$; the paper has none.
      nesterov: whether the step is $\gamma \lambda (g + \beta w) + \mu v_t$.
      l2: coupled decay, added to the gradient before its norm is taken, or None.
      weight_decay: $\beta$, the decay of the algorithm, inside the ratio, or None.
      mask: which leaves decay, for both: a pytree of bools, a callable of params, or
        "no_bias_norm".
      independent_decay: must be False.

    Raises:
      ValueError: for a concrete number out of its range, `independent_decay`, or missing params
        in `update`.

    Reference:
      You, Gitman and Ginsburg 2017, Large batch training of convolutional networks,
      arXiv:1708.03888.

    See also:
      `lamb` for Transformers, `sgd`, `no_bias_norm` as its mask.

    Example:
      >>> import dataclasses
      >>> from lropt_jax import fit, lars, polynomial, problem, warmup
      >>> task = dataclasses.replace(problem("digits_linear"), batch_size=1024)
      >>> schedule = warmup(polynomial(10.0, 0.0, power=2, transition_steps=180), steps=20)
      >>> tx = lars(schedule, weight_decay=1e-4, mask="no_bias_norm")
      >>> fit(task, tx, steps=200).evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = scale_by_lars(
        learning_rate, momentum, trust_coefficient, eps, nesterov, weight_decay, mask
    )
    return descend(times(direction, -1.0), learning_rate, mask=mask, **decays)


def _at_norm_of_params(r: Any, p: Any) -> tuple[Any]:
    return (r * _ratio_or_one(norm(p), norm(r)),)


@direction
def scale_by_lamb(
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-6,
    weight_decay: NonNegative | None = None,
    mask: Mask = None,
) -> optax.GradientTransformation:
    r"""Adam's direction plus decay, at the norm of the parameters. See `lamb`; the state is Adam's.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `lamb` is all of it with numbers that can be
      set.

    Args:
      b1: the decay of $m$.
      b2: the decay of $v$.
      eps: $\epsilon$ of Adam.
      weight_decay: $\lambda$, or None.
      mask: as in `scale_by_lars`.

    Raises:
      ValueError: for a concrete number out of its range; (`update`) for missing params.

    See also:
      `lamb`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_lamb
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_lamb(weight_decay=0.01),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.8427, -1.8411]
    """
    adam = scale_by_adam(b1, b2, eps)

    def update(
        updates: Any, state: ScaleByAdamState, params: Any = None
    ) -> tuple[Any, ScaleByAdamState]:
        require_params(params, "lamb")
        direction, state = adam.update(updates, state)
        if weight_decay is not None:
            direction = add_decay(direction, params, weight_decay, mask, "weight_decay")

        (direction,) = leafwise(_at_norm_of_params, [direction, params], [], 1)
        return direction, state

    return optax.GradientTransformation(adam.init, update)


@optimizer()
@requires(_decay_is_inside)
def lamb(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-6,
    *,
    weight_decay: NonNegative | None = None,
    mask: Mask = None,
    **decays: Unpack[Coupled],
) -> optax.GradientTransformation:
    r"""LAMB, layer-wise adaptive moments for large batches. Algorithm 2, with bias correction.

    .. math::
        r^l_t = \frac{\hat m^l_t}{\sqrt{\hat v^l_t} + \epsilon} + \lambda p^l_{t-1}, \qquad
        p^l_t = p^l_{t-1} - \eta_t \frac{\|p^l_{t-1}\|}{\|r^l_t\|}\, r^l_t

    A leaf stands for a layer; the ratio is 1 where either norm is 0. $\phi$ is the identity: the
    bounds at 10 belong to the first version of the paper. Equal to `optax.lamb` and to timm's
    with `always_adapt=True, max_grad_norm=None` (timm clips the global norm to 1 by default, and
    leaves undecayed layers unscaled).

    When to use:
      Very large batches of Transformers. Start with 1e-3 to 1e-2 (it grows as the root of the
      batch), a decay of 0.01 and a long warm-up. Not for small batches, where `adamw` is as
      good, nor for parameters that start at 0: there the ratio is 1.

    Args:
      learning_rate: $\eta$.
      b1: $\beta_1$ in [0, 1), Adam's default.
      b2: $\beta_2$ in [0, 1), Adam's default.
      eps: $\epsilon$, the paper's default.
      weight_decay: $\lambda$, the decay of the algorithm, inside the ratio, or None.
      mask: which leaves decay, for both: a pytree of bools, a callable of params, or
        "no_bias_norm".
      independent_decay: must be False.

    Raises:
      ValueError: for a concrete number out of its range, `independent_decay`, or missing params
        in `update`.

    Reference:
      You et al. 2020, Large batch optimization for deep learning: training BERT in 76 minutes,
      arXiv:1904.00962.

    See also:
      `lars`, `adamw`, `no_bias_norm` as its mask.

    Example:
      >>> import dataclasses
      >>> from lropt_jax import fit, lamb, linear, problem, warmup
      >>> task = dataclasses.replace(problem("digits_linear"), batch_size=1024)
      >>> schedule = warmup(linear(0.05, 0.0, transition_steps=180), steps=20)
      >>> tx = lamb(schedule, weight_decay=0.01, mask="no_bias_norm")
      >>> fit(task, tx, steps=200).evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = scale_by_lamb(b1, b2, eps, weight_decay, mask)
    return descend(times(direction, -learning_rate), learning_rate, mask=mask, **decays)
