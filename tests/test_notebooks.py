"""Every notebook runs from its first cell to its last, on a small budget."""

from __future__ import annotations

import base64
import json
import pathlib
import re
import struct

import jax
import pytest

NOTEBOOKS = sorted((pathlib.Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))


def _cells(path):
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            yield "".join(cell["source"])


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_the_cells_run_in_order(path, monkeypatch, tmp_path):
    import matplotlib

    matplotlib.use("agg")
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    with jax.numpy_rank_promotion("allow"):
        for number, source in enumerate(_cells(path), 1):
            code = source.replace("QUICK = False", "QUICK = True")
            code = code.replace('jax.config.update("jax_num_cpu_devices", 2)', "")
            exec(compile(code, f"{path.name} cell {number}", "exec"), namespace)
    assert namespace["QUICK"] is True


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_was_run_and_is_small(path):
    cells = json.loads(path.read_text())["cells"]
    counts = [cell["execution_count"] for cell in cells if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [o for cell in cells for o in cell.get("outputs", ())]
    assert outputs
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert path.stat().st_size < 1_000_000
    text = path.read_text()
    assert not re.search(r"/(home|tmp|work|root|Users)/", text), "a path of one machine"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_it_begins_with_what_is_learned_and_what_it_takes(path):
    first = "".join(json.loads(path.read_text())["cells"][0]["source"])
    assert first.startswith("# ")
    assert re.search(r"\*\*You will (learn|see)\*\*", first)
    assert re.search(r"\*\*It takes\*\*\s.*(second|minute)", first)
    assert re.search(r"`lropt-jax\[[a-z,]+\]`", first)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_its_code_needs_public_names_alone(path):
    code = "\n".join(_cells(path))
    assert "from lropt_jax import " in code
    assert not re.findall(r"\blropt_jax\.\w+", code)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_its_figures_are_small_and_fit_into_a_page(path):
    cells = json.loads(path.read_text())["cells"]
    data = [o.get("data", {}) for cell in cells for o in cell.get("outputs", ())]
    for drawn in ("".join(d["image/png"]) for d in data if "image/png" in d):
        png = base64.b64decode(drawn)
        width, _ = struct.unpack(">II", png[16:24])
        assert width <= 1000, "a page shows 700 pixels"
        assert len(png) < 80_000
    for moving in ("".join(d["image/gif"]) for d in data if "image/gif" in d):
        assert len(moving) < 300_000


def test_there_are_notebooks():
    assert len(NOTEBOOKS) >= 8
