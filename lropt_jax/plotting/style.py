"""One look for every figure: colours that colour-blind readers tell apart, thin frames."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Iterable, Iterator
from typing import Any

from lropt_jax.validation import require

# Okabe and Ito 2008, the yellow darkened for white paper, then four more of like lightness.
PALETTE = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#B8860B", "#56B4E9", "#4D4D4D",
    "#7B4FA3", "#8C510A", "#1B7837", "#C51B7D", "#E69F00",
)  # fmt: skip

# The same hues for black paper, in the same order.
ON_DARK = (
    "#4C9BE8", "#F0803C", "#2FC79A", "#E59CC6", "#D6CF4A", "#8FD3F7", "#B8BEC6",
    "#B592E0", "#C98F55", "#7BC96F", "#F06DB0", "#FFC04D",
)  # fmt: skip

DIVERGED = ("#B00020", "#FF6B7A")  # on white, on black
EVEN = 0.179  # luminance on which black and white are read equally well
FIXED = "fixed"  # begins the gid of what lies on a colour and keeps its own on any paper
MAPS = {"min": "viridis_r", "max": "viridis"}  # bright is good

RC: Any = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,  # 0.1234 and 0.1235, not 4e-4 and 5e-4 "+1.23e-1"
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


PHONE = 4.1  # inches: as wide a figure on a phone has letters that can be read
_PHONE = contextvars.ContextVar("phone", default=False)


@contextlib.contextmanager
def for_phones() -> Iterator[None]:
    """Figures made in here are narrow: panels below each other, the legend below them."""
    token = _PHONE.set(True)
    try:
        yield
    finally:
        _PHONE.reset(token)


def narrow() -> bool:
    """Whether a figure is made for a phone."""
    return _PHONE.get()


def size(width: float, height: float) -> tuple[float, float]:
    """Of a figure, in inches: not wider than a phone where it is made for one."""
    return (min(width, PHONE), height) if narrow() else (width, height)


@contextlib.contextmanager
def style() -> Iterator[Any]:
    """What makes a figure of matplotlib's without pyplot, under the package's look; those that it
    has made are legible afterwards (see `legible`).

    Raises:
      ImportError: when matplotlib is not installed; it names the extra that installs it.
    """
    require("a figure", "report", "matplotlib")
    import matplotlib

    from lropt_jax.plotting.legible import make_legible
    from lropt_jax.plotting.shown import figure_class

    made = []

    def figure(**look: Any) -> Any:
        made.append(figure_class()(**look))
        return made[-1]

    with matplotlib.rc_context(RC):
        yield figure
        for each in made:
            make_legible(each)


def ink() -> str:
    """The colour of letters in the style that is set: black, or white on dark paper."""
    import matplotlib

    return str(matplotlib.rcParams["text.color"])


def paper() -> str:
    """The colour of the paper in the style that is set."""
    import matplotlib

    return str(matplotlib.rcParams["axes.facecolor"])


def grey(lightness: float) -> tuple[float, float, float]:
    """From the ink, 0, to the paper, 1: what stands back."""
    from matplotlib.colors import to_rgb

    mixed = [
        lightness * p + (1 - lightness) * i
        for i, p in zip(to_rgb(ink()), to_rgb(paper()), strict=True)
    ]
    return mixed[0], mixed[1], mixed[2]


def luminance(colour: Any) -> float:
    """How light a colour is seen, 0 to 1 (WCAG 2.2)."""
    from matplotlib.colors import to_rgb

    parts = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def is_dark(colour: Any = None) -> bool:
    """Whether white is read better than black on a colour, by default on the style's paper."""
    return luminance(paper() if colour is None else colour) < EVEN


def palette() -> tuple[str, ...]:
    """Colours that are told apart on the paper of the style that is set."""
    return ON_DARK if is_dark() else PALETTE


def alarm() -> str:
    """The colour of what diverged."""
    return DIVERGED[is_dark()]


def colours(names: Iterable[Any]) -> dict[Any, str]:
    """A colour for each name, by its place."""
    known = palette()
    return {name: known[i % len(known)] for i, name in enumerate(names)}


def halo(width: float, edge: str | None = None) -> list[Any]:
    """An edge around a line or letters, so that they are read on any colour; by default of the
    paper's."""
    from matplotlib.patheffects import withStroke

    return [withStroke(linewidth=width, foreground=edge or paper())]
