"""Is this what an optimizer's numbers and its state must be?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.hyperparameters.numbers import Numbers
from lropt_jax.hyperparameters.state import TunableState
from lropt_jax.progress import several


def check_scalars(numbers: Mapping[str, Any]) -> None:
    """Refuses a schedule that holds the numbers of a whole population."""
    for name, value in numbers.items():
        for number in jax.tree.leaves(value):
            if np.ndim(number):
                raise ValueError(
                    f"{name} must be a schedule of scalars, got one with a number of shape "
                    f"{np.shape(number)}: {value!r}; vmap over it"
                )


def check_own(state: Any, numbers: Numbers) -> None:
    """Refuses what is no state of an optimizer with these numbers: another's, or of Optax's."""
    name = numbers.factory.name
    if not isinstance(state, TunableState):
        raise ValueError(
            f"state must be one that init of this {name} gives, got {type(state).__name__}; what "
            "an optimizer of Optax has left is taken over by from_optax, and update takes "
            "(updates, state, params)"
        )
    if set(state.hyperparams) != set(numbers):
        raise ValueError(
            f"state must be one that init of this {name} gives, with the numbers "
            f"{', '.join(sorted(numbers)) or 'none'}, got one with "
            f"{', '.join(sorted(state.hyperparams)) or 'none'}"
        )


def check_precision(numbers: Mapping[str, Any], instead: str) -> None:
    """Refuses numbers in half precision; `instead` is what to do."""
    for name, number in numbers.items():
        for leaf in jax.tree.leaves(number):
            dtype = jnp.result_type(leaf)
            if jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4:
                raise ValueError(
                    f"{name} is kept in {dtype.name}, which rounds 0.999 to 1: numbers need "
                    f"float32 or more; {instead}"
                )


def check_whole(state: TunableState) -> None:
    """Refuses moments from elsewhere without their bias corrections, where values are known."""
    for path, product in jax.tree_util.tree_leaves_with_path(state.inner_state):
        name = getattr(path[-1], "name", "") if path else ""
        known = not isinstance(product, jax.core.Tracer) and product.ndim == 0
        if not (str(name).endswith("_product") and known) or float(product) != 1.0:
            continue
        moments = [x for x in jax.tree.leaves(state.inner_state) if x.ndim]
        traced = any(isinstance(x, jax.core.Tracer) for x in (state.count, *moments))
        if not traced and int(state.count) > 0 and any(bool((x != 0).any()) for x in moments):
            raise ValueError(
                f"this state was taken over by half: {several(int(state.count), 'update')} and "
                f"moments, but {name} is 1, as before the first; set it to its beta to the power "
                "of the count"
            )
