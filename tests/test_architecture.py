"""Who may know whom, what is public, and what importing costs."""

from __future__ import annotations

import ast
import pathlib
import subprocess
import sys

import pytest

import lropt_jax

ROOT = pathlib.Path(lropt_jax.__file__).parent
# From the ground up: a floor may import those below it, and itself.
FLOORS = [
    {"validation"},
    {"schedules"},
    {"constraints", "tunable_state", "hyperparameters"},
    {"optimizers", "accumulation", "citations"},
    {"task"},
    {"adapters", "models", "data"},
    {"fingerprint", "progress", "segment", "itinerary", "layout", "population", "run", "training"},
    {"sweeps", "range_test", "range_tests"},
    {"comparison"},
    {"reproductions"},
    {"plotting", "tables", "recipes"},
    {"reporting"},
    {"commands"},
    {"cli"},
]
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
LIGHT = {"jax", "jaxlib", "optax", "chex", "numpy"}


def _modules():
    return sorted(ROOT.rglob("*.py"))


def _imports(path, top_level_only=False):
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "lropt_jax":
                yield from (f"lropt_jax.{alias.name}" for alias in node.names)
            else:
                yield node.module


def _room(path):
    relative = path.relative_to(ROOT)
    return relative.parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_the_direction_of_imports(path):
    room = _room(path)
    if room in {"__init__", "py.typed"}:
        return
    assert room in LEVEL, f"the room {room} stands on no floor"
    for name in _imports(path):
        parts = name.split(".")
        if parts[0] == "lropt_jax" and len(parts) > 1 and parts[1] in LEVEL:
            drawing = room in {"sweeps", "range_test", "range_tests"} and parts[1] == "plotting"
            below = LEVEL[parts[1]] <= LEVEL[room]
            assert below or drawing, f"{room} must not import {name}"


@pytest.mark.parametrize("path", _modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_packages_are_imported_where_used(path):
    if _room(path) in {"models"}:  # loaded lazily as a whole
        return
    standard = sys.stdlib_module_names
    for name in _imports(path, top_level_only=True):
        top = name.split(".")[0]
        allowed = top in standard or top in LIGHT or top == "lropt_jax"
        lazy = path.stem in {"linen", "nnx"} and top == "flax"  # imported by a function
        assert allowed or lazy, f"{path.name} imports {name} at its top"


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, lropt_jax; "
        "print([m for m in ('flax', 'matplotlib', 'pandas', 'sklearn', 'scipy', 'xarray', 'rich', "
        "'jinja2', 'optuna', 'distributed', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_bears_the_name_of_a_public_function():
    public = {n for n in dir(lropt_jax) if callable(getattr(lropt_jax, n)) and n[0] != "_"}
    modules = {p.stem if p.stem != "__init__" else p.parent.name for p in _modules()}
    # A subcommand's module is named after the command.
    commands = {p.stem for p in (ROOT / "commands").glob("*.py")}
    assert public & (modules - commands) == set()
