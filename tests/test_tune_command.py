"""`lropt tune`, as a person types it."""

from __future__ import annotations

import json
import re

import optax
import pandas as pd

import lropt_jax
from lropt_jax.cli import main
from lropt_jax.commands.tune import _candidate
from tests.test_sweep_store import contents

MINE = """
import optax
from lropt_jax import log_uniform, sgd
from tests.problems import regression

def task():
    return regression()

def own(learning_rate):
    return optax.sgd(learning_rate, momentum=0.5)

own.space = {"learning_rate": log_uniform(0.01, 0.3)}

now = sgd(1e-3)
"""
SMALL = ["--budget", "6", "--steps", "20", "--seeds", "2"]


def test_it_says_plan_and_answer_and_writes_a_report(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    words = ["tune", "--task", "mine.py:task", "--candidate", "mine.py:own",
             "--baseline", "mine.py:now", *SMALL]  # fmt: skip
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.err.startswith("Budget: 6 trainings. Trainings take 20 updates each")
    assert "on 2 fresh seeds" in said.out
    assert "baseline" in said.out
    assert "Note: " in said.out
    folder = tmp_path / "runs" / "tune-mine.py.task"
    assert {p.name for p in folder.iterdir()} >= {"report.html", "table.csv", "basins.png"}
    assert not list(folder.glob("unfinished*"))
    assert "mine.py:own" in set(pd.read_csv(folder / "table.csv")["optimizer"])


def _answer(out):
    """What was found: the estimate of the cost, before it, is another each time."""
    return out[out.index("\nUse ") :].partition("Report:")[0]


def test_interrupted_it_answers_and_the_same_command_goes_on(tmp_path, capsys, monkeypatch):
    from lropt_jax.sweeps.keeping import store

    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    words = ["tune", "--task", "mine.py:task", *SMALL, "--output"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    whole = _answer(capsys.readouterr().out)
    save, saved = store.Directory.save, []

    def interrupted(self, *args, **kwargs):
        saved.append(save(self, *args, **kwargs))
        if len(saved) == 12:
            raise KeyboardInterrupt

    monkeypatch.setattr(store.Directory, "save", interrupted)
    assert main([*words, str(tmp_path / "parts")]) == 130  # with the best so far
    said = capsys.readouterr()
    assert "lropt: interrupted. The same command goes on from here\n" in said.err
    assert "Report: " in said.out
    assert list((tmp_path / "parts").glob("unfinished*"))
    there = contents(tmp_path / "parts")
    assert main([*words, str(tmp_path / "parts"), "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert 0 < plan["trained_before"] < plan["model_steps"]
    assert re.search(
        r" of the model-steps lie in .*unfinished-\w+ already: about .* left", plan["plan"]
    )
    assert contents(tmp_path / "parts") == there
    assert main([*words, str(tmp_path / "parts")]) == 0
    assert _answer(capsys.readouterr().out) == whole
    assert not list((tmp_path / "parts").glob("unfinished*"))


def test_a_mistake_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["tune", "--problem", "digits_linear", "--budget", "five"]) == 2
    assert "lropt: error: budget must be a whole number of trainings" in capsys.readouterr().err
    assert main(["tune", "--problem", "digits", "--budget", "1"]) == 2
    assert "unknown problem 'digits'; did you mean 'digits_linear'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_candidate_is_one_of_ours_of_optax_or_ones_own(tmp_path, capsys):
    ours, space = _candidate("lamb")
    assert ours is lropt_jax.lamb
    assert set(space) == {"learning_rate"}
    assert _candidate("momentum")[1]["momentum"] == 0.9
    assert _candidate("optax.lion")[0] is optax.lion
    assert main(["tune", "--candidate", "lamp", "--budget", "4", "--output", str(tmp_path)]) == 2
    assert "did you mean 'lamb'?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
