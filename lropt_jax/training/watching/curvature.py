"""Sharpness: the largest eigenvalue of the Hessian, by Lanczos on products with vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

STEPS = 20  # of Lanczos: so many products of the Hessian with a vector


def lanczos(product: Callable[[Any], Any], params: Any) -> dict[str, jax.Array]:
    """The tridiagonal matrix that a symmetric one becomes in its Krylov space.

    Each vector is made orthogonal to all before it, twice, so that no eigenvalue is found again.

    Args:
      product: the matrix times a vector; a linear map of trees like `params`.
      params: what gives the shapes and dtypes.

    Returns:
      Its diagonal, (steps,), and beside it, (steps,): the last number is what is left. As many
      steps as there are parameters, if these are fewer.
    """
    flat, unravel = ravel_pytree(params)
    size, dtype = flat.size, flat.dtype
    steps = min(STEPS, size)

    def apply(vector: Any) -> Any:
        return ravel_pytree(product(unravel(vector)))[0].astype(dtype)

    def step(i: Any, carry: Any) -> Any:
        vectors, diagonal, beside = carry
        following = apply(vectors[i])
        diagonal = diagonal.at[i].set(jnp.vdot(vectors[i], following))
        for _ in range(2):
            following = following - (vectors @ following) @ vectors
        length = jnp.linalg.norm(following)
        following = following / jnp.where(length > 0, length, 1)
        # The last one falls outside, and is dropped.
        vectors = vectors.at[i + 1].set(following, mode="drop")
        return vectors, diagonal, beside.at[i].set(length)

    first = jax.random.normal(jax.random.key(0), (size,), dtype)  # of each evaluation the same
    vectors = jnp.zeros((steps, size), dtype)
    if size:
        vectors = vectors.at[0].set(first / jnp.linalg.norm(first))
    empty = jnp.zeros((steps,), dtype)
    _, diagonal, beside = jax.lax.fori_loop(0, steps, step, (vectors, empty, empty))
    return {"diagonal": diagonal, "beside": beside}


def largest_eigenvalues(diagonal: np.ndarray, beside: np.ndarray) -> np.ndarray:
    """Of tridiagonal matrices, (width, steps): (width,). On the host: see `calls_lapack`.

    NaN where a number is not finite.
    """
    precision = 4 * np.finfo(diagonal.dtype).eps
    pairs = zip(diagonal.astype(float), beside.astype(float), strict=True)
    return np.array([_largest(*pair, precision) for pair in pairs])


def _largest(diagonal: np.ndarray, beside: np.ndarray, precision: float) -> float:
    if not diagonal.size or not (np.isfinite(diagonal).all() and np.isfinite(beside).all()):
        return float("nan")
    # Where nothing is left the Krylov space is whole, and what comes after it is rounding.
    scale = max(abs(diagonal).max(), beside.max())
    (ends,) = np.nonzero(beside <= precision * scale)
    size = ends[0] + 1 if len(ends) else len(diagonal)
    off = beside[: size - 1]
    matrix = np.diag(diagonal[:size]) + np.diag(off, 1) + np.diag(off, -1)
    return float(np.linalg.eigvalsh(matrix)[-1])


def hessian_product(gradient: Callable[[Any], Any], params: Any) -> Callable[[Any], Any]:
    """The Hessian at `params` times a vector: the derivative of the gradient along it.

    Args:
      gradient: of the loss, a function of the parameters.
      params: a tree of real arrays.
    """
    return lambda vector: jax.jvp(gradient, (params,), (vector,))[1]


def preconditioned(product: Callable[[Any], Any], denominators: Any) -> Callable[[Any], Any]:
    r"""$P^{-1/2} H P^{-1/2}$ times a vector, with the eigenvalues of $P^{-1} H$.

    Args:
      product: $H$ times a vector.
      denominators: $P$, a tree of positive numbers.
    """
    roots = jax.tree.map(lambda p: 1 / jnp.sqrt(p), denominators)

    def scaled(vector: Any) -> Any:
        return jax.tree.map(lambda r, v: r.astype(v.dtype) * v, roots, vector)

    return lambda vector: scaled(product(scaled(vector)))
