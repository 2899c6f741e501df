"""The figures of a comparison: learning curves, learning-rate basins, the generalization gap."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lropt_jax.plotting.axes import (
    beside,
    few_ticks,
    logarithmic,
    remark,
    short,
    spans_decades,
    worst_shown,
)
from lropt_jax.plotting.style import alarm, colours, narrow, size, style

EVERYWHERE = (-math.inf, math.inf)
SHADED = 4  # curves at most whose bands can be told apart
TICKS = 3  # labels that a panel has room for
FAR = 1e4  # from the best value to the end of a logarithmic axis at most, a factor
BEYOND = 10  # times as far from the best as those that matter: such values leave the frame
ROOM = 1.3  # around values on a logarithmic axis, a factor
MARGIN = 0.08  # around those on another, of what they span
NARROW = 0.05  # of a share: below, its labels have a digit after the point
Band = tuple[np.ndarray, np.ndarray]  # a mean and the half-width of its interval


def learning_curves(
    curves: Mapping[str, Mapping[str, Band]],
    x: Mapping[str, np.ndarray],
    metrics: Sequence[str],
    x_label: str,
    shares: Collection[str] = (),
    limits: Mapping[str, tuple[float, float]] | None = None,
) -> Any:
    """Metrics over the training, a panel each, mean and 95% band.

    Args:
      curves: by optimizer and metric.
      x: where their points lie, by optimizer.
      metrics: one a panel.
      x_label: what the axis says.
      shares: the metrics that are read in percent.
      limits: between which each lies, whatever an interval says.
    """
    with style() as figure:
        rows, columns = (len(metrics), 1) if narrow() else (1, len(metrics))
        height = 2.7 * rows + 0.12 * len(curves) if narrow() else 4.2
        fig = figure(figsize=size(5.5 * columns, height), layout="constrained")
        axes = fig.subplots(rows, columns, squeeze=False).ravel()
        colour = colours(curves)
        limits = limits or {}
        for ax, metric in zip(axes, metrics, strict=True):
            for name, of in curves.items():
                _band(
                    ax, x[name], of[metric], name, colour[name], limits.get(metric, EVERYWHERE),
                    shade=0.15 if len(curves) <= SHADED else 0.06,
                )  # fmt: skip
            means = np.concatenate([of[metric][0] for of in curves.values()] or [np.zeros(0)])
            ax.set(xlabel=x_label, ylabel=_words(metric))
            if metric in shares:
                _percent(ax)
                _leave_out_the_climb(ax, means)
            elif spans_decades(means):
                logarithmic(ax, "y")
        if curves:
            beside(axes[-1])
    return fig


class Panel(NamedTuple):
    """A metric against one hyperparameter of one optimizer.

    Attributes:
      name: the optimizer.
      hyperparameter: what is on the axis.
      values: its values, ascending, (values,).
      mean: the metric at each, the others at their best; NaN where nothing finished.
      half_width: of its 95% interval, NaN for a single seed.
      diverged: whether some lane diverged at each.
      basin: the lowest and the highest value that are as good as the best, or None.
      chosen: the value chosen, or None.
    """

    name: str
    hyperparameter: str
    values: np.ndarray
    mean: np.ndarray
    half_width: np.ndarray
    diverged: np.ndarray
    basin: tuple[float, float] | None
    chosen: float | None


def basins(
    panels: Sequence[Panel],
    names: Sequence[str],
    metric: str,
    limits: tuple[float, float],
    share: bool,
    mode: str,
) -> Any:
    """A metric of the tuning runs against the learning rate, a panel an optimizer. Where it spans
    decades its axis is logarithmic; far worse values leave the frame.

    Args:
      panels: what is shown.
      names: all optimizers, so that each keeps its colour.
      metric: what the vertical axis says.
      limits: between which it lies, whatever an interval says.
      share: whether it is read in percent.
      mode: whether its "min" or its "max" is best.
    """
    columns = max(1, min(2 if narrow() else 4, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    with style() as figure:
        fig = figure(figsize=size(2.9 * columns + 0.4, 2.5 * rows + 0.6), layout="constrained")
        axes = fig.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        colour = colours(names)
        for ax, panel in zip(axes, panels, strict=False):
            _basin(ax, panel, colour[panel.name], limits)
        for ax in axes[len(panels) :]:
            ax.set_visible(False)
        labels = dict.fromkeys(_words(panel.hyperparameter) for panel in panels)
        fig.supxlabel(", ".join(labels))
        for ax in axes[::columns]:
            ax.set_ylabel(_words(metric))
        if share:
            for ax in axes:
                _percent(ax)
            low, high = axes[0].get_ylim()
            axes[0].set_ylim(max(low, limits[0]), min(high, limits[1]))
        elif panels:
            _scale(axes[0], np.concatenate([panel.mean for panel in panels]), mode)
    return fig


def _scale(ax: Any, values: np.ndarray, mode: str) -> None:
    """The vertical axis for values of which some may be far worse than those that matter."""
    values = values[np.isfinite(values)]
    if not len(values):
        return
    best, worst = (values.max(), values.min()) if mode == "max" else (values.min(), values.max())
    if spans_decades(values):
        logarithmic(ax, "y")
        end = max(worst, best / FAR) if mode == "max" else min(worst, best * FAR)
        low, high = sorted((best, end))
        ax.set_ylim(low / ROOM, high * ROOM)
        return
    end = worst_shown(values, mode)
    if abs(worst - best) > BEYOND * abs(end - best):
        room = MARGIN * (best - end)
        ax.set_ylim(*sorted((best + room, end - room)))


def generalization_gap(
    train: Mapping[str, np.ndarray],
    test: Mapping[str, np.ndarray],
    intervals: Mapping[str, tuple[float, float]],
    metric: str,
    share: bool,
    mode: str,
) -> Any:
    """A metric on the training and the test split, an optimizer a line, the best on top, every
    seed a dot.

    Args:
      train, test: the metric of each retrained model, by optimizer; NaN for one that diverged.
      intervals: the test metric's mean and the half-width of its interval, by optimizer.
      metric: its name.
      share: whether it is read in percent.
      mode: whether its "min" or its "max" is best.
    """
    colour = colours(test)
    means = {
        name: mean if np.isfinite(mean) else -math.inf for name, (mean, _) in intervals.items()
    }
    names = sorted(test, key=lambda name: -means[name] if mode == "max" else means[name])
    names.sort(key=lambda name: not np.isfinite(means[name]))  # those without a result last
    with style() as figure:
        fig = figure(figsize=size(8.5, 0.55 * len(names) + 1.4), layout="constrained")
        ax = fig.subplots()
        for row, name in enumerate(names):
            mean, half = intervals[name]
            finished = train[name][np.isfinite(train[name])]
            train_mean = float(finished.mean()) if len(finished) else math.nan
            bar = {"color": colour[name], "alpha": 0.3, "linewidth": 1.5}
            ax.plot([mean, train_mean], [row, row], **bar)
            dots = np.full(len(test[name]), row)
            ax.plot(test[name], dots, "o", color=colour[name], alpha=0.35, markersize=4)
            ax.errorbar(
                mean, row, xerr=half, fmt="o", color=colour[name], capsize=4,
                markersize=8, elinewidth=2.2,
            )  # fmt: skip
            ax.plot(train_mean, row, "|", color=colour[name], markersize=11, markeredgewidth=1.8)
            if np.isfinite(mean) and np.isfinite(train_mean):
                gap = abs(train_mean - mean)
                said = f"gap {100 * gap:.1f}" if share else f"gap {gap:.2g}"
                ax.annotate(
                    said, ((mean + train_mean) / 2, row), xytext=(0, 7),
                    textcoords="offset points", ha="center", fontsize=8,
                )  # fmt: skip
        ax.set_yticks(range(len(names)), [short(n, 16 if narrow() else 32) for n in names])
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set(
            xlabel=_words(metric),
        )
        remark(ax, "From test (dots: seeds, bar: 95% interval) to training (|)")
        if share:
            ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f}%")
            ax.fmt_xdata = _exact_percent
    return fig


def _basin(ax: Any, panel: Panel, colour: str, limits: tuple[float, float]) -> None:
    if panel.values.min() > 0:
        logarithmic(ax, "x")
        few_ticks(ax.xaxis, panel.values.min(), panel.values.max(), TICKS)
    if panel.basin is not None and len(panel.values) > 1:
        ax.axvspan(*_between(panel.values, panel.basin), color=colour, alpha=0.12, linewidth=0)
    _band(ax, panel.values, (panel.mean, panel.half_width), panel.name, colour, limits, marker="o")
    ax.plot(
        panel.values[panel.diverged],
        np.full(panel.diverged.sum(), 0.03),
        "x",
        color=alarm(),
        transform=ax.get_xaxis_transform(),
    )
    said = "none"
    if panel.chosen is not None:
        said = f"{panel.chosen:.3g}"
        ax.axvline(panel.chosen, color=colour, linewidth=1, linestyle="--")
    ax.set_title(f"{short(panel.name, 12 if narrow() else 22)}  ({said})")


def _between(values: np.ndarray, basin: tuple[float, float]) -> tuple[float, float]:
    """The basin, half a grid step wider on either side."""
    edges = (
        np.sqrt(values[1:] * values[:-1]) if values.min() > 0 else (values[1:] + values[:-1]) / 2
    )
    edges = np.concatenate([values[:1], edges, values[-1:]])
    held = np.flatnonzero((values >= basin[0]) & (values <= basin[1]))
    return float(edges[held.min()]), float(edges[held.max() + 1])


def _band(
    ax: Any,
    x: np.ndarray,
    band: Band,
    label: str,
    colour: str,
    limits: tuple[float, float] = EVERYWHERE,
    marker: str = "",
    shade: float = 0.15,
) -> None:
    mean, half = band[0], np.nan_to_num(band[1])
    ax.plot(x, mean, color=colour, label=label, linewidth=1.6, marker=marker, markersize=3.5)
    low, high = np.clip(mean - half, *limits), np.clip(mean + half, *limits)
    ax.fill_between(x, low, high, color=colour, alpha=shade, linewidth=0)


def _percent(ax: Any) -> None:
    def words(value: float, _: Any) -> str:
        low, high = ax.get_ylim()
        return f"{100 * value:.{0 if high - low > NARROW else 1}f}%"

    ax.yaxis.set_major_formatter(words)
    ax.fmt_ydata = _exact_percent


def _exact_percent(value: float) -> str:
    return f"{100 * value:.2f}%"


def _leave_out_the_climb(ax: Any, values: np.ndarray) -> None:
    """The first climb would press everything that matters into a strip."""
    values = values[np.isfinite(values)]
    if len(values):
        low, high = np.quantile(values, [0.05, 1.0])
        margin = 0.05 * (high - low) or 0.01
        ax.set_ylim(low - margin, high + margin)


def _words(name: str) -> str:
    for split, word in (("train_", "training "), ("valid_", "validation "), ("test_", "test ")):
        if name.startswith(split):
            return word + name[len(split) :].replace("_", " ")
    return name.replace("_", " ")
