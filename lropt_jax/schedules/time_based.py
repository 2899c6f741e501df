"""The decay that teaching code writes as a recursion, in closed form."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from lropt_jax.schedules.constructor import schedule
from lropt_jax.validation import Finite, NonNegative

_DIRECT = 32  # terms that are summed one by one; from there the series errs by less than 1e-13


@schedule
def time_decay(count: Any, init_value: Finite, decay_rate: NonNegative) -> Any:
    r"""Time-based decay as a recursion, in closed form.

    .. math::
        \eta_t = \frac{\eta_{t-1}}{1 + k t}
        \quad\Longrightarrow\quad \eta_t = \eta_0 \prod_{e=1}^{t} \frac{1}{1 + k e}

    Code that multiplies the current rate by `1 / (1 + decay * epoch)` does this, which falls far
    faster than $\eta_0 / (1 + kt)$: that is `inverse_time_decay`.

    When to use:
      To repeat code that divides its last rate at each step. Start with $9/N^2$ as
      `decay_rate`, a hundredth after $N$ steps. Not for new work: it falls like
      $e^{-kt^2/2}$, faster than its name suggests.

    Args:
      init_value: $\eta_0$.
      decay_rate: $k$, per step.

    Raises:
      ValueError: for concrete numbers out of range.

    See also:
      `inverse_time_decay`, which is what most mean by the name.

    Example:
      >>> from lropt_jax import time_decay
      >>> rate = 0.1
      >>> for epoch in range(1, 11):
      ...     rate = rate / (1 + 0.01 * epoch)
      >>> round(rate, 4), round(float(time_decay(0.1, decay_rate=0.01)(10)), 4)
      (0.0588, 0.0588)
    """
    e = jnp.arange(1, _DIRECT + 1, dtype=count.dtype)
    first = jnp.sum(jnp.where(e <= count, jnp.log1p(decay_rate * e), 0))
    last = jnp.maximum(count, _DIRECT)
    return init_value * jnp.exp(-first - _sum_of_logs(decay_rate, last))


def _sum_of_logs(k: Any, t: Any) -> Any:
    r"""$\sum_{e=33}^{t} \log(1 + ke)$ by Euler-Maclaurin (lgamma cancels in float32)."""

    def antiderivative(x: Any) -> Any:
        return x * _mean_log(k * x) + jnp.log1p(k * x) / 2 + _corrections(k / (1 + k * x))

    return antiderivative(t) - antiderivative(jnp.full_like(t, _DIRECT))


def _corrections(slope: Any) -> Any:
    """The odd derivatives of log(1 + kx), each a power of the first, times B_2j / (2j)!."""
    return slope / 12 - 2 * slope**3 / 720 + 24 * slope**5 / 30240


def _mean_log(u: Any) -> Any:
    r"""$\frac1u \int_0^u \log(1 + v)\,dv$; for small u, where that cancels, by its series in z."""
    small = u < 0.5
    near, far = jnp.where(small, u, 0), jnp.where(small, 1, u)
    z = near / (2 + near)
    coefficients = jnp.asarray([*(1 / (2 * m + 1) for m in range(10, 0, -1)), 0], u.dtype)
    series = z + (1 + z) * jnp.polyval(coefficients, z**2)
    return jnp.where(small, series, ((1 + far) * jnp.log1p(far) - far) / far)
