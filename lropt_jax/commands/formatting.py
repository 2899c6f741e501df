"""How the command shows things: help texts with their defaults, tables."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

PIPE = 120  # letters of a line where there is no terminal


class Defaults(argparse.ArgumentDefaultsHelpFormatter):
    """argparse's formatter of defaults, silent about None, False and empty lists."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return super()._get_help_string(action) if action.default else action.help


def counted(text: str) -> int:
    """A whole number of the command line; 1e5 is one, too."""
    try:
        value = int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
        if value == int(value):
            return int(value)
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"must be a whole number, got {text!r}")


def real(text: str) -> float:
    """A number of the command line."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None


def console() -> Any:
    """rich's, for tables and sentences as they are: a name's brackets and colons are no markup."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PIPE, markup=False, emoji=False)


def show_table(
    where: Any,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    best: int | None,
    title: str | None = None,
    caption: str | None = None,
) -> None:
    """Prints a table; where it has no room without cutting a number, a few lines a row.

    Args:
      where: a `console`.
      headings: of the columns.
      rows: their cells.
      best: the row in bold letters.
      title, caption: over and under it.
    """
    from rich.table import Table
    from rich.text import Text

    least = [
        max(len(word) for word in (*heading.split(), *(row[i] for row in rows)))
        for i, heading in enumerate(headings)
    ]
    room = where.width - 3 * len(least) - 1
    if sum(least) > room:
        where.print(title or "", highlight=False)
        for i, (name, *cells) in enumerate(rows):
            where.print(Text(f"{headings[0]} {name}", "bold" if i == best else ""))
            for heading, cell in zip(headings[1:], cells, strict=True):
                where.print(f"  {heading}: {cell}", highlight=False)
        where.print(caption or "", highlight=False)
        return
    shown = Table(caption=caption, title=title, title_justify="left")
    whole = [
        max(len(word) for word in (heading, *(row[i] for row in rows)))
        for i, heading in enumerate(headings)
    ]
    for i, width in enumerate(_widths(least, whole, room)):
        shown.add_column(headings[i], justify="right" if i else "left", width=width)
    for i, row in enumerate(rows):
        shown.add_row(*row, style="bold" if i == best else None)
    where.print(shown)


def _widths(least: Sequence[int], whole: Sequence[int], room: int) -> list[int]:
    """Of columns that get at least what they need, and what is left where it saves most lines.

    rich's own go beyond the room where some columns have a least width, and cut the last ones.
    """
    widths = list(least)
    for _ in range(min(room, sum(whole)) - sum(least)):
        tightest = max(range(len(widths)), key=lambda i: whole[i] / widths[i])
        widths[tightest] += 1
    return widths
