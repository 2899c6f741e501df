r"""What a loss curve says: each rule a few lines, and a reason where there is no answer.

Throughout $y(x)$ is the smoothed loss against $x = \log \eta$. Its *bottom* is the lowest rung: of
several local minima that noise cannot tell apart the one at the lowest rate. Its *level* is the
loss before the descent: of the rungs before the bottom, the median of those that noise cannot tell
from the highest, the *top*. The *fall* is the difference of level and bottom.
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
ALIKE = 2.0  # standard errors, within which two rungs are not told apart
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
      turns: whether the loss is known to rise after its bottom; `diverged` says so too.
    """

    x: Array
    y: Array
    slope: Array
    error: Array
    rungs: int
    turns: bool = False

    @property
    def diverged(self) -> bool:
        return len(self.x) < self.rungs

    @functools.cached_property
    def bottom(self) -> int:
        lowest = int(np.argmin(self.y))
        padded = np.pad(self.y, 1, constant_values=np.inf)
        local = (self.y <= padded[:-2]) & (self.y <= padded[2:])
        near = self.y <= self.y[lowest] + ALIKE * self.error[lowest]
        return int(np.argmax(local & near))

    @functools.cached_property
    def top(self) -> int:
        return int(np.argmax(self.y[: self.bottom + 1]))

    @functools.cached_property
    def level(self) -> float:
        before = slice(None, self.bottom + 1)
        return float(np.median(self.y[before][self._alike(self.top)[before]]))

    @property
    def fall(self) -> float:
        return self.level - float(self.y[self.bottom])

    @property
    def rise(self) -> int:
        """The last rung that noise cannot tell from the lowest; from it on the loss rises."""
        return int(np.flatnonzero(self._alike(int(np.argmin(self.y)))).max())

    def rate(self, rung: int) -> float:
        return math.exp(self.x[rung])

    def descent(self) -> tuple[int, int]:
        """The rungs between which the loss falls, 10% of the fall left out at either end."""
        if not self.fall > 0:
            raise Unfounded("the loss does not fall")
        floor = self.y[self.bottom]
        before = self.y[: self.bottom + 1]
        begin = int(np.flatnonzero(before >= floor + (1 - TRIM) * self.fall).max())
        end = begin + int(np.argmax(before[begin:] <= floor + TRIM * self.fall))
        return begin, end

    def whole_descent(self) -> tuple[int, int]:
        """The descent, where its beginning and its end are seen."""
        self.require_turn()
        begin, end = self.descent()
        if self.x[begin] - self.x[0] < PLATEAU * (self.x[end] - self.x[begin]):
            raise Unfounded("no plateau is seen before the descent: start lower")
        return begin, end

    def require_turn(self) -> None:
        if not (self.turns or self.diverged):
            raise Unfounded(
                f"the loss is lowest near the end of the ladder, {self.rate(-1):.2g}, "
                "and is not seen to rise: extend it"
            )

    def _alike(self, rung: int) -> Array:
        """Which rungs noise cannot tell from this one."""
        chance = ALIKE * np.hypot(self.error, self.error[rung])
        alike: Array = np.abs(self.y - self.y[rung]) <= chance
        return alike


def steepest(curve: Profile) -> float:
    r"""The rate of the steepest descent: $\arg\min_x\, dy/dx$ in the descent.

    Smith 2015 (arXiv:1506.01186) reads the useful rates off the falling part of the curve; the
    steepest point as a suggestion comes from fastai (Howard and Gugger 2020, arXiv:2002.04688).
    It is the one rule that needs no rise after the descent.
    """
    begin, end = curve.descent()
    rung = begin + int(np.argmin(curve.slope[begin : end + 1]))
    if rung == 0:
        raise Unfounded("the descent is steepest at the first rung: start lower")
    if rung == len(curve.x) - 1 and not curve.diverged:
        raise Unfounded(
            f"the descent is steepest at the end of the ladder, {curve.rate(-1):.2g}: extend it"
        )
    return curve.rate(rung)


def valley(curve: Profile) -> float:
    r"""The middle of the descent: $\sqrt{\eta_a \eta_b}$, the geometric mean of `bounds`.

    After the rule of this name in fastai and ArcGIS, which takes the middle of the longest
    decreasing subsequence; heights instead of counts make it indifferent to noise on the plateau.
    """
    begin, end = curve.whole_descent()
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
    return curve.rate(curve.whole_descent()[1])


def onset(curve: Profile) -> float:
    """The beginning of the descent: the last rate with less than a tenth of the fall done."""
    return curve.rate(curve.whole_descent()[0])


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
    if len(curve.x) < FEWEST:
        return f"only {len(curve.x)} of the rungs can be read, at least {FEWEST} are needed"
    try:
        return rule(curve)
    except Unfounded as reason:
        return str(reason)
