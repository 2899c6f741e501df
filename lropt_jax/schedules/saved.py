"""Schedules in `flax.serialization`: saved with their formula's name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lropt_jax.schedules import flax_support
from lropt_jax.schedules.base import Schedule, listed


@flax_support.when_loaded
def _register(serialization: Any) -> None:
    """Saved with the formula's name, so that another formula's numbers are not taken for its."""

    def to_state_dict(s: Schedule) -> dict[str, Any]:
        numbers = {**s._data, **s._state}
        saved = {k: serialization.to_state_dict(v) for k, v in numbers.items()}
        return {_formula_of(s): {}, **saved}

    def from_state_dict(s: Schedule, saved: Any) -> Schedule:
        formula, names = _formula_of(s), {*s._data, *s._state}
        if not isinstance(saved, Mapping) or set(saved) - {formula} != names:
            was = ", ".join(saved) if isinstance(saved, Mapping) else "a number"
            here = ", ".join([formula, *sorted(names)])
            raise ValueError(
                f"{serialization.current_path()}: saved was {was}, but here is {here}: restore "
                "into the state of an optimizer that is built alike"
            )

        def restore(own: Mapping[str, Any]) -> dict[str, Any]:
            return {k: flax_support.restored(serialization, k, v, saved[k]) for k, v in own.items()}

        return Schedule(s._constructor, restore(s._data), s._static, restore(s._state))

    serialization.register_serialization_state(
        Schedule, to_state_dict, from_state_dict, override=True
    )


def _formula_of(s: Schedule) -> str:
    """A schedule's formula by name, with the strings and bools that are a part of it."""
    return f"{s.name}({listed(dict(s._static))})"
