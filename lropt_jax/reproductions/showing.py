"""What the pages of statistical claims have in common: words and dots with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.comparisons.inference import Interval, mean_within, metric_within
from lropt_jax.plotting.style import colours


def points(interval: Interval, signed: bool = True) -> str:
    """An interval of shares in points of a hundred: "+1.5 [+0.9, +2.1]"."""
    sign = "+" if signed else ""
    low, high = (f"{100 * end:{sign}.2f}" for end in (interval.low, interval.high))
    return f"{100 * interval.value:{sign}.2f} [{low}, {high}]"


def percent(values: Sequence[float] | np.ndarray) -> str:
    """The mean of shares with its interval in percent, cut at 0 and 100: "97.3 [97.1, 97.5]"."""
    return points(metric_within("accuracy", np.asarray(values, float)), signed=False)


def dots(axes: Any, groups: Mapping[str, Mapping[str, Any]], scale: float = 100.0) -> None:
    """Every seed as a dot, and the mean with its 95% interval, side by side in each group.

    Args:
      axes: matplotlib's.
      groups: values of the seeds by series by group; groups stand along x, series have colours.
      scale: what values are multiplied by; 100 for shares in percent.
    """
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    colour, shown = colours(series), set()
    for place, group in enumerate(groups.values()):
        for name, given in group.items():
            values = scale * np.asarray(given, float)
            x = place + 0.6 * ((series.index(name) + 0.5) / len(series) - 0.5)
            mean = mean_within(values)
            axes.plot(np.full(len(values), x), values, ".", color=colour[name], alpha=0.3)
            half = np.nan_to_num([[mean.value - mean.low], [mean.high - mean.value]])
            label = None if name in shown else name
            axes.errorbar(x, mean.value, half, fmt="o", color=colour[name], label=label, capsize=4)
            shown.add(name)
    axes.set_xticks(range(len(groups)), list(groups))
    axes.set_xlim(-0.5, len(groups) - 0.5)
