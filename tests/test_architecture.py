"""Who may know whom, what is public, and what importing costs."""

from __future__ import annotations

import ast
import graphlib
import pathlib
import subprocess
import sys

import pytest

import lropt_jax

ROOT = pathlib.Path(lropt_jax.__file__).parent
# From the ground up: a wing may import those on the floors below it, and itself.
FLOORS = [
    {"progress", "validation"},
    {"schedules", "tasks", "plotting"},
    {"hyperparameters", "pages"},
    {"optimizers", "training"},
    {"sweeps"},
    {"range_tests", "comparisons", "problems"},
    {"reproductions", "atlas", "tuning"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
LEVEL = {wing: level for level, wings in enumerate(FLOORS) for wing in wings}
LIGHT = {"jax", "jaxlib", "optax", "numpy"}


def _module(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {_module(path): path for path in sorted(ROOT.rglob("*.py"))}


def _imports(path, top_level_only=False):
    """The modules that a file imports: everywhere in it, under TYPE_CHECKING and in functions."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if top_level_only else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} has a relative import"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def _wing(module):
    return module.split(".")[1] if "." in module else ""


@pytest.mark.parametrize("module", [m for m in MODULES if _wing(m)])
def test_the_direction_of_imports(module):
    wing = _wing(module)
    assert wing in LEVEL, f"{wing} stands on no floor"
    for name in _imports(MODULES[module]):
        if name.split(".")[0] == "lropt_jax":
            other = _wing(name)
            assert other, f"{module} must not import the face"
            below = other == wing or LEVEL[other] < LEVEL[wing]
            assert below, f"{module} must not import {name}"


def test_no_circle_of_files():
    known = {
        module: {name for name in _imports(path) if name in MODULES} - {module}
        for module, path in MODULES.items()
    }
    graphlib.TopologicalSorter(known).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("module", MODULES)
def test_heavy_packages_are_imported_where_used(module):
    if module.startswith("lropt_jax.tasks.models"):  # loaded lazily as a whole
        return
    path = MODULES[module]
    standard = sys.stdlib_module_names
    for name in _imports(path, top_level_only=True):
        top = name.split(".")[0]
        allowed = top in standard or top in LIGHT or top == "lropt_jax"
        # An adapter's module is imported by a function.
        lazy = (path.stem, top) in {("linen", "flax"), ("nnx", "flax"), ("equinox", "equinox")}
        assert allowed or lazy, f"{path.name} imports {name} at its top"


def test_importing_the_package_loads_nothing_heavy():
    code = (
        "import sys, lropt_jax; "
        "print([m for m in ('flax', 'matplotlib', 'pandas', 'sklearn', 'scipy', 'xarray', 'rich', "
        "'jinja2', 'optuna', 'distributed', 'torch', 'equinox') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_no_module_bears_the_name_of_a_public_function():
    public = {n for n in dir(lropt_jax) if callable(getattr(lropt_jax, n)) and n[0] != "_"}
    modules = {name.rpartition(".")[2] for name in MODULES}
    # A subcommand's module is named after the command.
    commands = {p.stem for p in (ROOT / "commands").glob("*.py")}
    assert public & (modules - commands) == set()


def test_the_drawing_of_the_house_is_up_to_date():
    from tests import house

    assert house.written() == house.picture(), "python -m tests.house draws it anew"
