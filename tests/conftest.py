"""Two CPU devices, strict ranks, and a switch for float64 where a test needs it."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator

import jax
import pytest

# The command keeps compiled programs in the user's cache folder; the tests', and theirs, do not.
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "0"
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lropt-tests-")
jax.config.update("jax_enable_compilation_cache", False)
jax.config.update("jax_num_cpu_devices", 2)
jax.config.update("jax_numpy_rank_promotion", "raise")


@pytest.fixture
def x64() -> Iterator[None]:
    """Runs the test in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(autouse=True)
def _same_import_paths(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test makes importable is out of reach of the next one."""
    monkeypatch.setattr(sys, "path", [*sys.path])
