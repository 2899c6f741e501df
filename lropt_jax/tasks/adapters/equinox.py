"""Equinox modules as networks of pure functions."""

from __future__ import annotations

import dataclasses
import inspect
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from lropt_jax.tasks.adapters.base import mode_arguments
from lropt_jax.tasks.arrays import shapes


class Made:
    """A function of `key` that always gives the same module, which is said once."""

    def __init__(self, model: Any):
        self.model = model
        name = type(model[0] if isinstance(model, tuple) else model).__name__
        warnings.warn(
            f"every seed starts from the weights of this {name}; a function of key gives each "
            f"seed its own: lambda key: {name}(..., key=key)",
            stacklevel=6,  # the caller of classification_task or its like
        )

    def __call__(self, key: Any) -> Any:
        """The module, whatever the key."""
        del key
        return self.model

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Made) and self.model is other.model

    def __hash__(self) -> int:
        return id(self.model)


@dataclasses.dataclass(frozen=True)
class EquinoxNetwork:
    """A function `key -> Equinox module`, or `key -> (module, state)`, of one example.

    The module is partitioned: params is the module with its floating-point arrays alone and None
    elsewhere, as `equinox.partition(module, equinox.is_inexact_array)` makes it. Its other arrays
    and the state of stateful layers (batch-norm) are the model_state, as plain tuples. What is no
    array is found anew, on shapes alone, when a call is traced.
    """

    make: Callable[[Any], Any]

    def init(self, key: jax.Array, x: Any) -> tuple[Any, Any]:
        """The parts of a module made with `key`; `x` is not needed."""
        del x
        module, state = self._made(key)
        arrays = [leaf for leaf in jax.tree.leaves(module) if _is_array(leaf)]
        parts = {
            "arrays": tuple(a for a in arrays if not _is_param(a)),
            "state": tuple(jax.tree.leaves(state)),
        }
        params = eqx.filter(module, eqx.is_inexact_array)
        return params, {name: part for name, part in parts.items() if part}

    def apply(
        self, params: Any, model_state: Any, x: Any, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """One forward pass, vmapped over the examples of a batch."""
        module, state = self._joined(params, model_state)
        train = key is not None
        if not train:
            module = eqx.nn.inference_mode(module)
        state = _as(_State, state)
        call, takes = _statistics_wide(module), inspect.signature(module).parameters
        given = mode_arguments(module, train)
        # Drawn in evaluation, too, for a call that splits its key whatever the mode.
        keys = jax.random.split(jax.random.key(0) if key is None else key, _examples(x))

        def one(x: Any, key: Any, state: Any) -> Any:
            own = {**given, "key": key} if "key" in takes else given
            return call(x, state, **own) if model_state.get("state") else (call(x, **own), state)

        batched = jax.vmap(one, (0, 0, None), (0, None), axis_name=_axis_name(module))
        out, state = batched(x, keys, state)
        if "state" in model_state:
            model_state = {**model_state, "state": tuple(jax.tree.leaves(state))}
        return out, model_state

    def variables(self, params: Any, model_state: Any) -> Any:
        """The trained module; (module, state) where it has stateful layers."""
        module, state = self._joined(params, model_state)
        return (module, state) if "state" in model_state else module

    def _joined(self, params: Any, model_state: Any) -> tuple[Any, Any]:
        module, state = eqx.filter_eval_shape(self._made, jax.random.key(0))
        leaves, structure = jax.tree.flatten(module)
        trained, others = iter(jax.tree.leaves(params)), iter(model_state.get("arrays", ()))
        whole = [
            leaf if not _is_array(leaf) else next(trained) if _is_param(leaf) else next(others)
            for leaf in leaves
        ]
        state = jax.tree.unflatten(jax.tree.structure(state), model_state.get("state", ()))
        return jax.tree.unflatten(structure, whole), state

    def _made(self, key: Any) -> tuple[Any, Any]:
        made = self.make(key) if isinstance(self.make, Made) else self.make(key=key)  # type: ignore[call-arg]
        if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], eqx.nn.State):
            return made
        if not isinstance(made, eqx.Module) or not callable(made):
            raise TypeError(
                f"a function of key must return an Equinox module that can be called, got {made!r}"
            )
        return eqx.nn.make_with_state(lambda: made)()


@jax.tree_util.register_pytree_node_class
class _State(eqx.nn.State):
    """A state that takes what has the old value's shapes and dtypes, wherever it lies.

    Equinox's own compares that, too, and refuses a constant where lanes are sharded.
    """

    def set(self, item: Any, value: Any) -> Any:
        """Another state, with this value; the old one becomes stale."""
        old = self.get(item)
        value = jax.tree.map(jnp.asarray, value)
        if shapes(old) != shapes(value):
            return super().set(item, value)  # raises
        kept: Any = super().set(item, old)
        values, keys = kept.tree_flatten()
        values = tuple(value if k == item.marker else v for k, v in zip(keys, values, strict=True))
        kind: Any = _State
        return kind.tree_unflatten(keys, values)

    def substate(self, pytree: Any) -> Any:
        """As Equinox's."""
        return _as(_State, super().substate(pytree))

    def update(self, substate: Any) -> Any:
        """As Equinox's."""
        return _as(_State, super().update(_as(eqx.nn.State, substate)))


def _as(kind: Any, state: Any) -> Any:
    values, keys = state.tree_flatten()
    return kind.tree_unflatten(keys, values)


class _Wide(eqx.nn.StatefulLayer):
    """A batch-norm that takes inputs of another float type than its statistics have.

    A stateful layer, since `equinox.nn.Sequential` hands the state to no other.
    """

    layer: eqx.nn.BatchNorm

    def __call__(self, x: Any, state: Any, **options: Any) -> tuple[Any, Any]:
        indices = jax.tree.leaves(self.layer, is_leaf=_is_index)
        kept = jax.tree.leaves([state.get(i) for i in indices if _is_index(i)])
        dtype = next(a.dtype for a in kept if _is_param(a))
        out, state = self.layer(x.astype(dtype), state, **options)
        return out.astype(x.dtype), state


def _is_index(part: Any) -> bool:
    return isinstance(part, eqx.nn.StateIndex)


def _statistics_wide(module: Any) -> Any:
    def is_norm(part: Any) -> bool:
        return isinstance(part, eqx.nn.BatchNorm)

    return jax.tree.map(lambda m: _Wide(m) if is_norm(m) else m, module, is_leaf=is_norm)


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct) or bool(eqx.is_array(leaf))


def _is_param(leaf: Any) -> bool:
    return bool(jnp.issubdtype(leaf.dtype, jnp.inexact))


def _examples(x: Any) -> int:
    return len(jax.tree.leaves(x)[0])


def _axis_name(module: Any) -> Any:
    """The name of the batch's axis, which the user gave to the batch-norm layers."""
    named = jax.tree.leaves(module, is_leaf=lambda m: hasattr(m, "axis_name"))
    names = {m.axis_name for m in named if hasattr(m, "axis_name")}
    if len(names) > 1:
        raise ValueError(
            f"the layers of a module must share one axis_name, that of the batch, got {names}"
        )
    return names.pop() if names else "batch"
