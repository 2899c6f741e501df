"""Where a command writes."""

from __future__ import annotations

from pathlib import Path


def writable(folder: Path) -> Path:
    """The folder, made; finds out before the work whether results can be written after it.

    Raises:
      OSError: when they cannot.
    """
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / ".writable"
    probe.touch()
    probe.unlink()
    return folder
