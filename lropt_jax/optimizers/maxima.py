"""Adam with a running maximum in the denominator: AMSGrad, AdaMax."""

from __future__ import annotations

from typing import Any, NamedTuple, Unpack

import jax
import jax.numpy as jnp
import optax

from lropt_jax.hyperparameters.dynamics import answering, of_average
from lropt_jax.optimizers.adaptive_moments import folded
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


class ScaleByAmsgradState(NamedTuple):
    r"""The state of `scale_by_amsgrad`.

    Attributes:
      b1_product: $\prod_s \beta_{1,s}$.
      b2_product: $\prod_s \beta_{2,s}$.
      mu: $m$, the average gradient.
      nu: $v$, the average squared gradient.
      nu_max: the largest $v$ so far.
    """

    b1_product: jax.Array
    b2_product: jax.Array
    mu: optax.Updates
    nu: optax.Updates
    nu_max: optax.Updates


def _amsgrad(
    g: Any, m: Any, v: Any, largest: Any, b1: Any, b2: Any, *numbers: Any
) -> tuple[Any, ...]:
    one, factor, spread, eps = numbers
    m = average(m, g, b1)
    v = average(v, square(g), b2)
    largest = jnp.maximum(largest, one * v)
    return factor * m / (spread * root(largest) + eps), m, v, largest


@direction
def scale_by_amsgrad(
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-8,
    bias_correction: bool = True,
    factor: Finite = 1.0,
) -> optax.GradientTransformation:
    r"""Adam's direction with the largest $v$ so far. See `amsgrad`.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `amsgrad` is all of it with numbers that can be
      set.

    Args:
      b1: the decay of $m$.
      b2: the decay of $v$.
      eps: $\epsilon$.
      bias_correction: whether to correct as PyTorch does, after the maximum.
      factor: multiplies the direction; in the numerator it costs less than afterwards.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `amsgrad`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_amsgrad
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_amsgrad(),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9, -1.9]
    """

    def init(params: Any) -> ScaleByAmsgradState:
        ones = scalar(1.0), scalar(1.0)
        return ScaleByAmsgradState(
            *ones, moments_like(params), magnitudes_like(params), magnitudes_like(params)
        )

    def update(
        updates: Any, state: ScaleByAmsgradState, params: Any = None
    ) -> tuple[Any, ScaleByAmsgradState]:
        del params
        products = state.b1_product * b1, state.b2_product * b2
        corrections = folded(*products, eps) if bias_correction else (1.0, above_zero(eps))
        # XLA:CPU makes a slow loop of a maximum alone (measured: 88 against 63 us an update in
        # cache); times a number that it does not know to be 1, it is one fusion of two operations.
        one = 1 + jax.lax.stop_gradient(jnp.minimum(products[1], 0))

        trees = [updates, state.mu, state.nu, state.nu_max]
        numbers = [weights(b1), weights(b2), one, factor, *corrections]
        direction, *moments = leafwise(_amsgrad, trees, numbers, 4)
        return direction, ScaleByAmsgradState(*products, *moments)

    return optax.GradientTransformation(init, update)


@optimizer()
def amsgrad(
    learning_rate: NonNegative,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-8,
    bias_correction: bool = True,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""AMSGrad. Equal to `torch.optim.Adam(amsgrad=True)`, or to the paper's Algorithm 2.

    .. math::
        \bar v_t = \max(\bar v_{t-1}, v_t), \qquad
        p_t = p_{t-1} - \eta_t \frac{m_t / c_1}{\sqrt{\bar v_t / c_2} + \epsilon}

    with Adam's $m$ and $v$ and $c_i = 1 - \prod_s \beta_{i,s}$, or $c_i = 1$ without bias
    correction, as in the paper (which has no $\epsilon$: set it to 0). Optax's is a third form: it
    corrects first and takes the maximum then.

    When to use:
      Where Adam fails to converge because rare large gradients are forgotten. Start with
      Adam's numbers. Not as a replacement of `adam` in general: a single outlier shrinks all
      later steps, and it keeps a third copy of the parameters.

    Args:
      learning_rate: $\eta$; PyTorch's default is 0.001.
      b1: $\beta_1$ in [0, 1), Adam's default.
      b2: $\beta_2$ in [0, 1), Adam's default.
      eps: $\epsilon$, outside the root, Adam's default.
      bias_correction: True for PyTorch's form, False for the paper's.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Reddi, Kale and Kumar 2018, On the convergence of Adam and beyond, arXiv:1904.09237.

    See also:
      `adam` with a larger `b2`, which is the cheaper cure.

    Example:
      >>> from lropt_jax import amsgrad, cosine_decay, fit, problem
      >>> model = fit(problem("digits_linear"), amsgrad(cosine_decay(0.01, 400)), steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """

    def denominators(state: ScaleByAmsgradState) -> Any:
        correction = above_zero(1 - state.b2_product) if bias_correction else scalar(1.0)
        return jax.tree.map(lambda v: root(v / correction.astype(v.dtype)) + eps, state.nu_max)

    direction = scale_by_amsgrad(b1, b2, eps, bias_correction, -learning_rate)
    direction = answering(direction, lambda state: of_average(b1), denominators)
    return descend(direction, learning_rate, **decays)


class ScaleByAdamaxState(NamedTuple):
    r"""The state of `scale_by_adamax`.

    Attributes:
      b1_product: $\prod_s \beta_{1,s}$.
      mu: $m$, the average gradient.
      largest: $u$, the decaying maximum of the gradient's magnitude.
    """

    b1_product: jax.Array
    mu: optax.Updates
    largest: optax.Updates


def _adamax(
    g: Any, m: Any, u: Any, b1: Any, b2: Any, factor: Any, eps: Any
) -> tuple[Any, Any, Any]:
    m = average(m, g, b1)
    size = root(square(g)) if jnp.iscomplexobj(g) else jnp.abs(g)
    u = jnp.maximum(b2 * u, size + eps)
    return factor * m / u, m, u


@direction
def scale_by_adamax(
    b1: Averaging = 0.9, b2: Averaging = 0.999, eps: NonNegative = 1e-8, factor: Finite = 1.0
) -> optax.GradientTransformation:
    r"""Direction $\hat m_t / u_t$. See `adamax`.

    When to use:
      In an `optax.chain` of your own. It neither descends nor decays:
      `optax.scale_by_learning_rate` does, and `adamax` is all of it with numbers that can be
      set.

    Args:
      b1: the decay of $m$.
      b2: the decay of $u$.
      eps: $\epsilon$, added to each gradient's magnitude.
      factor: multiplies the direction; in the numerator it costs less than afterwards.

    Raises:
      ValueError: for a concrete number out of its range.

    See also:
      `adamax`.

    Example:
      >>> import jax.numpy as jnp, optax
      >>> from lropt_jax import scale_by_adamax
      >>> tx = optax.chain(
      ...     optax.clip_by_global_norm(1.0),
      ...     scale_by_adamax(),
      ...     optax.scale_by_learning_rate(0.1),
      ... )
      >>> params = jnp.array([1.0, -2.0])
      >>> updates, state = tx.update(2 * params, tx.init(params), params)
      >>> [round(float(p), 4) for p in optax.apply_updates(params, updates)]
      [0.9, -1.9]
    """

    def init(params: Any) -> ScaleByAdamaxState:
        return ScaleByAdamaxState(scalar(1.0), moments_like(params), magnitudes_like(params))

    def update(
        updates: Any, state: ScaleByAdamaxState, params: Any = None
    ) -> tuple[Any, ScaleByAdamaxState]:
        del params
        b1_product = state.b1_product * b1

        numbers = [weights(b1), b2, factor / (1 - b1_product), above_zero(eps)]
        trees = [updates, state.mu, state.largest]
        direction, mu, largest = leafwise(_adamax, trees, numbers, 3)
        return direction, ScaleByAdamaxState(b1_product, mu, largest)

    return optax.GradientTransformation(init, update)


@optimizer()
def adamax(
    learning_rate: NonNegative = 2e-3,
    b1: Averaging = 0.9,
    b2: Averaging = 0.999,
    eps: NonNegative = 1e-8,
    **decays: Unpack[Decays],
) -> optax.GradientTransformation:
    r"""AdaMax, Adam in the infinity norm. Equal to `torch.optim.Adamax`.

    .. math::
        u_t = \max(\beta_2 u_{t-1},\, |g_t| + \epsilon), \qquad
        p_t = p_{t-1} - \frac{\eta_t}{1 - \prod_s \beta_{1,s}} \frac{m_t}{u_t}

    The paper has no $\epsilon$.

    When to use:
      Embeddings and other gradients with rare large entries: it divides by a decaying maximum
      instead of a mean of squares. Start with 2e-3. Not where `adam` trains well: there is
      little to gain.

    Args:
      learning_rate: $\eta$, the paper's default.
      b1: $\beta_1$ in [0, 1), the paper's default.
      b2: $\beta_2$ in [0, 1), the paper's default.
      eps: $\epsilon$, PyTorch's default.

    Raises:
      ValueError: for a concrete number out of its range.

    Reference:
      Kingma and Ba 2015, Adam, section 7.1, arXiv:1412.6980.

    See also:
      `adam`, `amsgrad`.

    Example:
      >>> from lropt_jax import adamax, cosine_decay, fit, problem
      >>> model = fit(problem("digits_linear"), adamax(cosine_decay(0.02, 400)), steps=400)
      >>> model.evaluate("test")["accuracy"] > 0.9
      True
    """
    direction = scale_by_adamax(b1, b2, eps, -learning_rate)
    direction = answering(direction, lambda state: of_average(b1), lambda state: state.largest)
    return descend(direction, learning_rate, **decays)
