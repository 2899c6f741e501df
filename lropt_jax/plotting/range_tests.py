"""The figure of a range test: every seed, the pooled curve, the suggestions, the divergence."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lropt_jax.plotting.axes import logarithmic
from lropt_jax.plotting.style import alarm, colours, grey, narrow, size, style

Array = np.ndarray[Any, Any]
CURVE = 0.3  # a dark grey


class Panel(NamedTuple):
    """What is drawn of one configuration.

    Attributes:
      title: above the panel.
      rates: the ladder, (rungs,).
      seeds: the smoothed losses, NaN where they do not count, (seeds, rungs).
      median: the pooled curve, (rungs,).
      ends: the rung from which a seed no longer counts, -1 where all count, (seeds,).
      answers: by rule the suggested rate with the ends of its interval, or None.
      bounds: two rates, or None.
    """

    title: str
    rates: Array
    seeds: Array
    median: Array
    ends: Array
    answers: Mapping[str, tuple[float, float, float] | None]
    bounds: tuple[float, float] | None


def range_test_figure(panels: Sequence[Panel], recommended: str, loss: str) -> Any:
    """A panel a configuration: all seeds faint, the pooled curve and the middle half of the
    seeds, the suggestions with their intervals, the bounds, and a cross where a seed diverged.

    Args:
      panels: what is drawn.
      recommended: the rule that stands out.
      loss: what the vertical axes show.
    """
    columns = min(1 if narrow() else 3, len(panels))
    rows = math.ceil(len(panels) / columns)
    with style() as figure:
        width, height = (7.2, 4.4) if len(panels) == 1 else (4.2 * columns, 3.2 * rows)
        fig = figure(figsize=size(width, height), layout="constrained")
        axes = fig.subplots(rows, columns, sharex=True, squeeze=False).ravel()
        for ax, panel in zip(axes, panels, strict=False):
            _draw(ax, panel, recommended)
            if len(panels) == 1:
                ax.legend(fontsize=8, loc="lower left")
                continue
            best = panel.answers.get(recommended)
            ax.set_title(f"{panel.title}: " + ("none" if best is None else f"{best[0]:.2g}"))
        if len(panels) > 1:  # one legend for all, without the numbers
            labels: dict[str, Any] = {}
            for ax in axes[: len(panels)]:
                for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
                    if not label.endswith(": none"):
                        labels.setdefault(label.split(":")[0], handle)
            fig.legend(
                labels.values(), labels.keys(), loc="outside upper center", fontsize=9,
                ncols=min(len(labels), 2 if narrow() else 3 * columns),
            )  # fmt: skip
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        fig.supxlabel("learning rate")
        fig.supylabel(loss)
    return fig


def _draw(ax: Any, panel: Panel, recommended: str) -> None:
    rates = panel.rates
    ax.set_title(panel.title)
    logarithmic(ax, "x")
    bottom, top = _heights(panel.seeds)
    ax.set_ylim(bottom, top)
    for lane, end in zip(panel.seeds, panel.ends, strict=True):
        ax.plot(rates, lane, color=grey(CURVE), alpha=0.2, linewidth=0.8)
        if end > 0:
            height = min(lane[end - 1], top)
            ax.plot(rates[end - 1], height, "x", color=alarm(), alpha=0.7, clip_on=False)
    low, high = _middle_half(panel.seeds)
    ax.fill_between(rates, low, high, color=grey(CURVE), alpha=0.15, linewidth=0)
    ax.plot(rates, panel.median, color=grey(CURVE), linewidth=2, label="median")
    colour = colours(panel.answers)
    for rule, answer in panel.answers.items():
        chosen = rule == recommended
        words = f"{rule} (suggested)" if chosen else rule
        if answer is None:
            ax.plot([], [], " ", label=f"{words}: none")
            continue
        value, low, high = answer
        if chosen and np.isfinite(low):
            ax.axvspan(low, high, color=colour[rule], alpha=0.15, linewidth=0)
        height = np.interp(math.log(value), np.log(rates), panel.median)
        ax.axvline(
            value, color=colour[rule], linewidth=2.0 if chosen else 0.8, alpha=1 if chosen else 0.6
        )
        ax.plot(
            value,
            height,
            "*" if chosen else "o",
            markersize=13 if chosen else 5,
            color=colour[rule],
            label=f"{words}: {value:.2g}",
            zorder=3,
        )
    if panel.bounds is not None:
        base, peak = panel.bounds
        for bound in panel.bounds:
            ax.axvline(bound, color=grey(CURVE), linewidth=0.8, linestyle=":")
        ax.plot([], [], color=grey(CURVE), linestyle=":", label=f"bounds: {base:.2g} to {peak:.2g}")
    if (panel.ends >= 0).any():
        ax.plot([], [], "x", color=alarm(), label="diverged")


def _heights(smoothed: Array) -> tuple[float, float]:
    """The range of the axis: the descent fills it, the rise after it leaves at the top."""
    finite = smoothed[np.isfinite(smoothed)]
    if not len(finite):
        return 0.0, 1.0
    low, start = float(finite.min()), float(np.nanmax(smoothed[:, 0], initial=-np.inf))
    high = max(start, float(np.quantile(finite, 0.9)))
    margin = 0.05 * ((high - low) or abs(high) or 1.0)
    return low - margin, high + 6 * margin


def _middle_half(smoothed: Array) -> tuple[Any, Any]:
    """The quarter and three-quarter points over seeds; NaN where fewer than half still count."""
    enough = np.isfinite(smoothed).mean(axis=0) > 0.5
    band = np.full((2, smoothed.shape[1]), np.nan)
    band[:, enough] = np.nanquantile(smoothed[:, enough], [0.25, 0.75], axis=0)
    return band[0], band[1]
