"""How all reports say the same things: numbers, lists, what to take, what to doubt."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lropt_jax.tasks.metrics import is_share

FEW_SEEDS = 5  # fewer are a first look


class Recommendation(str):
    """What to take, in words, and the line of code that makes it.

    Attributes:
      optimizer: its name in the comparison; None where nothing finished.
      code: the line to paste; empty where nothing finished.
    """

    optimizer: str | None
    code: str

    def __new__(cls, words: str, optimizer: str | None = None, code: str = "") -> Recommendation:
        made = super().__new__(cls, f"{words}\n\n    {code}" if code else words)
        made.optimizer, made.code = optimizer, code
        return made

    def __reduce__(self) -> Any:
        words = str(self).partition("\n\n    ")[0]
        return type(self), (words, self.optimizer, self.code)


FIXED = 1e6, -6  # numbers beyond, and decimal places after it, are written with an exponent
MOST_DIGITS = 8  # of a number with an exponent


def place(value: float) -> int:
    """The power of ten of a number's first digit; 0 for 0 and what is not finite."""
    return math.floor(math.log10(abs(value))) if value and math.isfinite(value) else 0


def to_place(value: float, last: int) -> str:
    """A number whose last digit is that of a power of ten: 14.2 to -1, 1230 to 1."""
    largest, smallest = FIXED
    if abs(value) < largest and last >= smallest:
        return f"{round(value, -last) + 0.0:.{max(0, -last)}f}"  # never -0.00
    return f"{value:.{min(max(1, 1 + place(value) - last), MOST_DIGITS)}g}"


def to_digits(value: float, digits: int) -> str:
    """A number to so many digits, without an exponent where it is readable."""
    return to_place(value, place(value) - digits + 1) if value else "0"


def mean_and_interval(metric: str, mean: float, half_width: float) -> str:
    """`mean ± half-width`, shares (accuracies) in percent; anything else to three digits, or to
    more where its interval bears them, and none beyond."""
    if math.isnan(mean):
        return "–"
    if is_share(metric):
        mean, half_width = 100 * mean, 100 * half_width
        if math.isnan(half_width):
            return f"{mean:.2f}"
        digits = 0 if half_width >= 10 else 2
        return f"{mean:.{digits}f} ± {half_width:.{digits}f}"
    if not half_width > 0:
        return to_digits(mean, 3) + ("" if math.isnan(half_width) else " ± 0")
    half = place(half_width)
    last = max(min(place(mean) - 2, half), half - 2)
    said = to_place(half_width, half) if abs(mean) < FIXED[0] else f"{half_width:.1g}"
    return f"{to_place(mean, last)} ± {said}"


def heading(metric: str) -> str:
    """A metric as the head of a column."""
    words = plain(metric).replace("accuracy", "acc.")
    return f"{words} %" if is_share(metric) else words


def plain(name: str) -> str:
    """A name without underscores."""
    return name.replace("_", " ")


def number(value: object) -> str:
    """A tuned value in a few digits."""
    if isinstance(value, float):
        return f"{value:.3g}"
    return str(getattr(value, "__name__", value))


def listed(words: list[str]) -> str:
    """Words as a sentence lists them."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def first_look(reasons: Sequence[str]) -> str:
    """Why it is a first look and no result, in plain words; empty for one that is more."""
    if not reasons:
        return ""
    return (
        f"This is a first look: {listed(list(reasons))}. A longer run on more seeds may well turn "
        "the order round; do not report it as a result."
    )
