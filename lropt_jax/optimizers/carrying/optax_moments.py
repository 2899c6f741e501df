"""One of our optimizers, filled from the states that Optax's is made of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.hyperparameters.access import hyperparams
from lropt_jax.hyperparameters.state import TunableState
from lropt_jax.optimizers.carrying.differences import differences
from lropt_jax.optimizers.carrying.kinds import CARRIED, KINDS
from lropt_jax.optimizers.carrying.optax_states import SOURCES, states_in
from lropt_jax.optimizers.carrying.parts import (
    filled,
    moments_in,
    placed,
    same_structure,
    strange_states,
    with_moments,
)
from lropt_jax.optimizers.paths import named_leaves
from lropt_jax.schedules.base import Schedule, value_at

RENAMED = {"min_step_size": "min_step", "max_step_size": "max_step"}


class Given(NamedTuple):
    """What is known besides the moments.

    Attributes:
      numbers: of `inject_hyperparams`, by their names here.
      count: updates taken so far, by the caller's word.
      words: what differs, which is collected here.
      injected: the count of `inject_hyperparams`.
    """

    numbers: Mapping[str, Any]
    count: int | None  # type: ignore[assignment]  # shadows tuple.count
    words: list[str]
    injected: int | None = None


def optimizer_from(ours: TunableState, theirs: Any, where: str, given: Given) -> TunableState:
    """Our optimizer's state with the moments and the count of Optax's.

    Args:
      ours: its state at the start.
      theirs: the state in its place.
      where: how an error calls it, "head: ".
      given: what else is known.

    Raises:
      ValueError: as `from_optax`.
    """
    found = list(states_in(theirs))
    counts = [int(x.count) for _, x in found if "count" in getattr(x, "_fields", ())]
    count = next((c for c in (*counts, given.injected, given.count) if c is not None), None)
    if given.count is not None and given.count != count:
        raise ValueError(f"{where}count must be the state's, {count}, got {given.count}")
    if count is None and any(isinstance(x, Schedule) for x in ours.hyperparams.values()):
        given.words.append(
            f"{where}the state does not say its count, so schedules begin at 0: give count="
        )
    ours = ours._replace(count=placed(count or 0, ours.count))
    given.words.extend(differences(ours, given.numbers, where))
    if float(given.numbers.get("eps_root", 0.0)):
        given.words.append(f"{where}eps_root is {float(given.numbers['eps_root']):.6g} there")
    if _alike(ours.inner_state, theirs):  # tunable(optax.x)
        inner = jax.tree.map(lambda a, b: placed(b, a), ours.inner_state, theirs)
        return ours._replace(inner_state=inner)

    moments = _moments_of(ours, where)
    sources = SOURCES[None if moments is None else type(moments)]
    main, trace = _chosen(moments, found, where)
    if main is None:
        return ours
    name = type(main).__name__
    arrays = {
        field: _matched(getattr(moments, field), getattr(main, own), f"{where}{name}.{own}")
        for field, own in sources[name].items()
    }
    moved = any(np.any(x) for values in arrays.values() for x in values.values())
    if "count" in main._fields and not count and moved:
        raise ValueError(f"{where}the state is not whole: {name} has moments, but its count is 0")
    if trace is not None:
        arrays["velocity"] = _velocity(ours, moments, trace, where)
    arrays, scalars = _converted(ours, moments, arrays, count or 0, moved, where, given)
    fields = {field: filled(getattr(moments, field), values) for field, values in arrays.items()}
    fields |= {field: placed(x, getattr(moments, field)) for field, x in scalars.items()}
    return with_moments(ours, [moments._replace(**fields)])


def _alike(ours: Any, theirs: Any) -> bool:
    """Whether both are states of one transformation for the same parameters."""
    if not same_structure(ours, theirs):
        return False
    leaves = zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True)
    return bool(jax.tree.leaves(ours)) and all(np.shape(a) == np.shape(b) for a, b in leaves)


def _moments_of(ours: TunableState, where: str) -> Any:
    held = moments_in(ours)
    strange = sorted(set(strange_states(ours)))
    if len(held) > 1 or strange:
        what = ", ".join(strange) or f"{len(held)} layers, each with moments of its own"
        raise ValueError(
            f"{where}tx must be one of {', '.join(CARRIED)}, or tunable(optax.x), got one with "
            f"{what}"
        )
    return held[0] if held else None


def _chosen(moments: Any, found: list[tuple[str, Any]], where: str) -> tuple[Any, Any]:
    """Of Optax's states the one with the moments, and that of a momentum after them."""
    sources = SOURCES[None if moments is None else type(moments)]
    with_velocity = "TraceState" not in sources and getattr(moments, "velocity", None) is not None
    centered = getattr(moments, "mu", None) is not None
    needed = [name for name, own in sources.items() if ("mu" in own) == centered]
    needed += ["TraceState"] * with_velocity
    held = [name for name, _ in found if name != "ScaleByScheduleState"]
    if sorted(held) != sorted(needed):
        if len(held) == len(needed) and {*held, *needed} <= {*sources, "TraceState"}:
            where += "centered must be the same on both sides: "
        raise ValueError(
            f"{where}state must hold {' and '.join(needed) or 'no moments'}, which tx goes on "
            f"from, got {' and '.join(held) or 'no moments'}"
        )
    by_name = dict(found)
    return (by_name[needed[0]] if needed else None), by_name[
        "TraceState"
    ] if with_velocity else None


def _matched(ours: Any, theirs: Any, what: str) -> dict[str, np.ndarray]:
    """Their arrays by the paths of our leaves."""
    here, there = named_leaves(ours), named_leaves(theirs)
    for path in sorted({*here, *there}):
        shapes = [np.shape(tree[path]) if path in tree else "nothing" for tree in (here, there)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"{what} must have the parameters of tx, got {shapes[1]} for {path!r}, which has "
                f"{shapes[0]} here"
            )
    return {path: np.array(leaf) for path, leaf in there.items()}


def _velocity(ours: TunableState, moments: Any, trace: Any, where: str) -> dict[str, np.ndarray]:
    """Optax's RMSprop has the learning rate in its buffer; here it is outside."""
    rate = float(hyperparams(ours)["learning_rate"])
    if rate == 0:
        raise ValueError(f"{where}learning_rate must not be 0: Optax's buffer is in its units")
    values = _matched(moments.velocity, trace.trace, f"{where}TraceState.trace")
    return {path: -x / rate for path, x in values.items()}


def _converted(
    ours: TunableState,
    moments: Any,
    arrays: dict[str, dict[str, np.ndarray]],
    count: int,
    moved: bool,
    where: str,
    given: Given,
) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, Any]]:
    """The arrays in our form, and the numbers that stand beside them."""
    kind, arrays = KINDS[type(moments)], dict(arrays)
    scalars: dict[str, Any] = {
        field: _product(ours, name, count, given) for field, name in kind.products.items()
    }
    if kind.torch == "SGD":
        scalars["started"] = moved
    if kind.torch == "NAdam":  # Optax's momentum is b1 from the start: warm
        warm = 1.0 if count == 0 else 0.0
        scalars |= {"warmth": warm, "mu_product": _product(ours, "b1", count, given)}
    if kind.torch == "RMSprop" and "mu" in arrays:  # here the variance itself is kept
        squares, means = arrays["nu"], arrays["mu"]
        arrays["nu"] = {k: np.maximum(squares[k] - means[k] ** 2, 0) for k in squares}
    if kind.torch == "Rprop":
        arrays["signs"] = {path: np.sign(x) for path, x in arrays["signs"].items()}
        if moved:
            given.words.append(
                f"{where}Optax's rprop takes each step an update later: one is left out"
            )
    if "nu_max" in arrays:
        left = scalars["b2_product"]
        arrays["nu_max"] = {path: x * (1 - left) for path, x in arrays["nu_max"].items()}
        if left > 1e-6 and moved:
            given.words.append(
                f"{where}Optax's amsgrad takes the maximum after the bias correction, ours before"
            )
    return arrays, scalars


def _product(ours: TunableState, name: str, count: int, given: Given) -> float:
    """The product of a beta over the updates that were taken."""
    if name in given.numbers:
        return float(given.numbers[name]) ** count
    number = ours.hyperparams[name]
    if not isinstance(number, Schedule):
        return float(number) ** count
    return float(jnp.prod(jax.vmap(lambda t: value_at(number, t))(jnp.arange(count))))
