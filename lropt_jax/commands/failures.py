"""How a command ends that does not end well: a mistake in one line; where a person's own code
raised, with its traceback, from that code on."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from pathlib import Path

import jax

from lropt_jax.commands.endings import FAILED, MISTAKE
from lropt_jax.training.libraries import library_roots

OURS = Path(__file__).resolve().parents[1]
# What a user can cause, and what says so in words; anything else is a fault of ours.
MISTAKES = (ValueError, KeyError, TypeError, ImportError, OSError, SystemExit)
# What no other words would have helped: there is no room left.
FULL = {errno.ENOSPC, errno.EFBIG, errno.EIO, errno.ENOMEM, getattr(errno, "EDQUOT", None)}


def told(error: Exception | SystemExit) -> int | None:
    """Says on standard error what went wrong.

    Returns:
      The exit code. None where there is nothing to say to a user: an error of our own is not
      theirs to read.
    """
    traced = _from_users_code(traceback.TracebackException.from_exception(error))
    if traced is None and not _full(error) and not isinstance(error, MISTAKES):
        return None
    if traced is not None:
        print("".join(traced.format()), end="", file=sys.stderr)
    print(f"lropt: error: {in_words(error)}", file=sys.stderr)
    return MISTAKE if traced is None and not _full(error) else FAILED


def _full(error: BaseException) -> bool:
    """Whether a disk or the memory had no room left."""
    if isinstance(error, jax.errors.JaxRuntimeError):
        return "RESOURCE_EXHAUSTED" in str(error)
    full = isinstance(error, OSError) and error.errno in FULL
    return full or isinstance(error, MemoryError)


def in_words(error: BaseException) -> str:
    """What it says, without the decoration that Python's own `str` of it has."""
    if isinstance(error, SystemExit):
        return (
            f"sys.exit({error.code!r}) was called: code that lropt loads must not end it; what "
            "only a script does belongs under `if __name__ == '__main__':`"
        )
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])  # str() of it has quotes around
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"  # str() of it has a number before
    return str(error) or type(error).__name__


def _from_users_code(
    traced: traceback.TracebackException | None,
) -> traceback.TracebackException | None:
    """What came out of a user's file, without what led there and without frames of ours and of
    JAX; None where nothing did."""
    if traced is None:
        return None
    before = _from_users_code(traced.__cause__)
    meanwhile = None if traced.__suppress_context__ else _from_users_code(traced.__context__)
    frames = [frame for frame in traced.stack if not _internal(frame.filename)]
    own = [i for i, frame in enumerate(frames) if _users(frame.filename)]
    # Of a file that cannot be read as Python there is no frame.
    if not own and not _users(getattr(traced, "filename", None) or ""):
        return before or meanwhile
    traced.stack = traceback.StackSummary.from_list(frames[own[0] :] if own else [])
    traced.__cause__, traced.__context__ = before, meanwhile
    traced.__notes__ = []
    return traced


def _users(file: str) -> bool:
    """Whether a file is a user's own: neither ours nor an installed package's."""
    if not file or file.startswith("<"):
        return False
    folders = Path(file).resolve().parents
    return OURS not in folders and not any(root in folders for root in library_roots())


def _internal(file: str) -> bool:
    return OURS in Path(file).resolve().parents or f"{os.sep}jax{os.sep}_src{os.sep}" in file
