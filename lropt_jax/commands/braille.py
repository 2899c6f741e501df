"""Curves in the terminal: each character holds two by four dots."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # rows of (left, right)


def curve(values: Sequence[float], width: int = 64, height: int = 12) -> list[str]:
    """The lines of a drawing of `values`, evenly spaced, from their minimum to their maximum.

    Args:
      values: the curve; what is not finite leaves a gap.
      width, height: in characters.
    """
    columns, rows = 2 * width, 4 * height
    y = np.asarray(values, float)
    places = np.linspace(0, len(y) - 1, columns)
    heights = np.interp(places, np.arange(len(y)), y) if len(y) else np.full(columns, np.nan)
    finite = heights[np.isfinite(heights)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
    span = high - low if high > low else 1.0
    levels = np.where(np.isfinite(heights), (heights - low) / span * (rows - 1), -1).round()
    cells = np.zeros((height, width), int)
    before = None
    for x, level in enumerate(levels.astype(int)):
        if level < 0:
            before = None
            continue
        # A steep stretch is drawn as a stroke from the level before.
        start = level if before is None else before + np.sign(level - before)
        for dot in range(min(start, level), max(start, level) + 1):
            row = rows - 1 - dot
            cells[row // 4, x // 2] |= DOTS[row % 4][x % 2]
        before = level
    return ["".join(chr(0x2800 + cell) for cell in row) for row in cells]


def plot(values: Sequence[float], steps: int, width: int = 64, height: int = 12) -> str:
    """The drawing with its axes: the values' range at the left, the updates below."""
    finite = [v for v in values if np.isfinite(v)]
    low, high = (f"{f(finite):.4g}" if finite else "" for f in (min, max))
    margin = max(len(low), len(high))
    lines = curve(values, width, height)
    labels = [high, *[""] * (height - 2), low] if height > 1 else [high]
    drawn = [f"{label:>{margin}} │{line}" for label, line in zip(labels, lines, strict=True)]
    last = str(steps)
    drawn.append(" " * margin + " └" + "─" * width)
    drawn.append(" " * (margin + 2) + "0" + last.rjust(width - 1))
    return "\n".join(drawn)
