"""What all optimizers share: leaf-wise equations, the moments' dtype, square roots and norms."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.schedules.counts import float_type

# A pytree of bools (or a prefix of one), a callable of params that returns one, a name, None.
Mask = Any

# The square is still a normal number of float32: a quotient by it can be differentiated.
SMALLEST = float(np.sqrt(np.finfo(np.float32).tiny))

MANY = 16  # leaves


def real_dtype(x: Any) -> Any:
    """The real dtype in which a leaf is worked on: float32 for half precision, else its own."""
    dtype = jnp.zeros((), jnp.result_type(x)).real.dtype
    return jnp.dtype(jnp.float32) if dtype.itemsize < 4 else dtype


def moment_dtype(x: Any) -> Any:
    """The dtype of a leaf's moments: that of `real_dtype`, complex for a complex leaf."""
    return _complex(real_dtype(x)) if jnp.iscomplexobj(x) else real_dtype(x)


def moments_like(params: Any) -> Any:
    """Zeros for a first moment."""
    return jax.tree.map(lambda p: jnp.zeros_like(p, dtype=moment_dtype(p)), params)


def magnitudes_like(params: Any, value: Any = 0.0) -> Any:
    """A real number for each entry, `value` at first, for a second moment or a step size."""
    return jax.tree.map(lambda p: jnp.full_like(p, value, dtype=real_dtype(p)), params)


def scalar(value: Any) -> jax.Array:
    """A number of the state, in the type that hyperparameters have."""
    return jnp.asarray(value, float_type())


def leafwise(
    equation: Callable[..., Any], trees: Sequence[Any], scalars: Sequence[Any], outputs: int
) -> tuple[Any, ...]:
    """Applies an optimizer's equation to every leaf.

    Args:
      equation: `equation(*leaves, *scalars)`, a function of a module (a closure would be
        compiled at each call), returns a tuple of `outputs` arrays. The scalars, but for truth
        values, arrive in the leaf's real working dtype, so that neither a float32 number nor a
        float64 one changes the dtype of a result.
      trees: the gradients (or what stands for them), then trees of the same structure; the
        first of these decides the working dtype if there is one, else the gradients do.
      scalars: numbers, or tuples of them. What is computed of numbers alone belongs here and not
        into the equation: there it would be computed for every leaf.
      outputs: how many trees come out.
    """
    first, flat = jax.tree.flatten(trees[0])
    treedef: Any = flat
    others = [treedef.flatten_up_to(tree) for tree in trees[1:]]
    equation = _traced_once(equation, [first, *others])
    cast: dict[Any, list[Any]] = {}
    results = []
    for g, *rest in zip(first, *others, strict=True):
        dtype = real_dtype(rest[0] if rest else g)
        if dtype not in cast:
            cast[dtype] = jax.tree.map(functools.partial(_cast, dtype), list(scalars))
        worked = [_as_real_dtype(x, dtype) if _is_low(x) else x for x in rest]
        with usual_promotion(g):
            results.append(equation(_as_real_dtype(g, dtype), *worked, *cast[dtype]))
    columns = zip(*results, strict=True) if results else [()] * outputs
    return tuple(treedef.unflatten(column) for column in columns)


def usual_promotion(tree: Any) -> AbstractContextManager[None]:
    """Where numbers are complex: a real one times them is meant, also where nothing is promoted."""
    if any(jnp.iscomplexobj(x) for x in jax.tree.leaves(tree)):
        usual: AbstractContextManager[None] = jax.numpy_dtype_promotion("standard")
        return usual
    return nullcontext()


def _is_low(x: Any) -> bool:
    """Whether these are signs, or floats of less than 32 bits: nothing to calculate with."""
    dtype = jnp.result_type(x)
    return dtype != jnp.bool_ and dtype.itemsize < 4


def _cast(dtype: Any, number: Any) -> jax.Array:
    if jnp.result_type(number) == jnp.bool_:
        return jnp.asarray(number)
    return jax.lax.convert_element_type(number, dtype)


def _traced_once(equation: Callable[..., Any], columns: list[list[Any]]) -> Callable[..., Any]:
    """The equation, traced once for each shape where there are many leaves.

    This halves the time that a model of hundreds of leaves takes to trace; for few leaves, or
    outside of a trace, it gains nothing.
    """
    if len(columns[0]) < MANY or not isinstance(columns[0][0], jax.core.Tracer):
        return equation
    truths = tuple(i for i, leaves in enumerate(columns) if isinstance(leaves[0], bool))
    return _compiled(equation, truths)


@functools.cache
def _compiled(equation: Callable[..., Any], static: tuple[int, ...]) -> Callable[..., Any]:
    compiled: Callable[..., Any] = jax.jit(equation, static_argnums=static)
    return compiled


def _as_real_dtype(x: Any, dtype: Any) -> jax.Array:
    return jax.lax.convert_element_type(x, _complex(dtype) if jnp.iscomplexobj(x) else dtype)


def _complex(real: Any) -> Any:
    """The dtype of complex numbers whose parts have this one."""
    return jnp.complex128 if jnp.dtype(real).itemsize > 4 else jnp.complex64


def varying(x: Any) -> frozenset[Any]:
    """Over which axes of a mesh an array (by its type) differs between the devices.

    Inside `jax.shard_map` this is a part of its type: zeros do over none.
    """
    kind = getattr(x, "manual_axis_type", None)  # "vma" before JAX 0.9
    return frozenset(getattr(x, "vma", None) or () if kind is None else kind.varying)


def vary(x: Any, axes: frozenset[Any]) -> Any:
    """The same array as one that differs over these axes, too."""
    missing = tuple(axes - varying(jax.typeof(x)))
    if not missing:
        return x
    return jax.lax.pcast(x, missing, to="varying")


def weights(decay: Any) -> tuple[jax.Array, jax.Array]:
    r"""$\beta$ and $1 - \beta$, the weights of `average`."""
    decay = scalar(decay)
    return decay, 1 - decay


def average(old: Any, new: Any, weights: tuple[Any, Any]) -> Any:
    r"""$\beta\, old + (1 - \beta)\, new$, the step of every moment."""
    return weights[0] * old + weights[1] * new


@jax.custom_jvp
def root(x: jax.Array) -> jax.Array:
    """The square root, with derivative 0 at 0: a parameter that never moved has a gradient."""
    return jnp.sqrt(x)


@root.defjvp
def _root_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    y = root(primals[0])
    slope = jnp.where(y > 0, 0.5 / jnp.where(y > 0, y, 1), 0)
    return y, slope * tangents[0]


def square(x: jax.Array) -> jax.Array:
    r"""$|x|^2$, real for complex numbers too."""
    return x.real**2 + x.imag**2 if jnp.iscomplexobj(x) else x * x


def norm(x: jax.Array) -> jax.Array:
    """The Euclidean norm of one leaf, with derivative 0 at 0."""
    return root(jnp.sum(square(x)))


def above_zero(eps: Any) -> jax.Array:
    """`eps`, kept above 0, so that 0 / (0 + eps) is 0 for `eps=0` too."""
    return jnp.maximum(scalar(eps), SMALLEST)
