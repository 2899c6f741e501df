"""What a page's tables hold: rows of words, and pairs with who is better."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple


@dataclasses.dataclass(frozen=True)
class Table:
    """Headings and rows of words.

    Attributes:
      headings: of the columns; the first names the rows.
      rows: their cells.
      best: the row that leads in the deciding column.
      tied: those that cannot be told from it.
      sorted_by: the column of ranks, best first.
      marks: what is said of the leader, of one that has others beside it, and of these.
    """

    headings: list[str]
    rows: list[list[str]]
    best: int | None = None
    tied: tuple[int, ...] = ()
    sorted_by: int | None = None
    marks: tuple[str, str, str] = ("best", "best mean", "tied")

    @property
    def ascends_in(self) -> int | None:
        """`sorted_by`, if its ranks do ascend: a wide interval may tie with the best behind one
        that is told from it."""
        first = 0 if self.best is None else self.best + 1
        together = self.tied == tuple(range(first, first + len(self.tied)))
        return self.sorted_by if together else None

    def mark(self, row: int) -> str:
        """What is said beside a row's name."""
        alone, leader, other = self.marks
        if row == self.best:
            return leader if self.tied else alone
        return other if row in self.tied else ""


class Pair(NamedTuple):
    """Two compared.

    Attributes:
      better: "row" or "column", or "" for a tie.
      short: what stands in the cell.
      said: the whole of it, for who points at it or hears it.
    """

    better: str
    short: str
    said: str

    @property
    def mark(self) -> str:
        """An arrow to the name of the better one."""
        return {"row": "←", "column": "↑"}.get(self.better, "")


class Against(NamedTuple):
    """One against all that come before it."""

    name: str
    pairs: list[Pair]


@dataclasses.dataclass(frozen=True)
class Pairs:
    """The lower triangle of all pairs: every row after the first against the names before it."""

    names: list[str]
    rows: list[Against]
