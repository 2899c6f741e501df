"""What one process leaves for the next: a folder in the user's cache, compiled programs in it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import jax


def cache_folder() -> Path:
    """Where what can be made anew is kept: `lropt_jax` in the user's cache folder.

    That is `$XDG_CACHE_HOME` or `~/.cache`, on a Mac `~/Library/Caches`, on Windows
    `%LOCALAPPDATA%`. It may be deleted at any time.
    """
    if os.environ.get("XDG_CACHE_HOME"):
        root = Path(os.environ["XDG_CACHE_HOME"])
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    elif sys.platform == "win32":
        root = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    else:
        root = Path.home() / ".cache"
    return root / "lropt_jax"


def keep_programs() -> None:
    """From here on JAX keeps what it compiles, and takes what it has kept.

    A folder that the user has set (`JAX_COMPILATION_CACHE_DIR`) stays; where nothing can be
    written, nothing is kept.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    folder = cache_folder() / "programs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if not os.access(folder, os.W_OK):
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))  # type: ignore[no-untyped-call]
    # All of it: the many small programs take as long as the few large ones.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)  # type: ignore[no-untyped-call]


# What was found in this process.
_FOUND: dict[str, str] = {}


def recall(about: str) -> str | None:
    """What was found about something, in this process or another one of this user; or None."""
    if about not in _FOUND:
        _FOUND.update({k: v for k, v in _kept().items() if k not in _FOUND})
    return _FOUND.get(about)


def remember(about: str, found: str) -> None:
    """Keeps what was found for processes to come; where nothing can be written, for this one."""
    _FOUND[about] = found
    file = _file()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f"{file.name}.{os.getpid()}")
        part.write_text(json.dumps({**_kept(), about: found}, indent=0))
        part.replace(file)
    except OSError:
        pass


def _file() -> Path:
    return cache_folder() / "found.json"


def _kept() -> dict[str, str]:
    try:
        kept = json.loads(_file().read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict):
        return {}
    return {k: v for k, v in kept.items() if isinstance(v, str)}
