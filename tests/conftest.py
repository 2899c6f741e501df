"""Two CPU devices, strict ranks, and a switch for float64 where a test needs it."""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile
from collections.abc import Iterator

# Three quarters of the time of the tests is the compiler's, which at level 1 takes two thirds of
# it for programs that do the same; set the variable to test as users run.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")

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


@pytest.fixture(autouse=True, scope="module")
def _room_for_programs() -> Iterator[None]:
    """A compiled program takes pieces of the address space, and a process gets 65,530 in Linux:
    the compiler crashes where there is none left, so some thousand tests clear the shelf now and
    then.
    """
    yield
    maps = pathlib.Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > 15_000:
        jax.clear_caches()


@pytest.fixture(autouse=True)
def _own_imports(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """What a test makes importable is out of reach of the next one, which may write another file
    of the same name."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    before = set(sys.modules)
    yield
    written = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(written):
            del sys.modules[name]
