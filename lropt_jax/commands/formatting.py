"""How the command shows things: help texts with their defaults, tables."""

from __future__ import annotations

import argparse
import sys
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

    terminal = sys.stdout is not None and sys.stdout.isatty()
    return Console(width=None if terminal else PIPE, markup=False, emoji=False)
