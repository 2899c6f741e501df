"""Every notebook runs from its first cell to its last, on a small budget."""

from __future__ import annotations

import json
import pathlib
import re

import jax
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
SMALL = {"EPOCHS": 2, "SEEDS": 2, "TUNING_SEEDS": 1}


def _cells(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_cells_run_in_order(path, monkeypatch):
    import matplotlib

    matplotlib.use("agg")
    namespace: dict[str, object] = {}
    budgets = re.compile(r"^EPOCHS, SEEDS, TUNING_SEEDS = .*$", re.M)
    with jax.numpy_rank_promotion("allow"):
        for number, source in enumerate(_cells(path), 1):
            small = budgets.sub(", ".join(SMALL) + f" = {tuple(SMALL.values())}", source)
            code = small.replace('jax.config.update("jax_num_cpu_devices", 2)', "")
            exec(compile(code, f"{path.name} cell {number}", "exec"), namespace)


def test_there_is_a_notebook():
    assert NOTEBOOKS
