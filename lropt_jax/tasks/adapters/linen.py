"""Flax linen modules as networks of pure functions."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
from flax import linen

from lropt_jax.tasks.adapters.base import mode_arguments


@dataclasses.dataclass(frozen=True)
class LinenNetwork:
    """A linen module: params are its collection "params", model_state all its other ones."""

    module: linen.Module

    def init(self, key: jax.Array, x: jax.Array) -> tuple[Any, Any]:
        """The module's variables, made in evaluation mode, so without drawing for dropout."""
        mode = mode_arguments(self.module.__call__, train=False)
        variables = dict(self.module.init(key, x, **mode))
        params = variables.pop("params", {})
        return params, self._carried(params, variables, x)

    def _carried(self, params: Any, state: Any, x: jax.Array) -> Any:
        """The collections that are as large after a step as before; `sow` makes one grow."""
        if not set(state) - {"batch_stats"}:
            return state
        key = jax.eval_shape(lambda: jax.random.key(0))
        _, new = jax.eval_shape(self.apply, params, state, x, key)
        old, new = ({name: jax.tree.structure(v) for name, v in s.items()} for s in (state, new))
        return {name: v for name, v in state.items() if old[name] == new[name]}  # type: ignore[operator]

    def apply(
        self, params: Any, model_state: Any, x: jax.Array, key: jax.Array | None
    ) -> tuple[jax.Array, Any]:
        """One forward pass."""
        variables = {"params": params, **model_state}
        mode = mode_arguments(self.module.__call__, train=key is not None)
        # Flax draws from "params" for every stream that is not given by its own name.
        rngs = None if key is None else {"dropout": key, "params": jax.random.fold_in(key, 1)}
        if key is None or not model_state:
            logits: Any = self.module.apply(variables, x, rngs=rngs, **mode)
            return logits, model_state
        mutable = list(model_state)
        logits, new_state = self.module.apply(variables, x, rngs=rngs, mutable=mutable, **mode)
        return logits, {**model_state, **new_state}

    def variables(self, params: Any, model_state: Any) -> Any:
        """What `module.apply` takes."""
        return {"params": params, **model_state}

    def __hash__(self) -> int:
        try:
            return hash(self.module)
        except TypeError:  # a field that cannot be hashed, an array for example
            return hash(type(self.module))
