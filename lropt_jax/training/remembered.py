"""What one process leaves for the next: a folder in the user's cache, compiled programs in it."""

from __future__ import annotations

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
