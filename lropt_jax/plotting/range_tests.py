"""The figure of a range test: every seed, the pooled curve, the suggestions, the divergence."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lropt_jax.plotting.style import colours, style
from lropt_jax.range_tests.curve import RangeTest
from lropt_jax.range_tests.rules import RULES

CURVE, DIVERGED = "#4D4D4D", "#B00020"


def range_test_figure(test: RangeTest) -> Any:
    """A panel a configuration: all seeds faint, the pooled curve and the middle half of the
    seeds, the suggestions with their intervals, the bounds, and a cross where a seed diverged."""
    parts = list(test.parts())
    columns = min(3, len(parts))
    rows = math.ceil(len(parts) / columns)
    with style() as figure:
        width, height = (7.2, 4.4) if len(parts) == 1 else (4.2 * columns, 3.2 * rows)
        fig = figure(figsize=(width, height), layout="constrained")
        axes = fig.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for ax, (values, part) in zip(axes, parts, strict=False):
            _panel(ax, part)
            ax.set_title(", ".join(f"{k}={getattr(v, '__name__', v)}" for k, v in values.items()))
        for ax in axes[len(parts) :]:
            ax.set_visible(False)
        fig.supxlabel("learning rate")
        fig.supylabel(
            {"train": "training loss of the batch", "valid": "validation loss"}[test.split]
        )
    return fig


def _panel(ax: Any, part: RangeTest) -> None:
    rates, smoothed = part.learning_rates, part.smoothed
    ax.set_xscale("log")
    bottom, top = _heights(smoothed)
    ax.set_ylim(bottom, top)
    for lane, end in zip(smoothed, part.diverged_at, strict=True):
        ax.plot(rates, lane, color=CURVE, alpha=0.2, linewidth=0.8)
        if end > 0:
            height = min(lane[end - 1], top)
            ax.plot(rates[end - 1], height, "x", color=DIVERGED, alpha=0.7, clip_on=False)
    low, high = _middle_half(smoothed)
    ax.fill_between(rates, low, high, color=CURVE, alpha=0.15, linewidth=0)
    ax.plot(rates, part.median, color=CURVE, linewidth=2, label="median")
    if part.bounds is not None:
        for bound in part.bounds:
            ax.axvline(bound, color=CURVE, linewidth=0.8, linestyle=":")
    colour = colours(RULES)
    for rule, found in part.suggestions.items():
        if found is None:
            ax.plot([], [], " ", label=f"{rule}: none")
            continue
        if np.isfinite(found.low):
            ax.axvspan(found.low, found.high, color=colour[rule], alpha=0.12, linewidth=0)
        ax.axvline(found.value, color=colour[rule], linewidth=1.2)
        height = np.interp(math.log(found.value), np.log(rates), part.median)
        ax.plot(found.value, height, "o", color=colour[rule], label=f"{rule}: {found.value:.2g}")
    if (part.diverged_at >= 0).any():
        ax.plot([], [], "x", color=DIVERGED, label="diverged")
    ax.legend(fontsize=8, loc="lower left")


def _heights(smoothed: np.ndarray[Any, Any]) -> tuple[float, float]:
    """The range of the axis: the descent fills it, the rise after it leaves at the top."""
    finite = smoothed[np.isfinite(smoothed)]
    if not len(finite):
        return 0.0, 1.0
    low, start = float(finite.min()), float(np.nanmax(smoothed[:, 0], initial=-np.inf))
    high = max(start, float(np.quantile(finite, 0.9)))
    margin = 0.05 * ((high - low) or abs(high) or 1.0)
    return low - margin, high + 6 * margin


def _middle_half(smoothed: np.ndarray[Any, Any]) -> tuple[Any, Any]:
    """The quarter and three-quarter points over seeds; NaN where fewer than half still count."""
    enough = np.isfinite(smoothed).mean(axis=0) > 0.5
    band = np.full((2, smoothed.shape[1]), np.nan)
    band[:, enough] = np.nanquantile(smoothed[:, enough], [0.25, 0.75], axis=0)
    return band[0], band[1]
