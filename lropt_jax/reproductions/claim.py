"""What a claim is: words, a criterion fixed before the run, and three functions."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from lropt_jax.reproductions.bench import Bench

Data = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Judgement:
    """What the data say, by the claim's criterion.

    Attributes:
      holds: True, False, or None where the interval straddles the criterion.
      measured: the figures that decide, in one sentence.
      table: a row a line, for the page; all rows have the same keys.
    """

    holds: bool | None
    measured: str
    table: Sequence[Mapping[str, Any]]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim of the field, how it is tested here, and what decides.

    Attributes:
      name: of the claim, a word.
      title: of its page.
      claim: the claim as its authors put it, in our words, in one sentence.
      source: authors, year, arXiv number.
      setting: what is trained here.
      differs: how that differs from the source's setting.
      expected: what its authors' account predicts here.
      criterion: what decides, in words; `judge` is its code.
      frozen: the date on which the criterion was fixed, before the run that it judges.
      sentences: the verdict as a student can repeat it, for "reproduced", "not reproduced" and
        "undecided".
      advice: what a practitioner should do about it.
      limits: what the run cannot say (its size, above all).
      measure: trains what has to be trained and returns plain numbers and lists, which are kept.
      judge: the verdict from these data alone.
      figure: a matplotlib figure from these data alone, or None.
      kind: "exact" for a statement that holds or not, whatever the seeds; "statistical" else.
      seeds: independent repetitions behind the verdict; 0 for an exact claim.
    """

    name: str
    title: str
    claim: str
    source: str
    setting: str
    differs: str
    expected: str
    criterion: str
    frozen: str
    sentences: Mapping[str, str]
    advice: str
    limits: str
    measure: Callable[[Bench], Data]
    judge: Callable[[Data], Judgement]
    figure: Callable[[Data], Any] | None = None
    kind: Literal["exact", "statistical"] = "statistical"
    seeds: int = 0


@dataclasses.dataclass(frozen=True)
class Verdict:
    """A claim, put to the test.

    Attributes:
      claim: the claim.
      verdict: "reproduced", "not reproduced" or "undecided".
      holds: True, False, or None for "undecided".
      measured: the figures that decide.
      sentence: the verdict in words.
      table: the figures, a mapping a row.
      data: what was measured, as plain numbers and lists.
      quick: whether the run was a quick look, which decides nothing unless the claim is exact.
      seconds: that the run took.
      about: machine and versions.

    See also:
      `reproduce`, `Comparison`.

    Example:
      >>> from lropt_jax import reproduce
      >>> verdict = reproduce("inclusion_exact", progress=False)
      >>> verdict.verdict, verdict.quick
      ('reproduced', False)
    """

    claim: Claim
    verdict: str
    holds: bool | None
    measured: str
    sentence: str
    table: Sequence[Mapping[str, Any]]
    data: Data
    quick: bool
    seconds: float
    about: Mapping[str, str]

    @classmethod
    def of(
        cls, claim: Claim, data: Data, quick: bool, seconds: float, about: Mapping[str, str]
    ) -> Verdict:
        """The verdict that the `data` of a `claim` give, of a run that was `quick` or not and took
        so many `seconds`; `about` are the machine and the versions."""
        found = claim.judge(data)
        holds = None if quick and claim.kind == "statistical" else found.holds
        verdict = {True: "reproduced", False: "not reproduced", None: "undecided"}[holds]
        sentence = claim.sentences[verdict]
        if quick and claim.kind == "statistical":
            sentence = "A quick run: few seeds and small grids, which decide nothing."
        return cls(
            claim,
            verdict,
            holds,
            found.measured,
            sentence,
            found.table,
            data,
            quick,
            seconds,
            about,
        )

    def row(self) -> dict[str, Any]:
        """The verdict as plain values, as `reproductions.json` has it."""
        claim = self.claim
        return {
            "name": claim.name,
            "claim": claim.claim,
            "source": claim.source,
            "expected": claim.expected,
            "criterion": claim.criterion,
            "frozen": claim.frozen,
            "measured": self.measured,
            "verdict": self.verdict,
            "holds": self.holds,
            "quick": self.quick,
            "seeds": claim.seeds,
            "seconds": round(self.seconds, 1),
        }

    def plot(self) -> Any:
        """The claim's figure, a matplotlib figure, or None where it has none.

        Raises:
          ImportError: without matplotlib; it names the extra that installs it.
        """
        return None if self.claim.figure is None else self.claim.figure(self.data)

    def __repr__(self) -> str:
        return (
            f"Verdict({self.claim.name}: {self.verdict})\n"
            f"  claim      {self.claim.claim}\n"
            f"  measured   {self.measured}\n"
            f"  criterion  {self.claim.criterion}\n"
            f"  {self.sentence}"
        )
