"""What no figure may lack: a point alone is seen, a long name is not cut."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np

LETTERS = 9  # of an axis' name on an inch of its figure
FEWEST = 16  # on a line of it, however small the axis
DOT = 3.5


def make_legible(figure: Any) -> None:
    """Points that no line joins to others are dots, with their intervals as strokes; names of axes
    that are longer than their axis are broken into lines."""
    for ax in figure.axes:
        for line in ax.lines:
            _dot_alone(line, ax)
        for band in ax.collections:
            _stroke_alone(band)
        spec = ax.get_subplotspec()
        rows, columns = (1, 1) if spec is None else spec.get_gridspec().get_geometry()
        _break(ax.xaxis.label, figure.get_figwidth() / columns)
        _break(ax.yaxis.label, figure.get_figheight() / rows)
    if figure.get_supxlabel():
        figure.supxlabel(_broken(figure.get_supxlabel(), figure.get_figwidth()))


def _dot_alone(line: Any, ax: Any) -> None:
    if line.get_marker() not in ("", " ", "None", None) or line.get_transform() != ax.transData:
        return
    there = np.isfinite(np.asarray(line.get_xydata(), float)).all(axis=1)
    before, after = np.r_[False, there[:-1]], np.r_[there[1:], False]
    alone = np.flatnonzero(there & ~before & ~after)
    if len(alone):
        line.set(marker="o", markersize=DOT, markevery=alone.tolist())


def _stroke_alone(band: Any) -> None:
    """A band over a single point has no width."""
    from matplotlib.collections import PolyCollection

    sizes = [path.get_extents() for path in band.get_paths()]
    if isinstance(band, PolyCollection) and sizes and not any(box.width for box in sizes):
        band.set(edgecolor="face", linewidth=2.0)


def _break(label: Any, inches: float) -> None:
    label.set_text(_broken(label.get_text(), inches))


def _broken(words: str, inches: float) -> str:
    """Words on lines of an axis so long."""
    letters = max(FEWEST, int(LETTERS * inches))
    return "\n".join(textwrap.fill(line, letters) for line in words.split("\n"))
