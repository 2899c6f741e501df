"""The figures of a sweep: sensitivity, heat-map, parallel coordinates, curves, budget."""

from __future__ import annotations

from typing import Any

import numpy as np

from lropt_jax.plotting.style import PALETTE, style
from lropt_jax.sweeps.planning.space import is_lane_number
from lropt_jax.sweeps.results.result import SweepResult

DIVERGED = "#B00020"
MAPS = {"min": "viridis_r", "max": "viridis"}  # bright is good


def sensitivity_figure(result: SweepResult, name: str, metric: str | None = None) -> Any:
    """A metric against one hyperparameter: mean, 95% band, basin, and a rug of diverged lanes."""
    found = result.sensitivity(name, metric)
    with style() as figure:
        fig = figure(figsize=(6.2, 4.0), layout="constrained")
        ax = fig.subplots()
        if found.basin is not None and found.basin[0] < found.basin[1]:
            ax.axvspan(*found.basin, color=PALETTE[0], alpha=0.1, linewidth=0, label="basin")
        half = np.nan_to_num(found.half_width)
        ax.plot(found.values, found.mean, "o-", color=PALETTE[0], markersize=4, label="mean")
        low, high = found.mean - half, found.mean + half
        if _logarithmic(found.mean):
            ax.set_yscale("log")
            low = np.maximum(low, np.nanmin(found.mean) / 10)
        if half.any():
            ax.fill_between(
                found.values, low, high, color=PALETTE[0], alpha=0.2, linewidth=0,
                label="95% interval",
            )  # fmt: skip
        bad = found.diverged > 0
        ax.plot(
            found.values[bad],
            np.full(bad.sum(), 0.02),
            "|",
            color=DIVERGED,
            markersize=12,
            markeredgewidth=2,
            transform=ax.get_xaxis_transform(),
            label="diverged" if bad.any() else None,
        )
        if _logarithmic(found.values):
            ax.set_xscale("log")
        ax.set(xlabel=_words(name), ylabel=_words(found.metric))
        ax.legend()
    return fig


def heatmap_figure(result: SweepResult, x: str, y: str, metric: str | None = None) -> Any:
    """A metric against two hyperparameters, the others at their best; diverged cells hatched."""
    metric, mode = result.metric_and_mode(metric, None)
    columns, rows = _values(result, x), _values(result, y)
    means = result.means(metric)
    cells = np.full((len(rows), len(columns)), np.nan)
    diverged = np.zeros(cells.shape, bool)
    for trial, mean in zip(result.trials, means, strict=True):
        if x not in trial or y not in trial:
            continue
        at = rows.index(_shown(trial[y])), columns.index(_shown(trial[x]))
        best = np.fmin if mode == "min" else np.fmax
        cells[at] = best(cells[at], mean)
    for t, trial in enumerate(result.trials):
        at = rows.index(_shown(trial.get(y))), columns.index(_shown(trial.get(x)))
        diverged[at] |= np.isnan(cells[at]) and (result.status[t] == "diverged").any()
    with style() as figure:
        fig = figure(
            figsize=(1.6 + 0.62 * len(columns), 1.4 + 0.5 * len(rows)), layout="constrained"
        )
        ax = fig.subplots()
        ax.grid(visible=False)
        norm = "log" if _logarithmic(cells) else "linear"
        image = ax.imshow(cells, origin="lower", aspect="auto", cmap=MAPS[mode], norm=norm)
        for row, column in zip(*np.nonzero(diverged), strict=True):
            _hatch(ax, row, column)
        ax.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
        ax.set_yticks(range(len(rows)), rows)
        ax.set(xlabel=_words(x), ylabel=_words(y))
        fig.colorbar(image, ax=ax, label=_words(metric))
        if diverged.any():
            ax.set_title("hatched: diverged", fontsize=9)
    return fig


def parallel_figure(result: SweepResult, metric: str | None = None) -> Any:
    """One axis a hyperparameter, the last the metric; a line a configuration, coloured by it."""
    import matplotlib

    metric, mode = result.metric_and_mode(metric, None)
    means = result.means(metric)
    names = [
        n for n in dict.fromkeys(k for t in result.trials for k in t) if len(_values(result, n)) > 1
    ]
    axes = [_Axis(n, [t.get(n) for t in result.trials]) for n in names] + [_Axis(metric, means)]
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
        ax.set_xticks(range(len(axes)), [_words(axis.name) for axis in axes])
        ax.set_xlim(-0.1, len(axes) - 0.6)
        if not np.isfinite(good).all():
            ax.set_title("dotted: pruned or diverged", fontsize=9)
    return fig


def curves_figure(result: SweepResult, metric: str | None = None, best: int = 10) -> Any:
    """A metric over the updates, means over seeds; the best configurations in colour."""
    metric, mode = result.metric_and_mode(metric, None)
    result.last(metric)
    means = result.means(metric)
    order = np.argsort(means if mode == "min" else -means)  # NaN last
    chosen = [t for t in order[:best] if np.isfinite(means[t])]
    with style() as figure:
        fig = figure(figsize=(8.0, 4.2), layout="constrained")
        ax = fig.subplots()
        curves = result.values[metric].mean(axis=1)
        for trial in set(range(len(curves))) - set(chosen):
            ax.plot(result.steps, curves[trial], color="0.75", linewidth=0.8, zorder=1)
        for place, trial in enumerate(chosen):
            words = ", ".join(f"{_words(k)} {_shown(v)}" for k, v in result.trials[trial].items())
            ax.plot(result.steps, curves[trial], color=PALETTE[place % len(PALETTE)], label=words)
        ax.set(xlabel="updates", ylabel=_words(metric))
        if _logarithmic(curves[chosen]):
            ax.set_yscale("log")
        if chosen:
            # The hopeless ones may leave the frame.
            low, high = np.nanmin(curves[chosen]), np.nanmax(curves[chosen])
            room = 0.25 * (high - low) + 1e-12
            ax.set_ylim(low / 1.2 if ax.get_yscale() == "log" else low - room, high + 2 * room)
            ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=8)
    return fig


def budget_figure(result: SweepResult, metric: str | None = None) -> Any:
    """The expected best of n configurations, with the range of 95% of draws."""
    metric, _ = result.metric_and_mode(metric, None)
    curve = result.budget_curve(metric)
    with style() as figure:
        fig = figure(figsize=(5.6, 3.8), layout="constrained")
        ax = fig.subplots()
        ax.plot(curve["trials"], curve["expected_best"], color=PALETTE[0], label="expected best")
        ax.fill_between(
            curve["trials"], curve["low"], curve["high"], color=PALETTE[0], alpha=0.15,
            linewidth=0, label="95% of draws",
        )  # fmt: skip
        if _logarithmic(curve[["low", "high"]].to_numpy()):
            ax.set_yscale("log")
        ax.set(xlabel="configurations tried", ylabel=_words(metric))
        ax.legend()
    return fig


class _Axis:
    """A name's places on a vertical axis from 0 to 1, and its ticks."""

    def __init__(self, name: str, given: Any):
        self.name = name
        if all(is_lane_number(v) for v in given):
            x = np.asarray(given, float)
            finite = x[np.isfinite(x)]
            low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
            scale = np.log if _logarithmic(finite) else np.asarray
            span = float(scale(high) - scale(low)) or 1.0
            with np.errstate(invalid="ignore"):
                self.places = (scale(x) - scale(low)) / span
            self.ticks = [(0.0, _shown(float(low))), (1.0, _shown(float(high)))]
        else:
            words = [_shown(v) for v in given]
            known = list(dict.fromkeys(words))
            steps = max(len(known) - 1, 1)
            self.places = np.array([known.index(w) / steps for w in words])
            self.ticks = [(i / steps, w) for i, w in enumerate(known)]


def _hatch(ax: Any, row: int, column: int) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(
        Rectangle(
            (column - 0.5, row - 0.5),
            1,
            1,
            fill=False,
            hatch="////",
            edgecolor=DIVERGED,
            linewidth=0,
        )
    )


def _values(result: SweepResult, name: str) -> list[str]:
    """A name's values as words: numbers ascending, others in the order of the trials."""
    given = [trial.get(name) for trial in result.trials]
    if not any(name in trial for trial in result.trials):
        known = ", ".join(dict.fromkeys(k for t in result.trials for k in t))
        raise KeyError(f"unknown hyperparameter {name!r}; this sweep has {known}")
    if all(is_lane_number(v) for v in given):
        given = sorted(given, key=float)  # type: ignore[arg-type]
    return list(dict.fromkeys(_shown(v) for v in given))


def _shown(value: Any) -> str:
    if is_lane_number(value):
        return f"{value:.3g}"
    return "" if value is None else str(getattr(value, "__name__", value))


def _logarithmic(values: np.ndarray) -> bool:
    """Whether positive values span more than a decade."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return bool(len(values) and values.min() > 0 and values.max() / values.min() > 10)


def _words(name: str) -> str:
    return name.replace("_", " ")
