"""A range test as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np

from lropt_jax.progress import several


class Curve(Protocol):
    """What is told of one configuration: the attributes of a `RangeTest`."""

    @property
    def learning_rates(self) -> Any: ...
    @property
    def seeds(self) -> list[int]: ...
    @property
    def split(self) -> str: ...
    @property
    def median(self) -> Any: ...
    @property
    def diverged_at(self) -> Any: ...
    @property
    def suggestions(self) -> Mapping[str, Any]: ...
    @property
    def reasons(self) -> Mapping[str, Any]: ...
    @property
    def bounds(self) -> Any: ...


BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def summary(parts: Iterable[tuple[Mapping[str, Any], Curve]], recommended: str) -> str:
    """All configurations, one after the other.

    Args:
      parts: the values of each, by name, and its test.
      recommended: the rule that is marked.
    """
    return "\n\n".join(_one(values, part, recommended) for values, part in parts)


def named(values: Mapping[str, Any]) -> str:
    """A configuration in words."""
    return ", ".join(f"{k}={getattr(v, '__name__', v)}" for k, v in values.items())


def _one(values: Mapping[str, Any], part: Curve, recommended: str) -> str:
    rates, seeds = part.learning_rates, several(len(part.seeds), "seed")
    what = f"{part.split} loss, {several(len(rates), 'rung')}, {seeds}"
    name = named(values)
    lines = [f"{name}: {what}" if name else what]
    lines += [f"{rates[0]:<8.2g}{_sparkline(part.median)}{rates[-1]:>8.2g}"]
    for rule, found in part.suggestions.items():
        mark = "*" if rule == recommended else " "
        if found is None:
            lines.append(f"{mark} {rule:<9} none: {part.reasons[rule]}")
            continue
        interval = "" if np.isnan(found.low) else f"  [{found.low:.2g}, {found.high:.2g}]"
        lines.append(f"{mark} {rule:<9} {found.value:<8.2g}{interval}")
    if part.bounds is None:
        lines.append(f"  bounds    none: {part.reasons['bounds']}")
    else:
        lines.append("  bounds    base {:.2g}, peak {:.2g}".format(*part.bounds))
    never = int((part.diverged_at == 0).sum())
    if never:
        lines.append(f"  not finite from the first rung on: {never} of {seeds}")
    diverged = part.diverged_at[part.diverged_at > 0]
    if len(diverged):
        first = rates[diverged.min()]
        lines.append(f"  diverged  {len(diverged)} of {seeds}, first at {first:.2g}")
    return "\n".join(lines)


def _sparkline(curve: np.ndarray[Any, Any]) -> str:
    """The curve in one line, `×` where it has diverged."""
    places = np.linspace(0, len(curve) - 1, min(WIDTH, len(curve))).round().astype(int)
    shown = curve[places]
    finite = shown[np.isfinite(shown)]
    if not len(finite):
        return "×" * len(shown)
    low, span = finite.min(), np.ptp(finite) or 1.0
    levels = np.nan_to_num((shown - low) / span * (len(BARS) - 1)).round().astype(int)
    return "".join(
        BARS[level] if np.isfinite(y) else "×" for level, y in zip(levels, shown, strict=True)
    )
