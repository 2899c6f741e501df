"""A figure that a notebook shows, whether or not pyplot was ever imported there."""

from __future__ import annotations

import functools
import io
from typing import Any


@functools.cache
def figure_class() -> Any:
    """matplotlib's figure. IPython knows how to show one only after pyplot has told it."""
    from matplotlib.figure import Figure

    class ShownFigure(Figure):
        def _repr_png_(self) -> bytes:
            drawn = io.BytesIO()
            self.savefig(drawn, format="png", dpi=self.dpi, bbox_inches="tight")
            return drawn.getvalue()

    ShownFigure.__qualname__ = "ShownFigure"  # where a pickle finds it, by `__getattr__`
    return ShownFigure


def __getattr__(name: str) -> Any:
    if name != "ShownFigure":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return figure_class()
