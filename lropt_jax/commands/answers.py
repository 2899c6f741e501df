"""What a command has found: words for people, and one JSON document for programs."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Answer:
    """What a command has found, and has written where it writes.

    Attributes:
      document: the same for programs: what `as_json` takes, under the keys that the command's
        page documents.
      show: prints it.
      failed: why the work failed although it came to its end ("all diverged"); empty else.
      interrupted: how to go on, where an interruption was answered with what there was.
    """

    document: Mapping[str, Any]
    show: Callable[[], None] = lambda: None
    failed: str = ""
    interrupted: str = ""


def as_json(document: Mapping[str, Any]) -> str:
    """Strict JSON (RFC 8259): what is not finite is null, a frame its rows, a path its text."""
    return json.dumps(_plain(document), indent=1, allow_nan=False)


def _plain(value: Any) -> Any:
    """Of anything that a result may hold, what JSON has: the one place that decides it."""
    if value is None or isinstance(value, (bool, int)) or type(value) is str:
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str):  # a recommendation is a text and more
        return str(value)
    if isinstance(value, Mapping):
        return {_key(k): _plain(v) for k, v in value.items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if hasattr(value, "to_dict") and hasattr(value, "reset_index"):  # a frame
        named = value.reset_index() if any(value.index.names) else value
        return _plain(named.to_dict("records"))
    if isinstance(value, (list, tuple, set, frozenset, range)):
        return [_plain(v) for v in value]
    if hasattr(value, "shape") and hasattr(value, "dtype"):  # arrays of NumPy, of JAX
        return _plain(np.asarray(value).tolist())
    if callable(value):
        return getattr(value, "__name__", str(value))
    return str(value)


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json.dumps(_plain(key))


@contextlib.contextmanager
def warnings_in_words() -> Iterator[None]:
    """A warning for people is a line like an error's, without the file and the line of ours."""

    def show(message: Any, category: type[Warning], *about: Any) -> None:
        if issubclass(category, UserWarning):
            print(f"lropt: warning: {message}", file=sys.stderr)
        else:
            usual(message, category, *about)

    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.showwarning = show  # type: ignore[assignment]  # of its further arguments
        yield


@contextlib.contextmanager
def kept_clean() -> Iterator[None]:
    """Keeps the standard output for the document: what is printed meanwhile, by a user's task and
    by worker processes too, goes to standard error."""
    out = sys.stdout
    try:
        number, error = out.fileno(), sys.stderr.fileno()
    except (io.UnsupportedOperation, AttributeError):  # none of the system's, in a notebook
        with contextlib.redirect_stdout(sys.stderr):
            yield
        return
    out.flush()
    kept = os.dup(number)
    try:
        os.dup2(error, number)
        try:
            yield
        finally:
            out.flush()
    finally:
        os.dup2(kept, number)
        os.close(kept)
