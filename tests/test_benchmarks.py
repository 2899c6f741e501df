"""What the benchmarks' page says is what was measured."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest

FOLDER = pathlib.Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def run_all(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import run_all

    return run_all


def write(run_all, page, folder):
    commands = {name: f"python benchmarks/run_all.py --only {name}" for name in run_all.BENCHMARKS}
    run_all.results_page.write(page, folder, commands)
    return page.read_text()


def test_the_page_is_that_of_the_kept_runs(run_all, tmp_path):
    assert write(run_all, tmp_path / "page.md", FOLDER / "results") == (
        FOLDER / "RESULTS.md"
    ).read_text("utf-8")


def test_what_is_lost_is_said_and_so_is_what_was_not_measured(run_all, tmp_path):
    row = {"model": "large", "optimizer": "adamw", "ours_ms": 20.0, "optax_ms": 21.0}
    row |= {"ratio": 20 / 21, "torch_ms": 10.0}
    run = {"date": "2026-01-01", "machine": "m", "versions": {}, "load": 0.5, "command": "c"}
    run |= {"printed": "p", "figures": [row]}
    (tmp_path / "optimizers-large.json").write_text(json.dumps([run]))
    said = write(run_all, tmp_path / "page.md", tmp_path)
    lost = said.partition("## Where we lose")[2].partition("\n## ")[0]
    assert "PyTorch, fused: 10.000 ms | 0.50" in lost
    assert "Optax" not in lost
    assert "| gpu | `python benchmarks/run_all.py --only gpu` |" in said


def test_each_script_takes_the_words_it_is_given(run_all):
    for benchmark in run_all.BENCHMARKS.values():
        text = (FOLDER / benchmark.script).read_text("utf-8")
        words = f"{benchmark.whole} {benchmark.short} {benchmark.json or ''}".split()
        assert all(f'"{word}"' in text for word in words if word.startswith("--"))


def test_a_benchmark_that_fails_leaves_nothing(run_all, tmp_path, monkeypatch):
    (tmp_path / "fails.py").write_text("import sys; print('half'); sys.exit(2)")
    monkeypatch.setattr(run_all, "HERE", tmp_path)
    assert run_all.run(run_all.Benchmark("fails.py"), short=False) is None
    (tmp_path / "works.py").write_text("print('12 ms')")
    entry = run_all.run(run_all.Benchmark("works.py", json=None), short=False)
    assert entry["printed"] == "12 ms"
    assert entry["figures"] is None


def test_without_a_gpu_nothing_is_measured():
    import jax

    if jax.default_backend() == "gpu":
        pytest.skip("there is one")
    done = subprocess.run(
        [sys.executable, FOLDER / "gpu.py"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == "there is no gpu: nothing measured"


def test_the_criteria_of_tune_can_be_reached_and_missed(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from tune_table import table

    names = ("shuttle", "yeast", "randhie", "digits_linear")
    methods = dict.fromkeys(("tune", "random_32", "tpe_equal", "grid_8"), "words")
    commons = {n: {"sweeps": {"adam": 0.05, "sgd": 0.0}, "median": 1.0} for n in names}

    def told(ours, others, high):
        record = {"values": {m: [ours if m == "tune" else others] * 5 for m in methods},
                  "regret": [0.0, 0.0, high], "seconds": 1.0, "model_steps": 16000}  # fmt: skip
        said = table({n: [record] * 3 for n in names}, commons, dict.fromkeys(names, 1.0), methods)
        return [line.rpartition("**: ")[2] for line in said.splitlines() if line.startswith("- ")]

    good, bad = told(0.002, 0.5, 0.1), told(0.5, 0.2, 0.1)
    assert all(line.endswith("**reached**") for line in good)
    assert all(line.endswith("**not reached**") for line in bad)
    assert len(good) == len(bad) == 5
