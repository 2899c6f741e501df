"""The states inside a state: where moments stand, and what counts beside them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from lropt_jax.hyperparameters.groups import factory_of, labelled, tunables
from lropt_jax.hyperparameters.numbers import beside
from lropt_jax.hyperparameters.state import FeedbackState, TunableState
from lropt_jax.optimizers.accumulation import AccumulateState
from lropt_jax.optimizers.carrying.kinds import CARRIED, KINDS, PLAIN, Kind
from lropt_jax.optimizers.catalogue import OPTIMIZERS
from lropt_jax.optimizers.paths import names_of

# Wrappers whose own arrays may begin anew, and the field with what they wrap.
WRAPPERS: dict[type, str] = {
    TunableState: "inner_state",
    FeedbackState: "inner_state",
    AccumulateState: "inner_state",
    optax.MultiStepsState: "inner_opt_state",
    optax.ApplyIfFiniteState: "inner_state",
}
# What counts updates beside the optimizers.
COUNTERS: dict[type, str] = {
    AccumulateState: "updates",
    optax.MultiStepsState: "gradient_step",
    optax.ScaleByScheduleState: "count",
}


def check_carriable(caller: str, state: Any) -> None:
    """Raises `ValueError` for a state without a tunable optimizer, or with other moments."""
    refuse_others(caller, state)
    strange = sorted(set(strange_states(state)))
    if strange:
        kinds = ", ".join(dict.fromkeys(kind.torch for kind in KINDS.values()))
        raise ValueError(
            f"{caller}: tx must hold nothing but what PyTorch's {kinds} and AdamW hold, got one "
            f"with {', '.join(strange)}"
        )


def refuse_others(caller: str, state: Any) -> None:
    """Raises `ValueError` for a state without a tunable optimizer, or with one of another kind."""
    labelled(state)  # refuses a state without any
    for optimizer in tunables(state):
        if inner := tunables(optimizer.inner_state):
            raise ValueError(
                f"{caller}: tx must not have one tunable optimizer inside of another, got "
                f"{factory_of(inner[0]).name} in {factory_of(optimizer).name}"
            )
        name = factory_of(optimizer).name.removeprefix("by_layer_")
        if name in OPTIMIZERS and name not in CARRIED:
            raise ValueError(f"{caller}: tx must be one of {', '.join(CARRIED)}, got {name}")


def strange_states(x: Any, holder: str = "arrays") -> Iterator[str]:
    """The names of the states that hold arrays, but those of KINDS and of WRAPPERS."""
    if type(x) in KINDS or isinstance(x, optax.ScaleByScheduleState):
        return
    if type(x) in WRAPPERS:
        yield from strange_states(getattr(x, WRAPPERS[type(x)]), type(x).__name__)
    elif isinstance(x, Mapping):
        for value in x.values():
            yield from strange_states(value, holder)
    elif isinstance(x, (tuple, list)):
        for value in x:
            yield from strange_states(value, type(x).__name__ if hasattr(x, "_fields") else holder)
    elif jax.tree.leaves(x):
        yield holder


def parts_beside(x: Any) -> Iterator[bool]:
    """True for each part of a chain that is no optimizer: clipping, a scale, a decay."""
    if isinstance(x, (optax.EmptyState, optax.ScaleByScheduleState)):
        yield True
    elif isinstance(x, TunableState):
        return
    elif type(x) in WRAPPERS:
        yield from parts_beside(getattr(x, WRAPPERS[type(x)]))
    elif isinstance(x, Mapping):
        for value in x.values():
            if tunables(value):  # else what is frozen
                yield from parts_beside(value)
    elif isinstance(x, (tuple, list)):
        for value in x:
            yield from parts_beside(value)


def moments_in(state: TunableState) -> list[Any]:
    """The states of KINDS that an optimizer holds: of `by_layer` several, of plain SGD none."""
    leaves = jax.tree.leaves(state.inner_state, is_leaf=_is_known)
    return [x for x in leaves if _is_known(x)]


def with_moments(state: TunableState, new: list[Any]) -> TunableState:
    """The optimizer with other states in the places of `moments_in`."""
    following = iter(new)
    inner = jax.tree.map(
        lambda x: next(following) if _is_known(x) else x, state.inner_state, is_leaf=_is_known
    )
    return state._replace(inner_state=inner)


def with_optimizers(state: Any, new: Sequence[TunableState]) -> Any:
    """The state with other ones, their counts too, in the places of its tunable optimizers."""
    following = iter(new)
    return jax.tree.map(
        lambda x: next(following) if isinstance(x, TunableState) else x,
        state,
        is_leaf=lambda x: isinstance(x, TunableState),
    )


def same_structure(a: Any, b: Any) -> bool:
    """Whether two trees differ by their leaves alone."""
    first: Any = jax.tree.structure(a)
    return bool(first == jax.tree.structure(b))


def kind_of(moments: Any) -> Kind:
    """What PyTorch calls this state; None stands for the one of plain SGD."""
    return PLAIN if moments is None else KINDS[type(moments)]


def paths_of(moments: Any) -> list[str]:
    """The paths of the parameters that these moments are of."""
    kind = kind_of(moments)
    first = getattr(moments, next(iter(kind.buffers.values())))
    leaves = jax.tree_util.tree_leaves_with_path(first)
    return ["/".join(names_of(path)) for path, _ in leaves]


def labels_of(state: Any) -> list[str]:
    """For each tunable optimizer how an error calls it: "head: ", or nothing where it is alone."""
    words = [""] * len(tunables(state))

    def name(which: Any, label: str) -> None:
        if isinstance(which, dict):
            for key, inner in which.items():
                name(inner, f"{label}{key}: ")
        else:
            words[which] = label

    name(labelled(state), "")
    return words


def fixed_of(state: TunableState) -> Mapping[str, Any]:
    """The plain arguments of the optimizer's factory that are no numbers."""
    return factory_of(state).fixed


def placed(new: Any, like: jax.Array) -> jax.Array:
    """A copy of an array in the dtype of another, where that lies."""
    there: jax.Array = beside(jnp.array(new, like.dtype, copy=True), like)
    return there


def filled(tree: Any, values: Mapping[str, Any]) -> Any:
    """The tree with these values, by the paths of its leaves, in its dtypes."""
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: placed(values["/".join(names_of(path))], leaf), tree
    )


def counting(state: Any, count: Any) -> Any:
    """The state in which all that counts updates beside the optimizers has counted to `count`."""
    if isinstance(state, TunableState):
        return state
    if isinstance(state, Mapping):
        return type(state)({k: counting(v, count) for k, v in state.items()})  # type: ignore[call-arg]
    if not isinstance(state, (tuple, list)):
        return state
    values = [counting(x, count) for x in state]
    names = getattr(state, "_fields", None)
    if names is None:
        return type(state)(values)
    fields = dict(zip(names, values, strict=True))
    own = COUNTERS.get(type(state))
    if own:
        fields[own] = placed(count, fields[own])
    return type(state)(**fields)


def _is_known(x: Any) -> bool:
    return type(x) in KINDS
