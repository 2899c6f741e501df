"""What axes say and how they run: words for names and values, logarithmic or not, how far."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lropt_jax.plotting.style import narrow
from lropt_jax.validation import is_scalar, unknown


def values_of(trials: Sequence[Mapping[str, Any]], name: str) -> list[str]:
    """A name's values as words: numbers ascending, others in the order of the trials."""
    if not any(name in trial for trial in trials):
        raise KeyError(unknown("hyperparameter", name, dict.fromkeys(k for t in trials for k in t)))
    given = [trial.get(name, "") for trial in trials]
    if all(map(is_scalar, given)):
        given = sorted(given, key=float)
    return list(dict.fromkeys(map(shown, given)))


def shown(value: Any) -> str:
    """A value in a few digits, or its name."""
    if is_scalar(value):
        return f"{value:.3g}"
    return str(getattr(value, "__name__", value))


def spans_decades(values: np.ndarray) -> bool:
    """Whether positive values span more than a decade."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return bool(len(values) and values.min() > 0 and values.max() / values.min() > 10)


def even_in_logarithm(values: np.ndarray) -> bool:
    """Whether values are spread over decades, not merely down to a small one.

    Of numbers drawn evenly from 0 to 1 the smallest of many is small, too, but half of them lie in
    the upper half.
    """
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    if not spans_decades(values):
        return False
    return bool(np.median(values) - values.min() < 0.3 * (values.max() - values.min()))


def logarithmic(ax: Any, which: str) -> None:
    """Makes an axis logarithmic, with ticks that read as numbers: 0.2, not 2 x 10^-1.

    Args:
      ax: matplotlib's axes.
      which: "x" or "y".
    """
    (ax.set_xscale if which == "x" else ax.set_yscale)("log")
    plain_ticks(ax.xaxis if which == "x" else ax.yaxis)


def plain_ticks(axis: Any) -> None:
    """Ticks of a logarithmic axis as numbers, those in between where there is room."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    axis.set_major_formatter(Plain())
    axis.set_minor_formatter(Plain(minor_thresholds=(1.3, 0.5)))


REST = 0.4  # of the configurations, the better ones, say how far colours and axes reach


def worst_shown(values: np.ndarray, mode: str) -> float:
    """Where a scale may end on the side of the bad values; what lies beyond is shown as the end.

    Evenly spread values are all inside of it. It takes no more than two fifths that are good for
    the rest, a corner that has nearly diverged, to have no say.

    Args:
      values: the finite ones, at least one.
      mode: whether the "min" or the "max" is best.
    """
    decades = spans_decades(values)
    x = np.log(values) if decades else np.asarray(values, float)
    x = x if mode == "min" else -x
    best, worst = x.min(), x.max()
    reach = (np.quantile(x, REST) - best) / REST
    end = min(worst, best + reach) if reach > 0 else worst
    end = float(end if mode == "min" else -end)
    return float(np.exp(end)) if decades else end


def words_of(name: str) -> str:
    """A name as an axis says it."""
    return name.replace("_", " ")


DECADE = 8.0  # the ratio of an axis on which a decade is labelled alone


def few_ticks(axis: Any, low: float, high: float, count: int) -> None:
    """Labels of a logarithmic axis that has little room: decades, or a few round numbers.

    Args:
      axis: matplotlib's.
      low, high: between which the values lie.
      count: of labels, about and at most.
    """
    from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullFormatter

    axis.set_minor_formatter(NullFormatter())
    if high > DECADE * low:
        axis.set_major_locator(LogLocator(numticks=count + 1))
    else:
        axis.set_major_locator(FixedLocator(MaxNLocator(count).tick_values(low, high)))


def short(name: str, letters: int) -> str:
    """A name in at most so many letters: its beginning, and more of its end, which tells names of
    one package apart."""
    if len(name) <= letters:
        return name
    begin = (letters - 1) // 3
    return f"{name[:begin]}…{name[begin + 1 - letters :]}"


LETTERS = 40  # of a remark on a line of a phone's figure


def remark(ax: Any, words: str) -> None:
    """What a reader has to know, in small letters above the frame; on a phone in several lines."""
    if narrow():
        words = textwrap.fill(words, LETTERS)
    ax.set_title(words, fontsize=9, fontweight="normal")


def above(ax: Any) -> None:
    """The legend over the frame, where it hides nothing: in one row where it fits, on a phone in
    rows of two."""
    _, labels = ax.get_legend_handles_labels()
    letters = [len(label) + HANDLE for label in labels]
    columns = min(2, len(labels)) if narrow() else len(labels)
    spec = ax.get_subplotspec()
    beside = spec.get_gridspec().ncols if spec else 1
    row = int(AN_INCH * ax.figure.get_figwidth() / beside)
    if sum(letters) > row:  # else the layout takes the room from the frames
        columns = min(columns, row // max(letters))
    ax.legend(
        loc="lower left", bbox_to_anchor=(0.0, 1.0), fontsize=9, borderaxespad=0.2,
        ncols=max(1, columns), handlelength=1.5, columnspacing=1.4,
    )  # fmt: skip


AN_INCH = 12  # letters of a legend
HANDLE = 5  # of them its stroke and what is around it

LABEL = 32  # letters of a legend's line
HALF = 17  # those of one that stands beside another on a phone


def beside(ax: Any, columns: int = 2, **look: Any) -> None:
    """The legend beside the frame; on a phone, where there is no room, below the figure.

    Args:
      ax: matplotlib's axes.
      columns: of the legend below.
      look: further arguments of the legend.
    """
    handles, labels = ax.get_legend_handles_labels()
    labels = [short(label, LABEL) for label in labels]
    if narrow():
        columns = 1 if max(map(len, labels), default=0) > HALF else columns
        ax.figure.legend(handles, labels, loc="outside lower left", ncols=columns, **look)
    else:
        ax.legend(handles, labels, loc="center left", bbox_to_anchor=(1.0, 0.5), **look)


FEW = 8  # values that stand at equal distances, each with its tick


class Axis:
    """A name's places on a vertical axis from 0 to 1, and its ticks.

    Args:
      name: what is on it.
      given: its values; NaN, or "" beside words, where there is none.
      few: whether a few values that come again stand at equal distances.
    """

    def __init__(self, name: str, given: Any, few: bool = True):
        self.name = name
        numbers = all(is_scalar(v) for v in given)
        known = list(dict.fromkeys(sorted(given) if few else given)) if numbers else given
        if not numbers or (few and len(known) <= FEW and len(known) < len(given)):
            words = [shown(v) for v in known]
            words = list(dict.fromkeys(words))
            steps = max(len(words) - 1, 1)
            self.places = np.array([words.index(shown(v)) / steps for v in given])
            self.ticks = [(i / steps, w) for i, w in enumerate(words)]
            return
        x = np.asarray(given, float)
        finite = x[np.isfinite(x)]
        low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 1.0)
        on_decades = spans_decades(finite) if not few else even_in_logarithm(finite)
        scale = np.log if on_decades else np.asarray
        span = float(scale(high) - scale(low)) or 1.0
        with np.errstate(invalid="ignore"):
            self.places = (scale(x) - scale(low)) / span
        between = _round_numbers(float(low), float(high), on_decades)
        found = [((float(scale(v)) - float(scale(low))) / span, shown(v)) for v in between]
        ends = [(0.0, shown(float(low))), (1.0, shown(float(high)))]
        self.ticks = ends + [tick for tick in found if 0.06 < tick[0] < 0.94]


def _round_numbers(low: float, high: float, on_decades: bool) -> list[float]:
    """A few, between two ends: powers of ten on an axis of decades."""
    from matplotlib.ticker import MaxNLocator

    if not on_decades:
        return [float(v) for v in MaxNLocator(5).tick_values(low, high)]
    powers = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
    every = 1 + len(powers) // 7
    return [float(10.0**p) for p in powers[::every]]
