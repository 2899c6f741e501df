"""Where a command writes."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """What is written within it says where, should the disk be full: the system's error does not.

    Raises:
      OSError: with the path, for one that names none.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def writable(folder: Path) -> Path:
    """The folder; finds out before the work whether results can be written after it.

    Folders that had to be made for this are removed again, so that a command that fails leaves
    nothing behind: whoever writes makes them.

    Raises:
      OSError: when they cannot.
    """
    missing = _missing(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    finally:
        for made in missing:  # the innermost first
            if made.is_dir():
                made.rmdir()
    return folder


def _missing(folder: Path) -> list[Path]:
    """What of a folder's path has to be made, the innermost first.

    Raises:
      NotADirectoryError: where a file is in the way.
    """
    missing = [f for f in (folder, *folder.parents) if not f.exists()]
    lowest = missing[-1].parent if missing else folder
    if not lowest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "is a file, and must be a folder", str(lowest))
    return missing


def unfinished(folder: Path, words: str) -> Path:
    """Where a command keeps what it has until all is done, so that the same one goes on.

    Args:
      folder: of the results.
      words: all that decides what comes out.
    """
    return folder / f"unfinished-{hashlib.sha256(words.encode()).hexdigest()[:8]}"


@contextlib.contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """A folder beside the results to write them to: they come to `folder` all together, or where
    something fails, none of them.

    Raises:
      OSError: naming `folder`, should the disk be full.
    """
    missing = _missing(folder)
    beside = folder / ".writing"
    try:
        with naming(folder):
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(beside, ignore_errors=True)  # of one that was killed
            beside.mkdir()
            yield beside
            for file in beside.iterdir():
                os.replace(file, folder / file.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
        for made in missing:
            if made.is_dir() and not any(made.iterdir()):
                made.rmdir()
