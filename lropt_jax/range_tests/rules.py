r"""What a loss curve says: each rule a few lines, and a reason where there is no answer.

Throughout $y(x)$ is the smoothed loss against $x = \log \eta$, its *bottom* the lowest rung, its
*top* the highest rung before the bottom, and the *fall* the difference of the two.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

FEWEST = 10  # rungs, below which a curve has no shape
SIGNIFICANT = 5.0  # standard errors; the range of a hundred rungs of noise seldom reaches 4
SEEN_RISE = 2.0  # standard errors, enough where one question is asked
ROUNDING = 1e-5  # of the loss: what float32 sums leave
PLATEAU = 0.25  # of the descent's length must be seen before it
TRIM = 0.1  # of the fall, at either end of the descent
DECADE = math.log(10.0)
SLOPES_AGREE = 0.05  # of the steepest slope


class Unfounded(Exception):
    """There is no answer; the message says why."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """One curve, as the rules see it.

    Attributes:
      x: log learning rate of each counted rung.
      y: its smoothed loss.
      slope: dy/dx.
      error: the standard error of `y`.
      rungs: of the whole ladder; fewer counted ones mean that training diverged.
    """

    x: Array
    y: Array
    slope: Array
    error: Array
    rungs: int

    @property
    def diverged(self) -> bool:
        return len(self.x) < self.rungs

    @functools.cached_property
    def bottom(self) -> int:
        return int(np.argmin(self.y))

    @functools.cached_property
    def top(self) -> int:
        return int(np.argmax(self.y[: self.bottom + 1]))

    @property
    def fall(self) -> float:
        return float(self.y[self.top] - self.y[self.bottom])

    @functools.cached_property
    def shortcoming(self) -> str | None:
        """Why no rule can answer, or None."""
        if len(self.x) == 0:
            return "training diverged at the first rung: start lower"
        if len(self.x) < FEWEST:
            when = f" before training diverged at {self._rate(-1):.2g}" if self.diverged else ""
            return f"too few rungs: {len(self.x)}{when}, at least {FEWEST} are needed"
        if self._differ(self.top, self.bottom, SIGNIFICANT):
            return None
        if self.diverged or self._differ(int(np.argmax(self.y)), self.bottom, SIGNIFICANT):
            return "the loss only rises: start lower"
        return (
            f"the loss is flat: it falls by {self.fall:.2g}, "
            f"not more than chance ({SIGNIFICANT:g} standard errors)"
        )

    @property
    def turns(self) -> bool:
        """Whether the loss is seen to rise after its bottom, or to diverge."""
        highest = self.bottom + int(np.argmax(self.y[self.bottom :]))
        return self.diverged or self._differ(highest, self.bottom, SEEN_RISE)

    def _differ(self, high: int, low: int, errors: float) -> bool:
        """Whether two rungs differ by more than so many standard errors, and than rounding."""
        difference = self.y[high] - self.y[low]
        chance = errors * math.hypot(self.error[high], self.error[low])
        return bool(difference > max(chance, ROUNDING * float(np.abs(self.y).max())))

    def descent(self) -> tuple[int, int]:
        """The rungs between which the loss falls, 10% of the fall left out at either end."""
        self.require_turn()
        floor = self.y[self.bottom]
        begin = self.top + int(
            np.flatnonzero(
                self.y[self.top : self.bottom + 1] >= floor + (1 - TRIM) * self.fall
            ).max()
        )
        end = begin + int(np.argmax(self.y[begin : self.bottom + 1] <= floor + TRIM * self.fall))
        if self.x[begin] - self.x[0] < PLATEAU * (self.x[end] - self.x[begin]):
            raise Unfounded("no plateau is seen before the descent: start lower")
        return begin, end

    def require_turn(self) -> None:
        if not self.turns:
            raise Unfounded(
                f"the loss is lowest at the end of the ladder, {self._rate(-1):.2g}, "
                "and does not rise: extend it"
            )

    def _rate(self, rung: int) -> float:
        return math.exp(self.x[rung])


def steepest(curve: Profile) -> float:
    r"""The rate of the steepest descent: $\arg\min_x\, dy/dx$ between top and bottom.

    Smith 2015 (arXiv:1506.01186) reads the useful rates off the falling part of the curve; the
    steepest point as a suggestion comes from fastai (Howard and Gugger 2020, arXiv:2002.04688).
    """
    rung = curve.top + int(np.argmin(curve.slope[curve.top : curve.bottom + 1]))
    if rung == 0:
        raise Unfounded("the descent is steepest at the first rung: start lower")
    if rung == curve.rungs - 1:
        raise Unfounded("the descent is steepest at the end of the ladder: extend it")
    return math.exp(curve.x[rung])


def valley(curve: Profile) -> float:
    r"""The middle of the descent: $\sqrt{\eta_a \eta_b}$, the geometric mean of `bounds`.

    After the rule of this name in fastai and ArcGIS, which takes the middle of the longest
    decreasing subsequence; heights instead of counts make it indifferent to noise on the plateau.
    """
    begin, end = curve.descent()
    return math.exp((curve.x[begin] + curve.x[end]) / 2)


def minimum(curve: Profile) -> float:
    r"""A tenth of the rate with the lowest loss: $\tfrac1{10} \exp(\arg\min_x y)$.

    The bottom itself is at the edge of divergence; a tenth of it is fastai's margin (Howard and
    Gugger 2020, arXiv:2002.04688).
    """
    curve.require_turn()
    x = curve.x[curve.bottom] - DECADE
    if x < curve.x[0]:
        raise Unfounded("a tenth of the rate with the lowest loss is below the ladder: start lower")
    return math.exp(x)


def slide(curve: Profile) -> float:
    r"""The lower end of an interval of one decade, slid down until its ends' slopes agree.

    Down from where the loss rises fastest within a decade above its bottom, the first $x$ with
    $y'(x) - y'(x - \log 10) \le \tfrac1{20} \max |y'|$, the maximum over the descent; the
    suggestion is $e^x / 10$. After Novetta's interval slide rule, as in fastai; ours is free of
    the scale of the loss and of the number of rungs.
    """
    curve.require_turn()
    lower = curve.x - DECADE
    near = curve.x[curve.bottom :] <= curve.x[curve.bottom] + DECADE
    rise = curve.bottom + int(np.argmax(curve.slope[curve.bottom :][near]))
    inside = np.flatnonzero(lower[: rise + 1] >= curve.x[0])
    if not len(inside):
        raise Unfounded("the counted curve is shorter than a decade: start lower")
    tolerance = SLOPES_AGREE * float(np.abs(curve.slope[curve.top : curve.bottom + 1]).max())
    difference = curve.slope[inside] - np.interp(lower[inside], curve.x, curve.slope)
    agree = inside[difference <= tolerance]
    # On the plateau before the descent any two slopes agree.
    if not len(agree) or curve.x[agree[-1]] < curve.x[curve.top]:
        raise Unfounded("the slopes a decade apart agree nowhere below the bottom: start lower")
    return math.exp(lower[agree[-1]])


def knee(curve: Profile) -> float:
    """The end of the descent: the first rate at which nine tenths of the fall are done.

    Ours. A rate that already gains no more lies just above it, and training that decays its rate
    wants to begin near there.
    """
    return math.exp(curve.x[curve.descent()[1]])


def onset(curve: Profile) -> float:
    """The beginning of the descent: the last rate with less than a tenth of the fall done."""
    return math.exp(curve.x[curve.descent()[0]])


Rule = Callable[[Profile], float]
RULES: Mapping[str, Rule] = {
    "steepest": steepest,
    "valley": valley,
    "minimum": minimum,
    "slide": slide,
    "knee": knee,
}
BOUNDS: Mapping[str, Rule] = {"base": onset, "peak": knee}


def answer(rule: Rule, curve: Profile) -> float | str:
    """A rule's learning rate, or the reason why there is none."""
    if curve.shortcoming is not None:
        return curve.shortcoming
    try:
        return rule(curve)
    except Unfounded as reason:
        return str(reason)
