"""The figures of a sweep: sensitivity, parallel coordinates, curves, budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.plotting.axes import is_plain_number, shown, spans_decades, values_of, words_of
from lropt_jax.plotting.style import DIVERGED, PALETTE, style


def sensitivity_figure(
    values: np.ndarray,
    mean: np.ndarray,
    half_width: np.ndarray,
    diverged: np.ndarray,
    basin: tuple[float, float] | None,
    name: str,
    metric: str,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Any:
    """A metric against one hyperparameter: mean, 95% band, basin, and a rug of diverged lanes.

    Args:
      values: of the hyperparameter, ascending, (values,).
      mean: the metric at each, NaN where nothing finished.
      half_width: of its interval, NaN where there is none.
      diverged: the share of lanes that diverged at each.
      basin: the stretch that is as good as the best, or None.
      name, metric: what the axes say.
      limits: between which the metric lies whatever an interval says.
    """
    with style() as figure:
        fig = figure(figsize=(6.2, 4.0), layout="constrained")
        ax = fig.subplots()
        if basin is not None and basin[0] < basin[1]:
            ax.axvspan(*basin, color=PALETTE[0], alpha=0.1, linewidth=0, label="basin")
        half = np.nan_to_num(half_width)
        ax.plot(values, mean, "o-", color=PALETTE[0], markersize=4, label="mean")
        low, high = np.clip(mean - half, *limits), np.clip(mean + half, *limits)
        logarithmic = spans_decades(mean)
        if logarithmic:
            ax.set_yscale("log")
        floor = np.nanmin(mean) / 10 if logarithmic else -np.inf
        if half.any():
            ax.fill_between(
                values, np.maximum(low, floor), high, color=PALETTE[0], alpha=0.2, linewidth=0,
                label="95% interval",
            )  # fmt: skip
            if not logarithmic:
                _stay_readable(ax, mean)
        bad = diverged > 0
        ax.plot(
            values[bad],
            np.full(bad.sum(), 0.02),
            "|",
            color=DIVERGED,
            markersize=12,
            markeredgewidth=2,
            transform=ax.get_xaxis_transform(),
            label="diverged" if bad.any() else None,
        )
        if spans_decades(values):
            ax.set_xscale("log")
        ax.set(xlabel=words_of(name), ylabel=words_of(metric))
        ax.legend()
    return fig


def parallel_figure(
    trials: Sequence[Mapping[str, Any]], scores: np.ndarray, metric: str, mode: str
) -> Any:
    """One axis a hyperparameter, the last the metric; a line a configuration, coloured by it.

    Args:
      trials: the configurations.
      scores: the metric of each, NaN where it did not finish.
      metric: its name.
      mode: whether its "min" or its "max" is best.
    """
    import matplotlib

    names = [
        n for n in dict.fromkeys(k for t in trials for k in t) if len(values_of(trials, n)) > 1
    ]
    axes = [_Axis(n, [t.get(n) for t in trials]) for n in names] + [_Axis(metric, scores)]
    places = np.array([axis.places for axis in axes])
    good = places[-1] if mode == "max" else 1 - places[-1]
    colour_map = matplotlib.colormaps["viridis"]
    with style() as figure:
        fig = figure(figsize=(1.9 * len(axes) + 1.0, 4.2), layout="constrained")
        ax = fig.subplots()
        ax.grid(visible=False)
        ax.spines["left"].set_visible(False)
        ax.set_yticks([])
        for trial in np.argsort(np.nan_to_num(good, nan=-1)):
            known = np.isfinite(good[trial])
            line = {"color": colour_map(good[trial])} if known else {"color": DIVERGED, "ls": ":"}
            ax.plot(range(len(axes)), places[:, trial], linewidth=1, alpha=0.8, **line)
        for i, axis in enumerate(axes):
            ax.axvline(i, color="black", linewidth=0.8)
            for place, label in axis.ticks:
                ax.annotate(
                    label, (i, place), xytext=(3, 0), textcoords="offset points", fontsize=8
                )
        ax.set_xticks(range(len(axes)), [words_of(axis.name) for axis in axes])
        ax.set_xlim(-0.1, len(axes) - 0.6)
        if not np.isfinite(good).all():
            ax.set_title("dotted: pruned or diverged", fontsize=9)
    return fig


def curves_figure(
    steps: np.ndarray,
    curves: np.ndarray,
    trials: Sequence[Mapping[str, Any]],
    chosen: Sequence[int],
    metric: str,
) -> Any:
    """A metric over the updates, means over seeds; the best configurations in colour.

    Args:
      steps: updates at each evaluation, (evaluations,).
      curves: the metric, (trials, evaluations).
      trials: the configurations.
      chosen: those in colour, the best first; the others may leave the frame.
      metric: its name.
    """
    chosen = list(chosen)
    with style() as figure:
        fig = figure(figsize=(8.0, 4.2), layout="constrained")
        ax = fig.subplots()
        for trial in set(range(len(curves))) - set(chosen):
            ax.plot(steps, curves[trial], color="0.75", linewidth=0.8, zorder=1)
        for place, trial in enumerate(chosen):
            words = ", ".join(f"{words_of(k)} {shown(v)}" for k, v in trials[trial].items())
            ax.plot(steps, curves[trial], color=PALETTE[place % len(PALETTE)], label=words)
        ax.set(xlabel="updates", ylabel=words_of(metric))
        if spans_decades(curves[chosen]):
            ax.set_yscale("log")
        if chosen:
            low, high = np.nanmin(curves[chosen]), np.nanmax(curves[chosen])
            room = 0.25 * (high - low) + 1e-12
            ax.set_ylim(low / 1.2 if ax.get_yscale() == "log" else low - room, high + 2 * room)
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return fig


def budget_figure(
    curves: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]], metric: str
) -> Any:
    """The expected best of n configurations, with the band for the median best.

    Args:
      curves: (mean, low, high) for n = 1, 2, ... by a name, the only one's may be empty. An end of
        the band that is infinite is drawn as open: it leaves the frame.
      metric: its name.
    """
    with style() as figure:
        fig = figure(figsize=(5.6, 3.8), layout="constrained")
        ax = fig.subplots()
        finite = np.concatenate([x[np.isfinite(x)] for curve in curves.values() for x in curve])
        if spans_decades(finite):
            ax.set_yscale("log")
        low_end, high_end = _beyond(finite, ax.get_yscale() == "log")
        for place, (name, (mean, low, high)) in enumerate(curves.items()):
            n = np.arange(1, len(mean) + 1)
            colour = PALETTE[place % len(PALETTE)]
            words = f"{name}: " if name else ""
            ax.plot(n, mean, color=colour, label=f"{words}expected best")
            ax.fill_between(
                n,
                np.where(np.isfinite(low), low, low_end[1]),
                np.where(np.isfinite(high), high, high_end[1]),
                color=colour, alpha=0.15, linewidth=0,
                label=f"{words}median best, 95% band",
            )  # fmt: skip
        ax.set_ylim(low_end[0], high_end[0])
        ax.set(xlabel="configurations tried", ylabel=words_of(metric))
        ax.legend(fontsize=8)
    return fig


def _beyond(finite: np.ndarray, logarithmic: bool) -> tuple[tuple[float, float], ...]:
    """For either end of the axis: where the frame ends, and a place well outside of it."""
    low, high = float(finite.min()), float(finite.max())
    if logarithmic:
        return (low / 1.2, low / 1e3), (high * 1.2, high * 1e3)
    room = 0.05 * ((high - low) or abs(high) or 1.0)
    return (low - room, low - 100 * room), (high + room, high + 100 * room)


def _stay_readable(ax: Any, mean: np.ndarray) -> None:
    """The means fill most of the frame, however wide the intervals of two seeds are."""
    low, high = np.nanmin(mean), np.nanmax(mean)
    room = 0.75 * ((high - low) or abs(high) or 1.0)
    bottom, top = ax.get_ylim()
    ax.set_ylim(max(bottom, low - room), min(top, high + room))


class _Axis:
    """A name's places on a vertical axis from 0 to 1, and its ticks."""

    def __init__(self, name: str, given: Any):
        self.name = name
        if all(is_plain_number(v) for v in given):
            x = np.asarray(given, float)
            finite = x[np.isfinite(x)]
            low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
            scale = np.log if spans_decades(finite) else np.asarray
            span = float(scale(high) - scale(low)) or 1.0
            with np.errstate(invalid="ignore"):
                self.places = (scale(x) - scale(low)) / span
            self.ticks = [(0.0, shown(float(low))), (1.0, shown(float(high)))]
        else:
            words = [shown(v) for v in given]
            known = list(dict.fromkeys(words))
            steps = max(len(known) - 1, 1)
            self.places = np.array([known.index(w) / steps for w in words])
            self.ticks = [(i / steps, w) for i, w in enumerate(known)]
