"""Flax nnx modules as networks of pure functions."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from lropt_jax.tasks.adapters.base import mode_arguments


@dataclasses.dataclass(frozen=True)
class NnxNetwork:
    """A function `rngs -> nnx module`: params are its `nnx.Param`, model_state its other variables.

    Both are plain nested dicts of arrays. The states of random streams are in neither: they are
    made anew from the key of each call, so that a step is a pure function of its key.
    """

    make: Callable[..., nnx.Module]

    def init(self, key: jax.Array, x: jax.Array) -> tuple[Any, Any]:
        """The variables of a module made with `key`; `x` is not needed."""
        del x
        _, params, _, _, state = _split(self._module(nnx.Rngs(key)))
        return nnx.to_pure_dict(params), nnx.to_pure_dict(state)

    def apply(
        self, params: Any, model_state: Any, x: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """One forward pass. The module itself is rebuilt, on shapes alone, when this is traced."""
        train = key is not None
        key = jax.random.key(0) if key is None else key
        module, streams = self._joined(params, model_state, key, train)
        given = mode_arguments(module.__call__, train)
        if "rngs" in inspect.signature(module.__call__).parameters:
            given["rngs"] = nnx.Rngs(jax.random.fold_in(key, streams))
        out = module(x, **given)
        return out, nnx.to_pure_dict(_split(module)[-1])

    def variables(self, params: Any, model_state: Any) -> Any:
        """The trained module, in evaluation mode."""
        return self._joined(params, model_state, jax.random.key(0), train=False)[0]

    def _joined(self, params: Any, model_state: Any, key: jax.Array, train: bool) -> Any:
        """The module with these variables, and how many random streams it has."""
        abstract: Any = nnx.eval_shape(lambda: self._module(nnx.Rngs(0)))
        abstract.train() if train else abstract.eval()
        graph, old_params, streams, _, old_state = _split(abstract)
        nnx.replace_by_pure_dict(old_params, params)
        nnx.replace_by_pure_dict(old_state, model_state)
        module = nnx.merge(graph, old_params, _reseeded(streams, key), old_state)
        return module, len(jax.tree.leaves(streams))

    def _module(self, rngs: nnx.Rngs) -> nnx.Module:
        # The signature of an nnx class is hidden by its metaclass.
        make: Any = self.make
        made_by = make.__init__ if isinstance(make, type) else make  # type: ignore[misc]
        named = "rngs" in inspect.signature(made_by).parameters
        module = make(rngs=rngs) if named else make(rngs)
        if not isinstance(module, nnx.Module):
            raise TypeError(
                "model must be a Flax linen module or a function rngs -> nnx module (an Equinox "
                f"module is made by a function of key); the function returned {module!r}"
            )
        return module


def _split(module: nnx.Module) -> tuple[Any, ...]:
    return nnx.split(module, nnx.Param, nnx.RngState, nnx.Intermediate, ...)


def _reseeded(streams: Any, key: jax.Array) -> Any:
    """Random streams that start from `key`, each from its own, with their counts at 0."""
    leaves, tree = jax.tree.flatten(streams)
    fresh = [
        jax.random.split(jax.random.fold_in(key, i), leaf.shape)
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        else jnp.zeros(leaf.shape, leaf.dtype)
        for i, leaf in enumerate(leaves)
    ]
    return jax.tree.unflatten(tree, fresh)
