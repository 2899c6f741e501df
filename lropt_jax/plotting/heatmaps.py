"""A metric against two hyperparameters: cells of a grid, or sampled points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.plotting.axes import is_plain_number, shown, spans_decades, values_of, words_of
from lropt_jax.plotting.style import DIVERGED, MAPS, style


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
    diverged ones crosses. The best is ringed.

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
    # The best last, so that it stays on top.
    worth = np.where(np.isfinite(scores), scores if mode == "max" else -scores, -np.inf)
    order = [usable[i] for i in np.argsort(worth[usable], kind="stable")]
    numbers = all(is_plain_number(trials[t][name]) for t in usable for name in (x, y))
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
            figsize=(1.6 + 0.62 * len(columns), 1.4 + 0.5 * len(rows)), layout="constrained"
        )
        ax = fig.subplots()
        ax.grid(visible=False)
        norm = "log" if spans_decades(cells) else "linear"
        image = ax.imshow(cells, origin="lower", aspect="auto", cmap=MAPS[mode], norm=norm)
        for row, column in zip(*np.nonzero(lost), strict=True):
            _outlined(ax, row, column, hatch="////", edgecolor=DIVERGED, linewidth=0)
        if order and np.isfinite(scores[order[-1]]):
            _outlined(ax, *at[order[-1]], edgecolor="black", linewidth=2)
        ax.set_xticks(range(len(columns)), columns, rotation=45, ha="right")
        ax.set_yticks(range(len(rows)), rows)
        ax.set(xlabel=words_of(x), ylabel=words_of(y))
        fig.colorbar(image, ax=ax, label=words_of(metric))
        ax.set_title("framed: best" + ("; hatched: diverged" if lost.any() else ""), fontsize=9)
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
        fig = figure(figsize=(6.2, 4.4), layout="constrained")
        ax = fig.subplots()
        if (~known).any():
            ax.plot(
                across[~known], up[~known], "x", color=DIVERGED, alpha=0.6, label="did not finish"
            )
        norm = "log" if spans_decades(values) else "linear"
        points = ax.scatter(
            across[known], up[known], c=values[known], cmap=MAPS[mode], norm=norm, s=36
        )
        if known.any():
            ax.plot(
                across[-1], up[-1], "o", markersize=13, markerfacecolor="none", color="black",
                label="best",
            )  # fmt: skip
            fig.colorbar(points, ax=ax, label=words_of(metric))
        for given, scale in ((across, ax.set_xscale), (up, ax.set_yscale)):
            if spans_decades(given):
                scale("log")
        ax.set(xlabel=words_of(x), ylabel=words_of(y))
        ax.legend(fontsize=8)
    return fig


def _outlined(ax: Any, row: int, column: int, **look: Any) -> None:
    from matplotlib.patches import Rectangle

    ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, **look))
