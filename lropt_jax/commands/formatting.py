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
    if sum(least) + 3 * len(least) + 1 > where.width:
        where.print(title or "", highlight=False)
        for i, (name, *cells) in enumerate(rows):
            where.print(Text(f"{headings[0]} {name}", "bold" if i == best else ""))
            for heading, cell in zip(headings[1:], cells, strict=True):
                where.print(f"  {heading}: {cell}", highlight=False)
        where.print(caption or "", highlight=False)
        return
    shown = Table(caption=caption, title=title, title_justify="left")
    for i, (heading, room) in enumerate(zip(headings, least, strict=True)):
        shown.add_column(heading, justify="right" if i else "left", min_width=room)
    for i, row in enumerate(rows):
        shown.add_row(*row, style="bold" if i == best else None)
    where.print(shown)
