"""Step sizes of their own for each weight, by the agreement of signs: local gains, Rprop."""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import optax

from lropt_jax.hyperparameters.dynamics import answering
from lropt_jax.optimizers.base import (
    above_zero,
    leafwise,
    magnitudes_like,
    moments_like,
    usual_promotion,
)
from lropt_jax.optimizers.constructor import direction, optimizer
from lropt_jax.optimizers.descent import Decays, descend, times
from lropt_jax.validation import (
    Averaging,
    Constraint,
    InOrder,
    NonNegative,
    Number,
    Positive,
    UnitInterval,
    requires,
)


def _componentwise(direction: optax.GradientTransformation) -> optax.GradientTransformation:
    """A direction to which complex numbers are two weights each."""
    split = optax.contrib.split_real_and_imaginary(direction)

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        with usual_promotion(updates):
            changed: tuple[Any, Any] = split.update(updates, state, params)
        return changed

    return optax.GradientTransformation(split.init, update)


def _signs_like(params: Any) -> Any:
    """Signs are remembered in a byte."""
    return jax.tree.map(lambda p: jnp.zeros_like(p, dtype=jnp.int8), params)


Gain = Annotated[Number, Constraint("a number > 0, or infinity", 0, ends="(]")]
Shrinking = Annotated[Number, Constraint("in (0, 1)", 0, 1, "()")]
Growing = Annotated[Number, Constraint("a finite number > 1", 1, ends="()")]


class ScaleByLocalGainsState(NamedTuple):
    """The state of `scale_by_local_gains`.

    Attributes:
      gains: a factor for each weight.
      signs: of the previous gradient; 0 before the first.
      velocity: the momentum buffer, or None without momentum.
    """

    gains: optax.Updates
    signs: optax.Updates
    velocity: optax.Updates | None


def _gained(g: Any, gain: Any, before: Any, beta: Any, low: Any, high: Any) -> tuple[Any, Any, Any]:
    agreement = g * before  # in floats: XLA:CPU is slow where dtypes mix
    changed = jnp.where(agreement > 0, gain + beta, gain * (1 - beta))
    moves = jnp.abs(agreement) > 0  # not for a NaN
    gain = jnp.where(moves, jnp.clip(changed, low, high), gain)
    return gain * g, gain, jnp.sign(g).astype(jnp.int8)


def _accumulated(d: Any, v: Any, momentum: Any) -> tuple[Any]:
    return (momentum * v + d,)


@direction
@requires(InOrder("min_gain", "max_gain"))
def scale_by_local_gains(
    beta: Averaging = 0.05,
    min_gain: NonNegative = 0.01,
    max_gain: Gain = jnp.inf,
    momentum: UnitInterval | None = None,
) -> optax.GradientTransformation:
    """Each gradient times its own gain. See `local_gains`.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `local_gains` is all of it with numbers that
      can be set.

    Args:
      beta: what an agreement adds, and the fraction that a disagreement takes.
      min_gain: the lower bound.
      max_gain: the upper bound.
      momentum: of the buffer that the scaled gradient goes through, or None.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `local_gains`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_local_gains
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_local_gains(momentum=0.9),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9553, -1.9106]
    """

    def init(params: Any) -> ScaleByLocalGainsState:
        velocity = None if momentum is None else moments_like(params)
        return ScaleByLocalGainsState(magnitudes_like(params, 1.0), _signs_like(params), velocity)

    def update(
        updates: Any, state: ScaleByLocalGainsState, params: Any = None
    ) -> tuple[Any, ScaleByLocalGainsState]:
        del params

        trees = [updates, state.gains, state.signs]
        direction, gains, signs = leafwise(_gained, trees, [beta, min_gain, max_gain], 3)
        velocity = None
        if momentum is not None:
            (velocity,) = leafwise(_accumulated, [direction, state.velocity], [momentum], 1)
            direction = velocity
        return direction, ScaleByLocalGainsState(gains, signs, velocity)

    return _componentwise(optax.GradientTransformation(init, update))


@optimizer()
@requires(InOrder("min_gain", "max_gain"))
def local_gains(
    learning_rate: NonNegative,
    beta: Averaging = 0.05,
    min_gain: NonNegative = 0.01,
    max_gain: Gain = float("inf"),
    momentum: UnitInterval | None = None,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Gradient descent with an adaptive gain for each weight, from Hinton's lecture 6d.

    .. math::
        G_t = \begin{cases} G_{t-1} + \beta & g_t g_{t-1} > 0 \\
        G_{t-1} (1 - \beta) & g_t g_{t-1} < 0 \\ G_{t-1} & \text{else} \end{cases}
        \;\text{within the bounds}, \qquad v_t = \mu v_{t-1} + G_t g_t, \qquad
        p_t = p_{t-1} - \eta_t v_t

    The gain is 1 at the first step. For a constant gradient it is $1 + \beta (t - 1)$. An
    additive increase and a multiplicative decrease: under random gradients gains stay near 1.
    The ancestor is delta-bar-delta (Jacobs 1988), which compares with an average of past
    gradients. Meant for full batches or large ones.

    When to use:
      Full batches or large ones of small problems, and teaching: how far signs alone carry.
      Start with SGD's rate, and bounds of 0.1 and 10. Not for small batches, whose noise
      flips the signs.

    Args:
      learning_rate: $\eta$.
      beta: $\beta$ in [0, 1), the lecture's (+.05, times .95).
      min_gain: the lower bound; the lecture proposes 0.1 or 0.01.
      max_gain: the upper bound, may be infinite; the lecture proposes 10 or 100.
      momentum: $\mu$ in [0, 1], or None for none.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Hinton, Srivastava and Swersky 2012, Neural networks for machine learning, lecture 6d;
      Jacobs 1988, Increased rates of convergence through learning rate adaptation.

    See also:
      `rprop`, which leaves the size of the gradient out, `sgd`.

    Example:
      >>> import dataclasses
      >>> from lropt_jax import fit, local_gains, problem
      >>> task = dataclasses.replace(problem("digits_linear"), batch_size=1257)  # all examples
      >>> tx = local_gains(0.3, min_gain=0.1, max_gain=10.0, momentum=0.9)
      >>> fit(task, tx, steps=200).evaluate("test")["accuracy"] > 0.9
      True
    """

    def denominators(state: Any) -> Any:
        return jax.tree.map(lambda gain: 1 / above_zero(gain), optax.tree.get(state, "gains"))

    response = 1.0 if momentum is None else 1 / (1 + momentum)
    direction = scale_by_local_gains(beta, min_gain, max_gain, momentum)
    direction = answering(direction, lambda state: response, denominators)
    return descend(times(direction, -learning_rate), learning_rate, **decays)


class ScaleByRpropState(NamedTuple):
    """The state of `scale_by_rprop`.

    Attributes:
      step_sizes: of each weight; 0 before the first update.
      signs: of the previous gradient; 0 after a flip.
    """

    step_sizes: optax.Updates
    signs: optax.Updates


def _rprop(g: Any, size: Any, before: Any, *numbers: Any) -> tuple[Any, Any, Any]:
    first, minus, plus, low, high = numbers
    size = jnp.where(size == 0, first, size)  # no step is 0 once it was bounded
    agreement = g * before  # in floats: XLA:CPU is slow where dtypes mix
    grown, shrunk, kept = (jnp.clip(size * f, low, high) for f in (plus, minus, 1.0))
    size = jnp.where(agreement > 0, grown, jnp.where(agreement < 0, shrunk, kept))
    sign = jnp.where(agreement < 0, 0, jnp.sign(g))
    return (0.0 - sign) * size, size, sign.astype(jnp.int8)  # no negative zero


@direction
@requires(InOrder("min_step", "max_step"))
def scale_by_rprop(
    learning_rate: NonNegative,
    eta_minus: Shrinking = 0.5,
    eta_plus: Growing = 1.2,
    min_step: Positive = 1e-6,
    max_step: Positive = 50.0,
) -> optax.GradientTransformation:
    """The step of iRprop-, sign included. See `rprop`.

    When to use:
      In an `optax.chain` of your own. Its update is the whole step, learning rate and sign
      included: scale by nothing after it.

    Args:
      learning_rate: the first step's size.
      eta_minus: the factor of a sign flip.
      eta_plus: the factor of an agreement.
      min_step: the lower bound of a step.
      max_step: the upper bound of a step.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `rprop`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_rprop
      >>> tx = optax.chain(optax.clip_by_global_norm(1.0), scale_by_rprop(0.1))
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9, -1.9]
    """

    def init(params: Any) -> ScaleByRpropState:
        return ScaleByRpropState(magnitudes_like(params), _signs_like(params))

    def update(
        updates: Any, state: ScaleByRpropState, params: Any = None
    ) -> tuple[Any, ScaleByRpropState]:
        del params

        numbers = [learning_rate, eta_minus, eta_plus, min_step, max_step]
        trees = [updates, state.step_sizes, state.signs]
        steps, sizes, signs = leafwise(_rprop, trees, numbers, 3)
        return steps, ScaleByRpropState(sizes, signs)

    return _componentwise(optax.GradientTransformation(init, update))


@optimizer()
@requires(InOrder("min_step", "max_step"))
def rprop(
    learning_rate: NonNegative,
    eta_minus: Shrinking = 0.5,
    eta_plus: Growing = 1.2,
    min_step: Positive = 1e-6,
    max_step: Positive = 50.0,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Resilient propagation (iRprop-). Equal to `torch.optim.Rprop`.

    .. math::
        \Delta_t = \mathrm{clip}\left(\Delta_{t-1} \cdot \begin{cases}
        \eta^+ & g_t g_{t-1} > 0 \\ \eta^- & g_t g_{t-1} < 0 \\ 1 & \text{else}
        \end{cases}\right), \qquad p_t = p_{t-1} - \mathrm{sign}(g_t)\, \Delta_t

    On a flip ($g_t g_{t-1} < 0$) the gradient counts as 0: the weight rests for a step. Only for
    full batches. `optax.rprop` emits the step of the update before.

    When to use:
      Full batches of small problems, with no rate to tune: start with 0.01 or less, it finds
      its own. Not for minibatches: signs that flip by noise shrink every step.

    Args:
      learning_rate: $\Delta_0$, the size of the first step (PyTorch's default is 0.01), read at
        the first update. Later changes have no effect on the steps.
      eta_minus: $\eta^-$ in (0, 1), the paper's default.
      eta_plus: $\eta^+ > 1$, the paper's default.
      min_step: the lower bound of a step, the paper's default.
      max_step: the upper bound of a step, the paper's default.
      weight_decay: decoupled decay, times the current learning rate, or None.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Riedmiller and Braun 1993, A direct adaptive method for faster backpropagation learning;
      Igel and Hüsken 2000, Improving the Rprop learning algorithm (iRprop-).

    See also:
      `local_gains`, `rmsprop`, its heir for minibatches.

    Example:
      >>> import dataclasses
      >>> from lropt_jax import fit, problem, rprop
      >>> task = dataclasses.replace(problem("digits_linear"), batch_size=1257)  # all examples
      >>> fit(task, rprop(0.01), steps=50).evaluate("test")["accuracy"] > 0.9
      True
    """
    return descend(
        scale_by_rprop(learning_rate, eta_minus, eta_plus, min_step, max_step),
        learning_rate,
        **decays,
    )
