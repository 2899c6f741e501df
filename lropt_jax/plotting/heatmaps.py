"""A metric against two hyperparameters: cells of a grid, or sampled points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.plotting.axes import (
    even_in_logarithm,
    logarithmic,
    plain_ticks,
    remark,
    short,
    shown,
    spans_decades,
    values_of,
    words_of,
    worst_shown,
)
from lropt_jax.plotting.style import (
    FIXED,
    MAPS,
    alarm,
    grey,
    halo,
    ink,
    is_dark,
    narrow,
    size,
    style,
)
from lropt_jax.validation import is_scalar

LETTERS = 20  # of a value beside the cells
WRITTEN = 80  # cells at most that have their value written in them
WRITTEN_NARROW = 7  # columns at most that have room for it on a phone


def heatmap_figure(
    trials: Sequence[Mapping[str, Any]],
    scores: np.ndarray,
    diverged: np.ndarray,
    x: str,
    y: str,
    metric: str,
    mode: str,
) -> Any:
    """A metric against two hyperparameters, the others at their best.

    Values of a grid are cells, diverged ones hatched; sampled values are points on their own axes,
    diverged ones crosses. The best is framed or ringed. Colours end where values are bad enough,
    so that a corner that has nearly diverged does not take them all.

    Args:
      trials: the configurations.
      scores: the metric of each, NaN where it did not finish.
      diverged: whether a lane of it diverged.
      x, y: the hyperparameters on the axes.
      metric: what the colours show.
      mode: whether its "min" or its "max" is best.

    Raises:
      KeyError: for a name that no configuration has.
    """
    columns, rows = values_of(trials, x), values_of(trials, y)
    usable = [t for t, trial in enumerate(trials) if x in trial and y in trial]
    # The best last, so that it stays on top; of equal ones the first is the best, as elsewhere.
    worth = np.where(np.isfinite(scores), scores if mode == "max" else -scores, -np.inf)
    order = [usable[i] for i in np.lexsort((-np.arange(len(usable)), worth[usable]))]
    numbers = all(is_scalar(trials[t][name]) for t in usable for name in (x, y))
    if numbers and len(columns) * len(rows) > 2 * len(usable):
        return _scattered(trials, scores, order, x, y, metric, mode)
    cells = np.full((len(rows), len(columns)), np.nan)
    lost = np.zeros(cells.shape, bool)
    at = {t: (rows.index(shown(trials[t][y])), columns.index(shown(trials[t][x]))) for t in usable}
    for t in order:
        cells[at[t]] = scores[t] if np.isfinite(scores[t]) else cells[at[t]]
    for t in usable:
        lost[at[t]] |= np.isnan(cells[at[t]]) and bool(diverged[t])
    with style() as figure:
        fig = figure(
            figsize=size(2.2 + 0.62 * len(columns), 1.6 + 0.5 * len(rows)), layout="constrained"
        )
        ax = fig.subplots()
        ax.grid(visible=False)
        colour = _Colours(cells, mode)
        image = ax.imshow(cells, origin="lower", aspect="auto", cmap=colour.map, norm=colour.norm)
        for row, column in zip(*np.nonzero(lost), strict=True):
            _outlined(ax, row, column, hatch="////", edgecolor=alarm(), linewidth=0)
        if cells.size <= WRITTEN and not (narrow() and len(columns) > WRITTEN_NARROW):
            for (row, column), value in np.ndenumerate(cells):
                if np.isfinite(value):
                    ax.text(
                        column, row, f"{value:.3g}", ha="center", va="center", fontsize=7.5,
                        color=colour.ink(value), gid=f"{FIXED}-{row}-{column}",
                    )  # fmt: skip
        if order and np.isfinite(scores[order[-1]]):
            row, column = at[order[-1]]
            _outlined(
                ax, row, column, edgecolor="black", linewidth=2.2, zorder=3, gid=f"{FIXED}-best",
                path_effects=halo(5, "white"),
            )  # fmt: skip
        across, up = ([short(v, LETTERS) for v in values] for values in (columns, rows))
        ax.set_xticks(range(len(columns)), across, rotation=45, ha="right", rotation_mode="anchor")
        ax.set_yticks(range(len(rows)), up)
        ax.set(xlabel=words_of(x), ylabel=words_of(y))
        colour.bar(fig, ax, image, metric)
        _say(ax, "framed: best", "hatched: diverged" if lost.any() else "")
    return fig


def _scattered(
    trials: Sequence[Mapping[str, Any]],
    scores: np.ndarray,
    order: Sequence[int],
    x: str,
    y: str,
    metric: str,
    mode: str,
) -> Any:
    """Sampled values: a point a configuration."""
    across, up = (np.array([trials[t][name] for t in order], float) for name in (x, y))
    values = scores[list(order)]
    known = np.isfinite(values)
    with style() as figure:
        fig = figure(figsize=size(6.2, 4.4), layout="constrained")
        ax = fig.subplots()
        if (~known).any():
            ax.plot(across[~known], up[~known], "x", color=alarm(), alpha=0.6)
        colour = _Colours(values, mode)
        points = ax.scatter(
            across[known], up[known], c=values[known], cmap=colour.map, norm=colour.norm,
            s=44, edgecolor=grey(0.35), linewidth=0.4,
        )  # fmt: skip
        if known.any():
            ax.plot(
                across[-1], up[-1], "o", markersize=14, markerfacecolor="none",
                markeredgewidth=1.8, color=ink(), path_effects=halo(4),
            )  # fmt: skip
            colour.bar(fig, ax, points, metric)
        for given, which in ((across, "x"), (up, "y")):
            if even_in_logarithm(given):
                logarithmic(ax, which)
        ax.set(xlabel=words_of(x), ylabel=words_of(y))
        _say(
            ax,
            "ringed: best" if known.any() else "",
            "×: did not finish" if not known.all() else "",
        )
    return fig


class _Colours:
    """Colours of a metric, bright where it is good, that a few bad values do not eat."""

    def __init__(self, values: np.ndarray, mode: str):
        import matplotlib
        from matplotlib.colors import LogNorm, Normalize

        seen = values[np.isfinite(values)]
        seen = seen if len(seen) else np.zeros(1)
        self.end = worst_shown(seen, mode)
        low, high = (seen.min(), self.end) if mode == "min" else (self.end, seen.max())
        self.beyond = seen.max() > high or seen.min() < low
        self.extend = ("max" if mode == "min" else "min") if self.beyond else "neither"
        self.logarithmic = spans_decades(np.array([low, high]))
        self.norm = (LogNorm if self.logarithmic else Normalize)(low, high)
        self.map = matplotlib.colormaps[MAPS[mode]]

    def ink(self, value: float) -> str:
        """Black or white, whichever is read on the value's colour."""
        return "white" if is_dark(self.map(float(np.clip(self.norm(value), 0, 1)))) else "black"

    def bar(self, fig: Any, ax: Any, drawn: Any, metric: str) -> None:
        """The scale beside the picture."""
        bar = fig.colorbar(drawn, ax=ax, label=words_of(metric), extend=self.extend)
        if self.logarithmic:
            plain_ticks(bar.ax.yaxis)


def _say(ax: Any, *words: str) -> None:
    remark(ax, "; ".join(filter(None, words)))


def _outlined(ax: Any, row: int, column: int, **look: Any) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, **look))
