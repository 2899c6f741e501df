"""The figures of a comparison: learning curves, learning-rate basins, the generalization gap."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lropt_jax.comparisons.protocol import Comparison, Contestant
from lropt_jax.plotting.style import colours, style
from lropt_jax.sweeps.results.statistics import mean_interval


def learning_curves(comparison: Comparison, steps_per_epoch: int | None = None) -> Any:
    """Training loss and the selecting metric over the retraining, mean and 95% band over seeds."""
    select = comparison.protocol.select
    with style() as figure:
        fig = figure(figsize=(11, 4.2), layout="constrained")
        axes = fig.subplots(1, 2)
        colour = colours(comparison.contestants)
        for name, contestant in comparison.contestants.items():
            run = contestant.retraining
            x = run.steps / (steps_per_epoch or 1)
            for ax, metric in zip(axes, ("train_loss", select), strict=True):
                _band(ax, x, run.values[metric][0], name, colour[name])
        axes[0].set(yscale="log", ylabel="training loss (mean of batches)", title="Training")
        axes[1].set(ylabel=_words(select), title="Validation")
        if "accuracy" in select:
            _percent(axes[1])
            _clip_to_median(
                axes[1], [c.retraining.values[select][0] for c in comparison.contestants.values()]
            )
        for ax in axes:
            ax.set_xlabel("epoch" if steps_per_epoch else "updates")
        axes[1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return fig


def basins(comparison: Comparison, name: str = "learning_rate") -> Any:
    """Test metric of the tuning runs against one hyperparameter, a panel an optimizer.

    The shaded basin holds the values whose selecting metric lies within one point (accuracies)
    or 5% (losses) of the best. Test values are shown, never selected by.
    """
    shown = [c for c in comparison.contestants.values() if name in c.chosen]
    columns = min(4, len(shown))
    rows = math.ceil(len(shown) / columns)
    with style() as figure:
        fig = figure(figsize=(2.9 * columns + 0.4, 2.5 * rows + 0.6), layout="constrained")
        axes = np.atleast_1d(fig.subplots(rows, columns, sharey=True, squeeze=False)).ravel()
        colour = colours(comparison.contestants)
        for ax, contestant in zip(axes, shown, strict=False):
            _basin(ax, contestant, comparison, name, colour[contestant.name])
        for ax in axes[len(shown) :]:
            ax.set_visible(False)
        if "accuracy" in comparison.decisive:
            _percent(axes[0])
        fig.supxlabel(_words(name))
        for ax in axes[::columns]:
            ax.set_ylabel(_words(comparison.decisive))
        if "accuracy" in comparison.decisive:
            low, high = axes[0].get_ylim()
            axes[0].set_ylim(max(low, 0.0), min(high, 1.0))  # no interval reaches further
    return fig


def generalization_gap(comparison: Comparison) -> Any:
    """Train and test accuracy of the retrained models, an optimizer a line, every seed a dot."""
    with style() as figure:
        names = list(comparison.contestants)
        fig = figure(figsize=(8.5, 0.55 * len(names) + 1.4), layout="constrained")
        ax = fig.subplots()
        colour = colours(names)
        for row, (name, contestant) in enumerate(comparison.contestants.items()):
            train, test = contestant.final("train_accuracy"), contestant.final("test_accuracy")
            mean, half = mean_interval(test)
            train_mean, _ = mean_interval(train)
            ax.plot(
                [mean, train_mean],
                [row, row],
                color=colour[name],
                alpha=0.35,
                linewidth=5,
                solid_capstyle="butt",
            )
            ax.plot(test, np.full(len(test), row), "o", color=colour[name], alpha=0.3, markersize=4)
            ax.errorbar(mean, row, xerr=half, fmt="o", color=colour[name], capsize=3, markersize=6)
            ax.plot(train_mean, row, "|", color=colour[name], markersize=14, markeredgewidth=2.5)
            if np.isfinite(mean) and np.isfinite(train_mean):
                gap = f"gap {100 * (train_mean - mean):.1f}"
                ax.annotate(
                    gap,
                    ((mean + train_mean) / 2, row),
                    xytext=(0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                )
        ax.set_yticks(range(len(names)), names)
        ax.set_ylim(len(names) - 0.5, -0.5)
        ax.grid(axis="y", visible=False)
        ax.set(
            xlabel="accuracy",
            title="From test accuracy (dots: seeds, bar: 95% interval) to train accuracy (|)",
        )
        ax.title.set_fontsize(10)
        ax.xaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f}%")
    return fig


def _basin(ax: Any, contestant: Contestant, comparison: Comparison, name: str, colour: str) -> None:
    tuning, select = contestant.tuning, comparison.protocol.select
    # Where a space has further names, each value is shown with the best of the others.
    x = np.array([trial[name] for trial in tuning.trials], float)
    test, picked = tuning.final[comparison.decisive], tuning.last(select)
    sign = 1 if comparison.protocol.mode == "max" else -1
    mean = np.where((tuning.status == "finished").all(1), picked.mean(1), np.nan)
    values = np.unique(x)
    best = [
        max(np.flatnonzero(x == v), key=lambda t: np.nan_to_num(sign * mean[t], nan=-np.inf))
        for v in values
    ]
    good = mean[best] * sign
    if values.min() > 0:
        ax.set_xscale("log")
    if np.isfinite(good).any() and len(values) > 1:
        top = np.nanmax(good)
        inside = good >= top - (0.01 if "accuracy" in select else 0.05 * abs(top))
        low, high = _between(values, inside)
        ax.axvspan(low, high, color=colour, alpha=0.12, linewidth=0)
    _band(ax, values, test[best].T, "", colour, marker="o")
    diverged = (tuning.status[best] == "diverged").any(axis=1)
    ax.plot(
        values[diverged],
        np.full(diverged.sum(), 0.03),
        "x",
        color="#B00020",
        transform=ax.get_xaxis_transform(),
    )
    ax.axvline(contestant.chosen[name], color=colour, linewidth=1, linestyle="--")
    ax.set_title(f"{contestant.name}  ({contestant.chosen[name]:.3g})")


def _between(values: np.ndarray, inside: np.ndarray) -> tuple[float, float]:
    """The interval of the values inside, half a grid step wider on either side."""
    edges = (
        np.sqrt(values[1:] * values[:-1]) if values.min() > 0 else (values[1:] + values[:-1]) / 2
    )
    edges = np.concatenate([values[:1], edges, values[-1:]])
    held = np.flatnonzero(inside)
    return float(edges[held.min()]), float(edges[held.max() + 1])


def _band(
    ax: Any, x: np.ndarray, runs: np.ndarray, label: str, colour: str, marker: str = ""
) -> None:
    """The mean of runs (seeds, x) with the 95% interval of the mean."""
    stats = np.array([mean_interval(column) for column in runs.T])
    mean, half = stats[:, 0], np.nan_to_num(stats[:, 1])
    ax.plot(x, mean, color=colour, label=label, linewidth=1.6, marker=marker, markersize=3.5)
    ax.fill_between(x, mean - half, mean + half, color=colour, alpha=0.15, linewidth=0)


def _percent(ax: Any) -> None:
    ax.yaxis.set_major_formatter(lambda v, _: f"{100 * v:.0f}%")


def _clip_to_median(ax: Any, runs: list[np.ndarray]) -> None:
    """Leaves out the first climb, which would press everything that matters into a strip."""
    values = np.concatenate([r.ravel() for r in runs])
    values = values[np.isfinite(values)]
    if len(values):
        low, high = np.quantile(values, [0.05, 1.0])
        margin = 0.05 * (high - low) or 0.01
        ax.set_ylim(low - margin, high + margin)


def _words(name: str) -> str:
    for split, word in (("train_", "training "), ("valid_", "validation "), ("test_", "test ")):
        if name.startswith(split):
            return word + name[len(split) :]
    return name.replace("_", " ")
