"""SWATS: Adam that turns into SGD."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
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
    vary,
    varying,
    weights,
)
from lropt_jax.optimizers.constructor import direction, optimizer
from lropt_jax.optimizers.descent import Decays, descend
from lropt_jax.validation import Averaging, NonNegative


class ScaleBySwatsState(NamedTuple):
    r"""The state of `scale_by_swats`.

    Attributes:
      step: $k$, the steps taken.
      switched: whether SGD has taken over.
      switch_step: the last step of Adam, counted from 1; 0 before the switch.
      sgd_learning_rate: $\Lambda$, the learning rate that was found for SGD; 0 before the switch.
      switch_rate: Adam's learning rate at the switch, which a later one is compared with; else 1.
      b1_product: $\beta_1^k$.
      b2_product: $\beta_2^k$.
      average: $\lambda$, the average of the estimates $\gamma$ of SGD's rate.
      mu: $m$ of Adam, then the velocity $v$ of SGD.
      nu: $a$ of Adam.
    """

    step: jax.Array
    switched: jax.Array
    switch_step: jax.Array
    sgd_learning_rate: jax.Array
    switch_rate: jax.Array
    b1_product: jax.Array
    b2_product: jax.Array
    average: jax.Array
    mu: optax.Updates
    nu: optax.Updates


def _dot(first: Any, second: Any) -> jax.Array:
    """The inner product of two whole trees, as real vectors."""
    parts = jax.tree.map(lambda x, y: scalar(jnp.sum((x * jnp.conj(y)).real)), first, second)
    return sum(jax.tree.leaves(parts), scalar(0.0))


def _swats(g: Any, m: Any, a: Any, sgd: Any, *numbers: Any) -> tuple[Any, Any, Any]:
    memory, weight, b2, adam_rate, sgd_rate, eps = numbers
    m = memory * m + weight * g
    a = jnp.where(sgd, a, average(a, square(g), b2))
    return jnp.where(sgd, -sgd_rate * m, -adam_rate * (m / (root(a) + eps))), m, a


@direction
def scale_by_swats(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-9,
    switch_atol: NonNegative = 1e-9,
    switch_rtol: NonNegative = 0.0,
    min_steps: NonNegative = 1,
) -> optax.GradientTransformation:
    """The step of SWATS, learning rate and sign included. See `swats`.

    When to use:
      In an `optax.chain` of your own. Its update is the whole step, learning rate and sign
      included: scale by nothing after it.

    Args:
      learning_rate: Adam's rate.
      b1: the decay of $m$, and SGD's momentum.
      b2: the decay of $a$ and of the estimates.
      eps: Adam's, outside the uncorrected root.
      switch_atol: the absolute tolerance of the switch.
      switch_rtol: the tolerance relative to the estimate.
      min_steps: the switch comes after this many steps at the earliest.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `swats`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_swats
      >>> tx = optax.chain(optax.clip_by_global_norm(1.0), scale_by_swats(0.1))
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9, -1.9]
    """

    def init(params: Any) -> ScaleBySwatsState:
        # What is found from the gradients differs between devices where these do.
        types = map(jax.typeof, jax.tree.leaves(params))
        found = functools.partial(vary, axes=frozenset().union(*map(varying, types)))
        return ScaleBySwatsState(
            step=jnp.zeros((), jnp.int32),
            switched=found(jnp.zeros((), bool)),
            switch_step=found(jnp.zeros((), jnp.int32)),
            sgd_learning_rate=found(scalar(0.0)),
            switch_rate=found(scalar(1.0)),
            b1_product=scalar(1.0),
            b2_product=scalar(1.0),
            average=found(scalar(0.0)),
            mu=moments_like(params),
            nu=magnitudes_like(params),
        )

    def update(
        updates: Any, state: ScaleBySwatsState, params: Any = None
    ) -> tuple[Any, ScaleBySwatsState]:
        del params
        sgd = state.switched
        step = optax.safe_increment(state.step)
        b1_product, b2_product = state.b1_product * b1, state.b2_product * b2
        adam_rate = learning_rate * root(1 - b2_product) / (1 - b1_product)
        sgd_rate = (1 - b1) * state.sgd_learning_rate * learning_rate / state.switch_rate
        # SGD starts with no velocity: its first step ignores what the buffer holds of Adam.
        memory = jnp.where(sgd & (state.step == state.switch_step), 0.0, b1)
        weight = jnp.where(sgd, 1.0, 1 - b1)

        numbers = [sgd, memory, weight, weights(b2), adam_rate, sgd_rate, above_zero(eps)]
        steps, mu, nu = leafwise(_swats, [updates, state.mu, state.nu], numbers, 3)

        along = _dot(steps, updates)
        known = ~sgd & (along != 0)
        estimate = _dot(steps, steps) / jnp.where(known, -along, 1)
        smooth = jnp.where(known, average(state.average, estimate, weights(b2)), state.average)
        corrected = smooth / (1 - b2_product)
        close = jnp.abs(corrected - estimate) < switch_atol + switch_rtol * jnp.abs(estimate)
        switch = known & close & (corrected > 0) & (step > jnp.maximum(1, min_steps))
        new = ScaleBySwatsState(
            step=step,
            switched=sgd | switch,
            switch_step=jnp.where(switch, step, state.switch_step),
            sgd_learning_rate=jnp.where(switch, corrected, state.sgd_learning_rate),
            switch_rate=jnp.where(switch, learning_rate, state.switch_rate),
            b1_product=b1_product,
            b2_product=b2_product,
            average=smooth,
            mu=mu,
            nu=nu,
        )
        return steps, new

    return optax.GradientTransformation(init, update)


@optimizer()
def swats(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-9,
    switch_atol: NonNegative = 1e-9,
    switch_rtol: NonNegative = 0.0,
    min_steps: NonNegative = 1,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""SWATS, switching from Adam to SGD. The paper's Algorithm 1.

    Adam's step $p_k = -\eta_k \frac{\sqrt{1 - \beta_2^k}}{1 - \beta_1^k}
    \frac{m_k}{\sqrt{a_k} + \epsilon}$, on the whole parameter vector, gives an estimate of the
    rate that SGD would need, and its average

    .. math::
        \gamma_k = \frac{p_k \cdot p_k}{-p_k \cdot g_k}, \qquad
        \lambda_k = \beta_2 \lambda_{k-1} + (1 - \beta_2) \gamma_k, \qquad
        \hat\lambda_k = \frac{\lambda_k}{1 - \beta_2^k}

    wherever $p_k \cdot g_k \ne 0$. When $|\hat\lambda_k - \gamma_k|$ falls below
    `switch_atol` + `switch_rtol` $|\gamma_k|$, after more than `min_steps` steps, and
    $\hat\lambda_k > 0$, SGD takes over from the next step on, with $\Lambda = \hat\lambda_k$:

    .. math::
        v_k = \beta_1 v_{k-1} + g_k, \qquad
        w_k = w_{k-1} - (1 - \beta_1) \Lambda \frac{\eta_k}{\eta_{switch}} v_k

    The switch happens on the device. The state says `switched`, `switch_step` and
    `sgd_learning_rate` ($\Lambda$); see `optax.tree.get`.

    Adam may be left early, within its first steps: where the two estimates agree by chance, or
    on a problem of few dimensions, as the algorithm has it (on the variably dimensioned function
    at step 2). Set `min_steps` to an epoch or more where that is not wanted.

    The paper's tolerance (1e-9, its $\epsilon$) hardly ever fires on minibatches, and is below
    float32's rounding of $\gamma$; a `switch_rtol` of 1e-4 to 1e-2 is of practical use. There is
    one $\gamma$ for all parameters: ports that have one for each tensor, and switch all when any
    fires, are not the algorithm.

    When to use:
      Where Adam is quick at first and SGD generalizes better. Start with Adam's rate,
      `switch_rtol=1e-3` and `min_steps` of an epoch or two; raise it where `switched` stays
      False. Not with the paper's threshold on minibatches, which never fires; and not before
      plain `sgd` under a decay was tried.

    Args:
      learning_rate: $\eta$ of Adam, the paper's default is 0.001; after the switch, only its
        change matters.
      b1: $\beta_1$ in [0, 1), also SGD's momentum; the paper's default.
      b2: $\beta_2$ in [0, 1), the paper's default.
      eps: $\epsilon$ of Adam, outside the uncorrected root; the paper's default.
      switch_atol: the absolute tolerance, the paper's default.
      switch_rtol: the tolerance relative to $\gamma$; the paper has none.
      min_steps: the switch comes after step `min_steps` at the earliest; the paper has 1.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Keskar and Socher 2017, Improving generalization performance by switching from Adam to SGD,
      arXiv:1712.07628.

    See also:
      `adam`, `sgd`.

    Example:
      >>> import optax
      >>> from lropt_jax import fit, problem, swats
      >>> task = problem("digits_linear")
      >>> tx = swats(0.01, switch_rtol=1e-2, min_steps=task.steps_per_epoch)
      >>> model = fit(task, tx, epochs=10)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
      >>> bool(optax.tree.get(model.opt_state, "switched"))
      True
    """

    def denominators(state: ScaleBySwatsState) -> Any:
        sgd = state.switch_rate / above_zero(state.sgd_learning_rate)
        correction = above_zero(root(1 - state.b2_product))

        def of_leaf(a: Any) -> Any:
            adam = (root(a) + eps) / correction.astype(a.dtype)
            return jnp.where(state.switched, sgd.astype(adam.dtype), adam)

        return jax.tree.map(of_leaf, state.nu)

    step = scale_by_swats(learning_rate, b1, b2, eps, switch_atol, switch_rtol, min_steps)
    # Both Adam's m and (1 - b1) v of SGD are averages.
    step = answering(step, lambda state: of_average(b1), denominators)
    return descend(step, learning_rate, **decays)
