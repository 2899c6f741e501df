"""Adam, and Adam with decoupled weight decay: AdamW."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import optax

from lropt_jax.hyperparameters.dynamics import OfState, answering, of_average
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


class ScaleByAdamState(NamedTuple):
    r"""The state of `scale_by_adam`.

    Attributes:
      b1_product: $\prod_{s \le t} \beta_{1,s}$, for an exact bias correction when $\beta_1$ varies.
      b2_product: $\prod_{s \le t} \beta_{2,s}$.
      mu: $m$, the average gradient.
      nu: $v$, the average squared gradient.
    """

    b1_product: jax.Array
    b2_product: jax.Array
    mu: optax.Updates
    nu: optax.Updates


def folded(b1_product: Any, b2_product: Any, eps: Any) -> tuple[jax.Array, jax.Array]:
    r"""Both bias corrections as two numbers, so that an element costs one root, one division.

    .. math::
        \frac{m/c_1}{\sqrt{v/c_2} + \epsilon} =
        \frac{m}{(c_1 / \sqrt{c_2}) \sqrt{v} + c_1 \epsilon},
        \qquad c_i = 1 - \prod_s \beta_{i,s}

    Returns:
      $c_1 / \sqrt{c_2}$ and $c_1 \epsilon$, the latter above zero.
    """
    first = 1 - b1_product
    return first / above_zero(root(1 - b2_product)), above_zero(first * eps)


def _adam(
    g: Any, m: Any, v: Any, b1: Any, b2: Any, factor: Any, spread: Any, eps: Any
) -> tuple[Any, Any, Any]:
    m = average(m, g, b1)
    v = average(v, square(g), b2)
    return factor * m / (spread * root(v) + eps), m, v


@direction
def scale_by_adam(
    b1: Averaging = 0.9, b2: Averaging = 0.999, eps: NonNegative = 1e-8, factor: Finite = 1.0
) -> optax.GradientTransformation:
    r"""Direction $\hat m_t / (\sqrt{\hat v_t} + \epsilon)$. See `adam`.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `adam` is all of it with numbers that can be
      set.

    Args:
      b1: the decay of $m$.
      b2: the decay of $v$.
      eps: $\epsilon$.
      factor: multiplies the direction; in the numerator it costs less than afterwards.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `adam`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_adam
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_adam(b2=0.95),
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

        numbers = [weights(b1), weights(b2), factor, *folded(b1_product, b2_product, eps)]
        direction, mu, nu = leafwise(_adam, [updates, state.mu, state.nu], numbers, 3)
        return direction, ScaleByAdamState(b1_product, b2_product, mu, nu)

    return optax.GradientTransformation(init, update)


def answered(
    direction: optax.GradientTransformation,
    b1: Any,
    eps: Any,
    response: OfState | None = None,
    of: str = "nu",
) -> Any:
    """A direction of Adam's kind that says how it meets a curvature, as an average does.

    Args:
      direction, b1, eps: it, and its numbers.
      response: where it is not that of an average.
      of: the field of its state whose root divides.
    """

    def denominators(state: Any) -> Any:
        correction = above_zero(1 - state.b2_product)
        second = getattr(state, of)
        return jax.tree.map(lambda v: root(v / correction.astype(v.dtype)) + eps, second)

    return answering(direction, response or (lambda state: of_average(b1)), denominators)


@optimizer()
def adam(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-8,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Adam. Equal to the paper's Algorithm 1 and to `torch.optim.Adam`.

    .. math::
        m_t &= \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad
        v_t = \beta_2 v_{t-1} + (1 - \beta_2) g_t^2 \\
        p_t &= p_{t-1} - \eta_t \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon}, \qquad
        \hat m_t = \frac{m_t}{1 - \prod_s \beta_{1,s}}, \quad
        \hat v_t = \frac{v_t}{1 - \prod_s \beta_{2,s}}

    For complex numbers $g^2$ is $|g|^2$, as in Optax; PyTorch treats the real and the imaginary
    part as two numbers.

    When to use:
      The first try on most problems without weight decay. Start with 1e-3, or the rate of an
      `lr_range_test`, under a warm-up and a cosine; raise `b2` where rare examples matter,
      lower it to 0.95 for Transformers. Not with `l2`: the decay is then divided by the
      gradients' size; take `adamw`.

    Args:
      learning_rate: $\eta$; the paper's default is 0.001.
      b1: $\beta_1$ in [0, 1), the paper's default.
      b2: $\beta_2$ in [0, 1), the paper's default.
      eps: $\epsilon$, outside the root and after the correction, the paper's default.
      weight_decay: decoupled decay, times the learning rate, or None (see `adamw`).

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Kingma and Ba 2015, Adam, arXiv:1412.6980.

    See also:
      `adamw`, `nadam`, `amsgrad`, `sgd` before you settle.

    Example:
      >>> import jax, jax.numpy as jnp, optax
      >>> from lropt_jax import adam, cosine_decay
      >>> tx = adam(cosine_decay(0.3, decay_steps=150))
      >>> params = {"w": jnp.array([1.0, 2.0])}
      >>> state = tx.init(params)
      >>> gradient = jax.grad(lambda p: jnp.sum((p["w"] - 3.0) ** 2))
      >>> for _ in range(150):
      ...     updates, state = tx.update(gradient(params), state, params)
      ...     params = optax.apply_updates(params, updates)
      >>> [round(float(w), 1) for w in params["w"]]
      [3.0, 3.0]
    """
    direction = answered(scale_by_adam(b1, b2, eps, -learning_rate), b1, eps)
    return descend(direction, learning_rate, **decays)


@optimizer(weight_decay=1e-2)
def adamw(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-8,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""Adam with decoupled weight decay. Equal to `torch.optim.AdamW`.

    .. math::
        p_t = p_{t-1} - \eta_t \left(
        \frac{\hat m_t}{\sqrt{\hat v_t} + \epsilon} + \lambda p_{t-1} \right)

    The paper multiplies $\lambda$ by the schedule's multiplier alone: its $\lambda$ is our
    $\eta_0 \lambda$, and `independent_decay=True` with a schedule for `weight_decay` is that form
    literally.

    When to use:
      The default for Transformers and for whatever you have no better idea about. Start with
      1e-3 (3e-4 for large models), a decay of 0.01 to 0.1 on matrices alone
      (`mask="no_bias_norm"`), a warm-up over 5% and a cosine; then tune rate times decay. Not
      the last word on images that you can fit perfectly: try `sgd` with momentum beside it.

    Args:
      learning_rate: $\eta$; PyTorch's default is 0.001.
      b1: $\beta_1$ in [0, 1), Adam's default.
      b2: $\beta_2$ in [0, 1), Adam's default.
      eps: $\epsilon$, outside the root, Adam's default.
      weight_decay: $\lambda$, PyTorch's default (Optax's is 1e-4), or None.

    Raises:
      ValueError: for a concrete number out of its range, or for missing params in `update`.

    Reference:
      Loshchilov and Hutter 2019, Decoupled weight decay regularization, arXiv:1711.05101.

    See also:
      `adam`, `nadamw`, `no_bias_norm`, `by_layer`, `tune`.

    Example:
      >>> from lropt_jax import adamw, cosine_decay, fit, problem, warmup
      >>> schedule = warmup(cosine_decay(0.01, 380), steps=20)
      >>> tx = adamw(schedule, weight_decay=0.05, mask="no_bias_norm")  # matrices alone decay
      >>> model = fit(problem("digits_linear"), tx, steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True

      A mask may also be a pytree of bools, or a function of the parameters that makes one:

      >>> import jax, jax.numpy as jnp
      >>> tx = adamw(0.5, weight_decay=0.5, mask=lambda p: jax.tree.map(lambda x: x.ndim > 1, p))
      >>> params = {"kernel": jnp.ones((3, 2)), "bias": jnp.ones(2)}
      >>> no_gradient = jax.tree.map(jnp.zeros_like, params)
      >>> updates, state = tx.update(no_gradient, tx.init(params), params)
      >>> float(updates["kernel"][0, 0]), float(updates["bias"][0])
      (-0.25, -0.0)
    """
    direction = answered(scale_by_adam(b1, b2, eps, -learning_rate), b1, eps)
    return descend(direction, learning_rate, **decays)
