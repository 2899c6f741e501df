"""Which of Optax's states an optimizer here goes on from, and where such a state stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jax

from lropt_jax.optimizers.adaptive_gradients import ScaleByAdadeltaState, ScaleByAdagradState
from lropt_jax.optimizers.adaptive_moments import ScaleByAdamState
from lropt_jax.optimizers.gradient_descent import ScaleByMomentumState
from lropt_jax.optimizers.maxima import ScaleByAdamaxState, ScaleByAmsgradState
from lropt_jax.optimizers.nesterov_moments import ScaleByNadamState
from lropt_jax.optimizers.root_mean_square import ScaleByRmspropState
from lropt_jax.optimizers.sign_based import ScaleByRpropState

MOMENTS = {"mu": "mu", "nu": "nu"}

# For each of ours (None: plain SGD) the states that it goes on from, and our fields in theirs.
# Optax's NAdam and AdaMax have the state of its Adam.
SOURCES: dict[type | None, dict[str, dict[str, str]]] = {
    None: {},
    ScaleByMomentumState: {"TraceState": {"velocity": "trace"}},
    ScaleByAdamState: {"ScaleByAdamState": MOMENTS},
    ScaleByNadamState: {"ScaleByAdamState": MOMENTS},
    ScaleByAdamaxState: {"ScaleByAdamState": {"mu": "mu", "largest": "nu"}},
    ScaleByAmsgradState: {"ScaleByAmsgradState": {**MOMENTS, "nu_max": "nu_max"}},
    ScaleByRmspropState: {"ScaleByRmsState": {"nu": "nu"}, "ScaleByRStdDevState": MOMENTS},
    ScaleByAdagradState: {"ScaleByRssState": {"sum_of_squares": "sum_of_squares"}},
    ScaleByAdadeltaState: {
        "ScaleByAdaDeltaState": {"squared_gradient": "e_g", "squared_step": "e_x"}
    },
    ScaleByRpropState: {"ScaleByRpropState": {"step_sizes": "step_sizes", "signs": "prev_updates"}},
}
KNOWN = {name for sources in SOURCES.values() for name in sources}
INJECTED = ("InjectHyperparamsState", "InjectStatefulHyperparamsState")


def is_injected(state: Any) -> bool:
    """Whether it is of `optax.inject_hyperparams`, which holds numbers and another state."""
    return type(state).__name__ in INJECTED


def states_in(x: Any) -> Iterator[tuple[str, Any]]:
    """The states that hold arrays, by the names of their types."""
    if type(x).__name__ in KNOWN:  # whatever the parameters are, tuples too
        yield type(x).__name__, x
    elif is_injected(x):
        yield from states_in(x.inner_state)
    elif isinstance(x, Mapping):
        for value in x.values():
            yield from states_in(value)
    elif isinstance(x, (tuple, list)):
        if hasattr(x, "_fields") and any(map(_is_own, x)):
            yield type(x).__name__, x
        else:
            for value in x:
                yield from states_in(value)
    elif jax.tree.leaves(x):
        yield "an array", x


def _is_own(field: Any) -> bool:
    """Whether a field holds arrays of the state itself: no states of others, but with leaves."""
    states = jax.tree.leaves(field, is_leaf=_is_state)
    return bool(states) and not any(map(_is_state, states))


def _is_state(x: Any) -> bool:
    return isinstance(x, tuple) and hasattr(x, "_fields")
