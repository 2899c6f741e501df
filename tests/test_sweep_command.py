"""`lropt sweep`, as a person types it."""

from __future__ import annotations

import pathlib
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest

from lropt_jax.cli import main
from lropt_jax.commands.sweep_file import read

FILE = """
[task]
data = "digits"

[optimizer]
name = "sgd"
schedule = "cosine"

[space]
learning_rate = { log_grid = [0.01, 1.0, 3] }
momentum = [0.0, 0.9]

[train]
steps = 40
evaluations = 4
seeds = 2
strategy = "vmap"
metric = "valid_accuracy"
"""


@pytest.fixture
def written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "small.toml"
    path.write_text(FILE)
    return path


def test_a_sweep_from_a_file(written, capsys):
    assert main(["sweep", "small.toml", "--top", "4"]) == 0
    printed = capsys.readouterr().out
    assert "12 lanes: 12 finished; vmap of 12 lanes" in printed
    assert len(re.findall(r"\d+\.\d\d ± ", printed)) == 4
    folder = pathlib.Path("runs/small")
    frame = pd.read_parquet(folder / "results.parquet")
    assert len(frame) == 6 * 2 * 4 * 3
    assert {p.name for p in folder.glob("*.png")} == {
        "sensitivity-learning_rate.png", "sensitivity-momentum.png", "parallel.png",
        "curves.png", "budget.png",
    }  # fmt: skip
    assert main(["sweep", "small.toml", "--top", "4"]) == 0  # read back
    again = capsys.readouterr().out
    assert again.partition("runs/")[0] == printed.partition("runs/")[0]


def test_the_example_is_a_sweep(written, capsys):
    assert main(["sweep", "--example"]) == 0
    path = pathlib.Path("example.toml")
    path.write_text(capsys.readouterr().out)
    described = read(path)
    assert described.metric == "valid_accuracy"
    assert described.arguments["steps"] == 10 * described.task.steps_per_epoch
    assert set(described.space) == {"learning_rate", "momentum", "weight_decay"}


def test_own_functions_rules_and_samples(written, monkeypatch):
    pathlib.Path("mine.py").write_text(
        "from tests.sweep_problems import task as make\n"
        "import lropt_jax\n"
        "def task(): return make()\n"
        "def optimizer(peak): return lropt_jax.adam(peak)\n"
    )
    written.write_text(
        '[task]\nfunction = "mine:task"\n[optimizer]\nfunction = "mine:optimizer"\n'
        "[space]\npeak = { log_uniform = [0.001, 1.0] }\n"
        "[train]\nsteps = 8\neval_every = 2\ntrials = 4\nstrategy = 'vmap'\n"
        "[prune]\neta = 2\nmin_steps = 2\n"
    )
    assert main(["sweep", "small.toml"]) == 0
    frame = pd.read_parquet("runs/small/results.parquet")
    assert set(frame.status) == {"pruned", "finished"}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[train]", "[training]", "did you mean 'train'"),
        ("seeds", "seed", "did you mean 'seeds'"),
        ("log_grid", "loggrid", "did you mean 'log_grid'"),
        ("steps = 40", "", "either steps or epochs"),
        ('name = "sgd"', 'name = "sgdd"', "did you mean 'sgd'"),
        ("momentum", "momentun", "did you mean 'momentum'"),
        ("1.0, 3]", "1.0]", "learning_rate"),
        ("[task]", "[task", "small.toml"),
        ("metric", "metrics", "did you mean 'metric'"),
    ],
)
def test_a_mistake_is_one_line(written, capsys, old, new, words):
    written.write_text(FILE.replace(old, new))
    assert main(["sweep", "small.toml"]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("lropt: error: ")
    assert words in errors
    assert main(["sweep", "none.toml"]) == 2
    assert main(["sweep"]) == 2


@pytest.mark.slow
def test_interrupting_says_how_to_go_on(written, capsys):
    written.write_text(FILE.replace("steps = 40", "steps = 400000").replace("= 4\n", "= 4000\n"))
    program = [sys.executable, "-m", "lropt_jax.cli", "sweep", "small.toml"]
    process = subprocess.Popen(program, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(pathlib.Path("runs").rglob("*.npz")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Saved in runs/small. Call it again to go on from there" in errors
    assert list(pathlib.Path("runs/small").rglob("*.npz"))


def test_the_metric_and_its_direction_are_known_before_anything_trains(written):
    written.write_text(FILE.replace("valid_accuracy", "valid_acuracy"))
    with pytest.raises(ValueError, match=r"\[train\] metric: .* did you mean 'valid_accuracy'"):
        read(written)
    assert read_mode(written, "valid_accuracy") == "max"
    assert read_mode(written, "valid_loss") == "min"
    assert read_mode(written, "valid_loss", 'mode = "max"') == "max"
    with pytest.raises(ValueError, match="mode must be 'min' or 'max', got 'most'"):
        read_mode(written, "valid_loss", 'mode = "most"')


def read_mode(path, metric, further=""):
    path.write_text(FILE.replace('"valid_accuracy"', f'"{metric}"') + further)
    described = read(path)
    assert described.metric == metric
    return described.mode
