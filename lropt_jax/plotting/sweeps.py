"""The figures of a sweep: sensitivity, parallel coordinates, curves, budget."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.plotting.axes import (
    Axis,
    above,
    beside,
    even_in_logarithm,
    logarithmic,
    remark,
    short,
    shown,
    spans_decades,
    values_of,
    words_of,
    worst_shown,
)
from lropt_jax.plotting.style import alarm, colours, grey, halo, ink, narrow, palette, size, style

DROWNED = 1 / 6  # of a usual interval: means that differ by less are alike
LETTERS = 11  # on an inch between two parallel axes
FEWEST = 8  # of a value or a name there
NAMED = 50  # of the lines of a parallel plot, the best, say what they are
FAINTEST = 0.4  # of the worst line among many: still seen, on white and on black


def sensitivity_figure(
    values: np.ndarray,
    mean: np.ndarray,
    half_width: np.ndarray,
    diverged: np.ndarray,
    basin: tuple[float, float] | None,
    name: str,
    metric: str,
    limits: tuple[float, float] = (-np.inf, np.inf),
    sampled: bool = False,
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
      sampled: whether each value is one configuration, whose other numbers differ too: neighbours
        are no curve then, and are not joined.
    """
    with style() as figure:
        fig = figure(figsize=size(6.2, 4.2), layout="constrained")
        ax, colour = fig.subplots(), palette()[0]
        if basin is not None and basin[0] < basin[1]:
            ax.axvspan(*basin, color=colour, alpha=0.1, linewidth=0, label="basin")
        half = np.nan_to_num(half_width)
        line = "o" if sampled else "o-"
        what = "a configuration" if sampled else "mean"
        ax.plot(values, mean, line, color=colour, markersize=4, label=what, zorder=3)
        low, high = np.clip(mean - half, *limits), np.clip(mean + half, *limits)
        on_decades = spans_decades(mean)
        if on_decades:
            logarithmic(ax, "y")
            low = np.maximum(low, np.nanmin(mean) / 1e3)  # what is negative has no place there
        if half.any():
            look = {"color": colour, "label": "95% interval"}
            if sampled:
                ax.vlines(values, low, high, alpha=0.35, linewidth=1.2, **look)
            else:
                ax.fill_between(values, low, high, alpha=0.2, linewidth=0, **look)
            _stay_readable(ax, mean, (high - low) / 2, on_decades)
        bad = diverged > 0
        if bad.any():
            ax.plot(
                values[bad], np.full(bad.sum(), 0.02), "|", color=alarm(), markersize=12,
                markeredgewidth=2, transform=ax.get_xaxis_transform(), label="diverged",
            )  # fmt: skip
        if even_in_logarithm(values):
            logarithmic(ax, "x")
        ax.set(xlabel=words_of(name), ylabel=words_of(metric))
        above(ax)
    return fig


def parallel_figure(
    trials: Sequence[Mapping[str, Any]], scores: np.ndarray, metric: str, mode: str
) -> Any:
    """One axis a hyperparameter, the last the metric; a line a configuration, the stronger, the
    better, and the best in a colour of its own.

    Args:
      trials: the configurations.
      scores: the metric of each, NaN where it did not finish.
      metric: its name.
      mode: whether its "min" or its "max" is best.
    """
    names = [
        n for n in dict.fromkeys(k for t in trials for k in t) if len(values_of(trials, n)) > 1
    ]
    finite = scores[np.isfinite(scores)]
    end = worst_shown(finite, mode) if len(finite) else 0.0
    ends = {"min": (-np.inf, end), "max": (end, np.inf)}[mode]
    axes = [Axis(n, [t.get(n, "") for t in trials]) for n in names]
    axes.append(Axis(metric, np.clip(scores, *ends), few=False))
    places = np.array([axis.places for axis in axes])
    good = places[-1] if mode == "max" else 1 - places[-1]
    with style() as figure:
        fig = figure(figsize=size(1.9 * len(axes) + 1.0, 4.2), layout="constrained")
        letters = max(FEWEST, int(LETTERS * fig.get_figwidth() / (len(axes) + 0.5)))
        ax = fig.subplots()
        ax.grid(visible=False)
        for side in ("left", "bottom"):
            ax.spines[side].set_visible(False)
        ax.tick_params(length=0)
        ax.set_yticks([])
        # The best on top; of equals the first, as `best` has it.
        *_, best = order = np.argsort(-np.nan_to_num(good, nan=-1), kind="stable")[::-1]
        # In a page the points of a line say what it is, and not where they lie.
        ax.format_coord = lambda x, y: ""
        for rank, trial in enumerate(order, 1 - len(order)):
            line = {"color": alarm(), "linestyle": ":", "alpha": 0.8, "linewidth": 1.2}
            if np.isfinite(good[trial]):
                strength = float(good[trial])
                line = {"color": palette()[0], "alpha": FAINTEST + (1 - FAINTEST) * strength}
                line["linewidth"] = 0.8 + strength
                if trial == best:
                    line = {"color": palette()[1], "linewidth": 2.2}
            if -rank < NAMED:
                given = {n: trials[trial].get(n, "") for n in names} | {metric: scores[trial]}
                said = [f"{words_of(n)} {shown(v)}" for n, v in given.items()]
                if not np.isfinite(scores[trial]):
                    said[-1] = "pruned or diverged"
                line["label"] = ", ".join(said)
            ax.plot(range(len(axes)), places[:, trial], **line)
        for i, axis in enumerate(axes):
            ax.axvline(i, color=ink(), linewidth=0.8)
            for place, label in axis.ticks:
                ax.plot(i, place, "_", color=ink(), markersize=6)
                ax.annotate(
                    short(label, letters), (i, place), xytext=(5, 0),
                    textcoords="offset points", fontsize=8, va="center", zorder=4,
                    path_effects=halo(3),
                )  # fmt: skip
        words = [textwrap.fill(words_of(axis.name), letters) for axis in axes]
        ax.set_xticks(range(len(axes)), words)
        ax.set_xlim(-0.1, len(axes) - 0.6)
        ax.set_ylim(-0.04, 1.04)
        said = [] if np.isnan(good[best]) else ["orange: the best"]
        if len(finite) and ((finite < ends[0]) | (finite > ends[1])).any():
            said.append(f"{words_of(metric)} drawn to {shown(end)}, the worse ones there")
        if not np.isfinite(good).all():
            said.append("dotted: pruned or diverged")
        remark(ax, "; ".join(said))
    return fig


def importances_figure(importances: Mapping[str, float], metric: str) -> Any:
    """How much of what a metric varies by is due to each hyperparameter, the first on top.

    Args:
      importances: shares, by hyperparameter.
      metric: whose.
    """
    with style() as figure:
        fig = figure(figsize=size(5.6, 0.42 * len(importances) + 1.2), layout="constrained")
        ax = fig.subplots()
        rows, shares = range(len(importances)), list(importances.values())
        ax.barh(rows, shares, color=palette()[0], height=0.6)
        for row, share in zip(rows, shares, strict=True):
            ax.annotate(
                f"{100 * share:.0f}%", (share, row), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=9,
            )  # fmt: skip
        ax.set_yticks(rows, [words_of(name) for name in importances])
        ax.set_ylim(len(importances) - 0.5, -0.5)
        ax.set_xlim(0, 1.1 * max(shares, default=1.0))
        ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f}%")
        ax.grid(axis="y", visible=False)
        ax.set_xlabel(f"share of the variance of {words_of(metric)}'s rank")
    return fig


def curves_figure(
    steps: np.ndarray,
    curves: np.ndarray,
    trials: Sequence[Mapping[str, Any]],
    chosen: Sequence[int],
    metric: str,
    limits: tuple[float, float] = (-np.inf, np.inf),
) -> Any:
    """A metric over the updates, means over seeds; the best configurations in colour.

    Args:
      steps: updates at each evaluation, (evaluations,).
      curves: the metric, (trials, evaluations).
      trials: the configurations.
      chosen: those in colour, the best first; the others may leave the frame.
      metric: its name.
      limits: between which it lies.
    """
    chosen = list(chosen)
    names = [
        n for n in dict.fromkeys(k for t in trials for k in t) if len(values_of(trials, n)) > 1
    ]
    with style() as figure:
        height = 4.2 + 0.2 * len(chosen) * narrow()
        fig = figure(figsize=size(8.0, height), layout="constrained")
        ax, colour = fig.subplots(), colours(chosen)
        for trial in set(range(len(curves))) - set(chosen):
            ax.plot(steps, curves[trial], color=grey(0.65), linewidth=0.8, zorder=1)
        for trial in chosen:
            words = ", ".join(shown(trials[trial][n]) for n in names if n in trials[trial])
            ax.plot(steps, curves[trial], color=colour[trial], label=words)
        ax.set(xlabel="updates", ylabel=words_of(metric))
        if spans_decades(curves[chosen]):
            logarithmic(ax, "y")
        if chosen:
            low, high = np.nanmin(curves[chosen]), np.nanmax(curves[chosen])
            room = 0.1 * (high - low) + 1e-12
            bottom = low / 1.2 if ax.get_yscale() == "log" else max(low - room, limits[0] - room)
            ax.set_ylim(bottom, min(high + 2 * room, limits[1] + room))
        if chosen and names:
            beside(
                ax, fontsize=8, title_fontsize=8, alignment="left",
                title=textwrap.fill(", ".join(map(words_of, names)), 32),
            )  # fmt: skip
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
        fig = figure(figsize=size(6.2, 3.8), layout="constrained")
        ax, colour = fig.subplots(), colours(curves)
        finite = np.concatenate([x[np.isfinite(x)] for curve in curves.values() for x in curve])
        if spans_decades(np.concatenate([mean for mean, _, _ in curves.values()])):
            logarithmic(ax, "y")
            finite = finite[finite > 0]  # an end at 0 lies below every decade
        low_end, high_end = _beyond(finite, ax.get_yscale() == "log")
        for name, (mean, low, high) in curves.items():
            n = np.arange(1, len(mean) + 1)
            alone = len(curves) == 1
            ax.plot(n, mean, color=colour[name], label="expected best" if alone else name)
            ax.fill_between(
                n,
                np.where(np.isfinite(low), np.maximum(low, low_end[1]), low_end[1]),
                np.where(np.isfinite(high), high, high_end[1]),
                color=colour[name], alpha=0.15 if alone else 0.07, linewidth=0,
                label="median best, 95% band" if alone else None,
            )  # fmt: skip
        ax.set_ylim(low_end[0], high_end[0])
        ax.set(xlabel="configurations tried", ylabel=words_of(metric))
        ax.xaxis.get_major_locator().set_params(integer=True)
        if len(curves) > 1:
            remark(ax, "lines: expected best; bands: 95% for the median best")
            beside(ax)
        else:
            above(ax)
    return fig


def _beyond(finite: np.ndarray, logarithmic: bool) -> tuple[tuple[float, float], ...]:
    """For either end of the axis: where the frame ends, and a place well outside of it."""
    low, high = float(finite.min()), float(finite.max())
    if logarithmic:
        return (low / 1.2, low / 1e3), (high * 1.2, high * 1e3)
    room = 0.05 * ((high - low) or abs(high) or 1.0)
    return (low - room, low - 100 * room), (high + room, high + 100 * room)


def _stay_readable(ax: Any, mean: np.ndarray, half: np.ndarray, on_decades: bool) -> None:
    """The means fill most of the frame, however wide the intervals of two seeds are; where they
    hardly differ beside these, it is the intervals that are to be seen."""
    low, high = np.nanmin(mean), np.nanmax(mean)
    bottom, top = ax.get_ylim()
    if on_decades:
        ax.set_ylim(max(bottom, low / 2), min(top, high * 2))
        return
    usual = float(np.median(half[half > 0]))
    room = 0.75 * (high - low) if high - low > DROWNED * usual else 1.1 * usual
    ax.set_ylim(max(bottom, low - room), min(top, high + room))
