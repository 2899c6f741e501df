"""`lropt find-lr`, as a person types it."""

from __future__ import annotations

import io

import pandas as pd
import pytest

from lropt_jax.cli import main

SMALL = ["--data", "digits", "--steps", "40", "--seeds", "3"]


def test_it_writes_to_the_terminal_and_to_a_folder(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    over = ["--over", "momentum=0,0.9"]
    assert main(["find-lr", *SMALL, "--optimizer", "sgd", *over, "--set", "nesterov=false"]) == 0
    printed = capsys.readouterr().out
    folder = tmp_path / "runs" / "find-lr-digits-sgd"
    assert {p.name for p in folder.iterdir()} == {"range_test.png", "rows.csv", "summary.txt"}
    summary = (folder / "summary.txt").read_text()
    assert summary in printed
    assert "momentum=0.9: train loss, 40 rungs, 3 seeds" in summary
    for rule in ("steepest", "valley", "minimum", "slide", "bounds"):
        assert summary.count(f" {rule}") >= 2
    rows = pd.read_csv(folder / "rows.csv")
    assert len(rows) == 2 * 3 * 40
    assert rows["learning_rate"].max() == pytest.approx(10.0)


def test_a_terminal_without_our_letters_loses_nothing(tmp_path, monkeypatch):
    """The sparkline's blocks are no latin-1: the files are there, the words nearly."""
    shown = io.TextIOWrapper(io.BytesIO(), encoding="latin-1")
    monkeypatch.setattr("sys.stdout", shown)
    assert main(["find-lr", *SMALL, "--steps", "12", "--output", str(tmp_path)]) == 1  # too short
    assert {p.name for p in tmp_path.iterdir()} == {"range_test.png", "rows.csv", "summary.txt"}
    shown.flush()
    assert b"steepest" in shown.buffer.getvalue()


def test_what_is_missing_is_said_before_the_training(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("lropt_jax.validation.installed", lambda package: package != "pandas")
    monkeypatch.setattr("lropt_jax.range_tests.preparing.Layout", None)
    assert main(["find-lr", *SMALL, "--output", str(tmp_path)]) == 2
    assert "pip install 'lropt-jax[all]'" in capsys.readouterr().err


def test_named_variants_keep_their_fixed_numbers(tmp_path, capsys):
    arguments = ["find-lr", *SMALL, "--steps", "12", "--valid", "--output", str(tmp_path)]
    assert main([*arguments, "--optimizer", "momentum"]) == 1
    said = capsys.readouterr()
    assert "momentum: 0.9" in said.out
    assert "lropt: error: no learning rate can be suggested: " in said.err
    assert "valid loss" in (tmp_path / "summary.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--optimizer", "adamm"], "did you mean 'adam'"),
        (["--over", "momentum"], "--over must be NAME=VALUE, got 'momentum'"),
        (["--over", "b5=1"], "unknown hyperparameter 'b5'"),
        (["--set", "b1=0.8,0.9"], "--set b1 takes one value, got 2"),
        (["--set", "b1=x"], "b1"),
        (["--start", "20"], "start=20.0, end=10.0"),
        (["--steps", "1"], "steps must be a whole number >= 2, got 1"),
    ],
)
def test_mistakes_are_one_line(arguments, words, tmp_path, capsys):
    assert main(["find-lr", "--data", "digits", "--output", str(tmp_path), *arguments]) == 2
    error = capsys.readouterr().err.strip()
    assert words in error
    assert error.count("\n") == 0
