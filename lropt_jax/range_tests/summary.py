"""A range test as text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from lropt_jax.range_tests.curve import RangeTest

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60


def summary(test: RangeTest, recommended: str) -> str:
    """All configurations, one after the other.

    Args:
      test: the range test.
      recommended: the rule that is marked.
    """
    return "\n\n".join(_one(values, part, recommended) for values, part in test.parts())


def _one(values: dict[str, Any], part: RangeTest, recommended: str) -> str:
    rates = part.learning_rates
    what = f"{part.split} loss, {len(rates)} rungs, {len(part.seeds)} seeds"
    name = ", ".join(f"{k}={getattr(v, '__name__', v)}" for k, v in values.items())
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
    diverged = part.diverged_at[part.diverged_at >= 0]
    if len(diverged):
        first = rates[diverged.min()]
        lines.append(
            f"  diverged  {len(diverged)} of {len(part.seeds)} seeds, first at {first:.2g}"
        )
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
