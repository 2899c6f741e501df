"""One look for every figure: colours that colour-blind readers tell apart, thin frames."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Any

from lropt_jax.validation import require

# Okabe and Ito 2008, the yellow darkened for white paper, then four more of like lightness.
PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#4D4D4D",
    "#7B4FA3", "#8C510A", "#1B7837", "#C51B7D", "#E69F00",
)  # fmt: skip

DIVERGED = "#B00020"
BEST = "black"  # in `halo`
MAPS = {"min": "viridis_r", "max": "viridis"}  # bright is good

RC: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "axes.titleweight": "bold",
    "grid.alpha": 0.25,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "figure.dpi": 90,
    "savefig.dpi": 160,
    "savefig.bbox": "tight",
    "font.size": 10,
}


@contextlib.contextmanager
def style() -> Iterator[Any]:
    """matplotlib's pyplot-free figure class, under the package's look.

    Raises:
      ImportError: when matplotlib is not installed; it names the extra that installs it.
    """
    require("a figure", "report", "matplotlib")
    import matplotlib

    from lropt_jax.plotting.shown import figure_class

    with matplotlib.rc_context(RC):
        yield figure_class()


def colours(names: Iterable[str]) -> dict[str, str]:
    """A colour for each name, by its place."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def halo(width: float) -> list[Any]:
    """A white edge around a line or letters, so that they are read on any colour."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground="white")]
