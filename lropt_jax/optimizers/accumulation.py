"""Gradients of several microbatches, then one update."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from lropt_jax.hyperparameters.building import owned_outside
from lropt_jax.hyperparameters.dynamics import says, unheard
from lropt_jax.hyperparameters.numbers import stored
from lropt_jax.optimizers.base import vary, varying
from lropt_jax.schedules.base import Schedule, from_callable, value_at
from lropt_jax.schedules.counts import float_type
from lropt_jax.schedules.fingerprint import Carried
from lropt_jax.validation import at_least_one, check_transformation, is_number, names


class AccumulateState(NamedTuple):
    """The state of `accumulate`.

    Attributes:
      updates: updates taken so far, int32; what a schedule of `every` counts.
      microbatch: gradients summed since the last update, int32; 0 right after an update.
      every: a number, or a `Schedule`; data, like a hyperparameter.
      gradients: their sum, in at least float32.
      extra: for each numeric extra argument its sum, and how many there were.
      inner_state: the state of the inner optimizer.

    See also:
      `accumulate`, `TunableState`.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import accumulate, adam
      >>> tx = accumulate(adam(1e-3), every=4)
      >>> state = tx.init(jnp.ones(2))
      >>> for _ in range(6):
      ...     updates, state = tx.update(jnp.ones(2), state)
      >>> int(state.updates), int(state.microbatch)
      (1, 2)
    """

    updates: jax.Array
    microbatch: jax.Array
    every: Any
    gradients: Any
    extra: dict[str, tuple[jax.Array, jax.Array]]
    inner_state: optax.OptState


def accumulate(
    tx: optax.GradientTransformation, every: Any, extra_args: Sequence[str] = ("value",)
) -> optax.GradientTransformationExtraArgs:
    r"""The mean gradient of `every` microbatches, then one update of `tx`.

    .. math::
        \bar g = \frac1k \sum_{i=1}^{k} g_i, \qquad k = \max(1, \mathrm{round}(e_u))

    Until the last of them the updates are zero and the inner state stays as it is, so the inner
    optimizer and its schedules count updates. Numeric extra arguments (`value=`, a loss) are
    averaged over the microbatches; others pass as they are with the last one. Shapes are static,
    and a growing `every` compiles once. Inside a `tunable` factory the outer optimizer counts,
    and it counts microbatches: accumulate around it, `accumulate(tunable(...)(...), every)`.

    When to use:
      When the batch you want does not fit into memory. Start with the batch that fits, and
      `every` as what is missing; the schedule then counts updates, not microbatches. It saves
      no time, and batch norm still sees microbatches.

    Args:
      tx: any optimizer.
      every: $e_u$, microbatches for update $u$: a number, a schedule of the update count (the
        batch of `batch_size_from`, in microbatches) or a plain callable of it.
      extra_args: names of the numeric (scalar) extra arguments that the state has room for from
        the start. Another one adds itself to the state when it is first given, which a loop in
        `jax.lax.scan` does not allow: name it here.

    Raises:
      ValueError: for a concrete `every` below 1, or a schedule that observes.
      TypeError: for a `tx` that is no transformation, or an `every` that is no number.

    Reference:
      The batch as a schedule: Smith et al. 2018, arXiv:1711.00489.

    See also:
      `fit`, whose `accumulate=` does this for a `Task`, `batch_size_from`.

    Example:
      >>> import jax.numpy as jnp
      >>> from lropt_jax import accumulate, sgd
      >>> tx = accumulate(sgd(1.0), every=2)
      >>> state = tx.init(jnp.zeros(2))
      >>> first, state = tx.update(jnp.array([1.0, 2.0]), state)
      >>> second, state = tx.update(jnp.array([3.0, 4.0]), state)
      >>> first.tolist(), second.tolist()
      ([0.0, 0.0], [-2.0, -3.0])
    """
    check_transformation("accumulate: tx", tx)
    inner, extra_args = optax.with_extra_args_support(tx), names(extra_args)
    if not callable(every):
        if not is_number(every):
            raise TypeError(f"accumulate: every must be a number or a schedule, got {every!r}")
        at_least_one.check("accumulate: every", every)
    elif isinstance(every, Schedule) and every.observes:
        raise ValueError(f"accumulate: every must not observe, got {every!r}")

    every = from_callable(every, "accumulate: every") if callable(every) else every
    carried = Carried(every)
    # What calls this for a number of its own sets it, and builds this anew for each update.
    set_outside = every if owned_outside() else None

    def init(params: optax.Params) -> AccumulateState:
        return AccumulateState(
            updates=jnp.zeros((), jnp.int32),
            microbatch=jnp.zeros((), jnp.int32),
            every=stored(carried.data),
            gradients=jax.tree.map(lambda p: jnp.zeros_like(p, dtype=_sum_type(p)), params),
            extra={name: _nothing(0.0) for name in extra_args},
            inner_state=jax.tree.map(lambda x: _as(x, jnp.result_type(x)), inner.init(params)),
        )

    def update(
        updates: optax.Updates, state: AccumulateState, params: Any = None, **extra: Any
    ) -> tuple[optax.Updates, AccumulateState]:
        numbers = {name: x for name, x in extra.items() if _is_averaged(x)}
        gradients = jax.tree.map(lambda s, g: s + jnp.asarray(g, s.dtype), state.gradients, updates)
        sums = dict(state.extra)
        for name, x in numbers.items():
            total, times = sums.get(name, _nothing(x))
            sums[name] = (total + jnp.asarray(x, total.dtype), times + 1)
        microbatch = state.microbatch + 1
        if set_outside is not None:
            state = state._replace(every=jax.tree.map(_like, stored(set_outside), state.every))

        def take(_: None) -> tuple[Any, AccumulateState]:
            mean = jax.tree.map(
                lambda s, g: _as(s / microbatch.astype(s.dtype), jnp.result_type(g)),
                gradients,
                updates,
            )
            means = {
                name: total / times.astype(total.dtype) for name, (total, times) in sums.items()
            }
            given = {name: means[name] for name in numbers}
            new, inner_state = inner.update(mean, state.inner_state, params, **{**extra, **given})
            inner_state = jax.tree.map(_like, inner_state, state.inner_state)
            return new, state._replace(
                updates=optax.safe_increment(state.updates),
                microbatch=jnp.zeros_like(microbatch),
                gradients=jax.tree.map(jnp.zeros_like, gradients),
                extra=jax.tree.map(jnp.zeros_like, sums),
                inner_state=inner_state,
            )

        def wait(_: None) -> tuple[Any, AccumulateState]:
            zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype, device=x.sharding), shapes)
            return zeros, state._replace(microbatch=microbatch, gradients=gradients, extra=sums)

        says(inner, updates, state.inner_state, params)
        with unheard():
            shapes = jax.eval_shape(take, None)[0]
            wanted = _whole(value_at(state.every, state.updates))
            taken: tuple[Any, AccumulateState] = jax.lax.cond(
                microbatch < wanted, *_of_one_type(wait, take), None
            )
        return taken

    return optax.GradientTransformationExtraArgs(init, update)


def _whole(every: Any) -> jax.Array:
    """At least 1, an int: a sum of floats stands still at 2^24."""
    if not jnp.issubdtype(jnp.result_type(every), jnp.integer):
        every = jnp.minimum(jnp.round(every), 2.0**30).astype(jnp.int32)
    return jnp.maximum(every, 1)


def _of_one_type(*branches: Callable[[None], Any]) -> list[Callable[[None], Any]]:
    """Branches for `cond`, whose results are made to differ over the same axes of a mesh."""
    types = [jax.eval_shape(branch, None) for branch in branches]
    axes = jax.tree.map(lambda *x: frozenset().union(*(varying(y) for y in x)), *types)

    def widened(branch: Callable[[None], Any]) -> Callable[[None], Any]:
        return lambda _: jax.tree.map(vary, branch(None), axes)

    return [widened(branch) for branch in branches]


def _nothing(like: Any) -> tuple[jax.Array, jax.Array]:
    dtype = _wider(jnp.result_type(like), float_type())
    return jnp.zeros(jnp.shape(like), dtype), jnp.zeros((), jnp.int32)


def _is_averaged(x: Any) -> bool:
    """Numbers, but not raw random keys (unsigned integers), flags, or schedules."""
    return is_number(x) and not jnp.issubdtype(jnp.result_type(x), jnp.unsignedinteger)


def _sum_type(x: Any) -> Any:
    return _wider(jnp.result_type(x), jnp.float32)


def _wider(dtype: Any, least: Any) -> Any:
    with jax.numpy_dtype_promotion("standard"):
        low = jnp.issubdtype(dtype, jnp.floating) and jnp.dtype(dtype).itemsize < 4
        return jnp.dtype(least) if low else jnp.promote_types(dtype, least)


def _as(x: Any, dtype: Any) -> jax.Array:
    return jax.lax.convert_element_type(x, dtype)


def _like(new: Any, old: Any) -> jax.Array:
    return _as(new, jnp.result_type(old))
