"""The command, as a person types it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pandas as pd
import pytest

from lropt_jax.cli import main
from tests.test_sweep_store import contents

SMALL = ["--epochs", "1", "--seeds", "2", "--tuning-seeds", "1"]


def test_compare_writes_a_table_and_a_report(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = main(["compare", "--data", "digits", "--optimizers", "momentum,adam", *SMALL])
    printed = capsys.readouterr().out
    assert code == 0
    assert "momentum" in printed
    assert "±" in printed
    assert "best test accuracy" in printed
    folder = tmp_path / "runs" / "compare-digits"
    assert str(folder.relative_to(tmp_path)) in printed.replace("\n", "")
    assert {p.name for p in folder.iterdir()} >= {
        "report.html", "learning_curves.png", "learning_rates.png", "generalization_gap.png",
        "rows.csv", "retrained.csv", "table.csv",
    }  # fmt: skip
    assert list(pd.read_csv(folder / "table.csv")["optimizer"]) == ["momentum", "adam"]
    assert not list(folder.glob("unfinished*"))


def test_an_interrupted_comparison_goes_on(tmp_path, capsys, monkeypatch):
    from lropt_jax.sweeps.keeping import store

    words = ["compare", "--data", "digits", "--optimizers", "sgd", *SMALL, "--output"]
    assert main([*words, str(tmp_path / "whole")]) == 0
    save, saved = store.Directory.save, []

    def interrupted(self, *args, **kwargs):
        saved.append(save(self, *args, **kwargs))
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(store.Directory, "save", interrupted)
    assert main([*words, str(tmp_path / "parts")]) == 130
    assert "interrupted" in capsys.readouterr().err
    there = contents(tmp_path / "parts")
    assert main([*words, str(tmp_path / "parts"), "--plan", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert 0 < plan["trained_before"] < plan["model_steps"]
    assert f"{plan['trained_before']:,} of the model-steps lie in {tmp_path}/parts" in plan["plan"]
    assert plan["plan"].endswith(" are left.")
    assert contents(tmp_path / "parts") == there
    assert main([*words, str(tmp_path / "parts")]) == 0
    read = [(tmp_path / x / "rows.csv").read_bytes() for x in ("whole", "parts")]
    assert read[0] == read[1]
    assert not list((tmp_path / "parts").glob("unfinished*"))


def test_the_reports_command_makes_the_same_run_again(tmp_path, capsys):
    first = ["compare", "--data", "digits", "--optimizers", "sgd", "--schedule", "linear", *SMALL]
    assert main([*first, "--output", str(tmp_path / "a")]) == 0
    html = (tmp_path / "a" / "report.html").read_text()
    command = html.partition("<pre>lropt ")[2].partition("</pre>")[0]
    command = f"lropt {command}"
    assert command.startswith("lropt compare ")
    assert main([*command.split()[1:], "--output", str(tmp_path / "b")]) == 0
    capsys.readouterr()
    read = [(tmp_path / x / "rows.csv").read_bytes() for x in "ab"]
    assert read[0] == read[1]


def test_a_task_of_ones_own(tmp_path, capsys, monkeypatch):
    (tmp_path / "mytask.py").write_text(
        "from tests.problems import regression\nmake = regression\nmade = make()\nother = 3\n"
        "def number():\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    arguments = ["compare", "--optimizers", "sgd", *SMALL, "--output", str(tmp_path / "o")]
    for number, name in enumerate(("mytask:make", "mytask.py:made")):  # a function, and a Task
        assert main([*arguments, "--task", name, "--output", str(tmp_path / str(number))]) == 0
        assert "sgd" in capsys.readouterr().out
    for name, message in (
        ("mytask", "must be package.module:task, got 'mytask'"),
        ("mytask:mak", "did you mean 'make'?"),
        ("mytask:other", "other must be a task, got 3"),
        ("nowhere:make", "No module named 'nowhere'"),
        ("mytask:number", "must be a Task or return one, got int"),
    ):
        assert main([*arguments, "--task", name]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--optimizers", "adamm"], "unknown optimizer 'adamm'; did you mean 'adam'? Known: "),
        (["--optimizers", ","], "must name at least one optimizer"),
        (["--optimizers", "sgd,adam,sgd"], "--optimizers names sgd twice"),
        (["--optimizers", "optax.lionn"], "did you mean 'lion'? There are "),
        (["--trials", "0"], "trials must be a whole number >= 1 or None, got 0"),
        (["--schedule", "cosin"], "unknown schedule 'cosin'; did you mean 'cosine'?"),
        (["--data", "mnist2d"], "mnist1d"),
        (["--model", "cnnn"], "unknown model 'cnnn'; did you mean 'cnn'?"),
        (["--model", "cnn", "--data", "mnist1d"], "shape"),
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--seeds", "1"], "seeds must be at least 2"),
        (["--batch-size", "100000"], "batch_size must be between 1 and the"),
        (["--output", "/proc/nowhere"], "error: /proc/nowhere: No such file or directory"),
        (["--output", __file__], "is a file, and must be a folder"),
        (["--problem", "yeast", "--model", "cnn"], "--problem says data and model: leave out "),
    ],
)
def test_a_users_mistake_is_one_line(arguments, message, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["compare", "--data", "digits", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("lropt: error: ")
    assert message in captured.err
    assert "Traceback" not in captured.err
    assert captured.out == ""


def test_an_unknown_argument_is_told_its_commands_usage_and_the_nearest(capsys):
    with pytest.raises(SystemExit) as done:
        main(["compare", "--optimiser", "sgd"])
    assert done.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("usage: lropt compare")
    assert "unrecognized arguments: --optimiser sgd; did you mean --optimizers?" in said


def test_help_and_unknown_commands_come_from_argparse(capsys):
    with pytest.raises(SystemExit) as done:
        main(["compare", "--help"])
    assert done.value.code == 0
    assert "--optimizers" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main(["compair"])
    assert done.value.code == 2


def test_a_missing_extra_names_what_to_install(tmp_path):
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'matplotlib' else find(name, *a)\n"
        "from lropt_jax.cli import main\n"
        "raise SystemExit(main(['compare', '--data', 'digits', '--optimizers', 'sgd',"
        f"'--epochs', '1', '--seeds', '2', '--output', {str(tmp_path)!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert "model-steps" not in done.stderr  # found out before the work, not after it
    assert "pip install 'lropt-jax[all]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_optimizers_from_elsewhere_and_a_task_in_a_file(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "beside.py").write_text("from tests.problems import regression\n")
    (folder / "mine_in_a_file.py").write_text(
        "import optax, beside\n"
        "def task():\n    return beside.regression()\n"
        "def slow(learning_rate):\n    return optax.sgd(0.1 * learning_rate)\n"
        "def two(learning_rate, power):\n    return optax.sgd(learning_rate)\n"
    )
    monkeypatch.chdir(tmp_path)
    file = "elsewhere/mine_in_a_file.py"
    words = ["compare", "--task", f"{file}:task", *SMALL, "--optimizers"]
    assert main([*words, f"sgd,optax.lion,{file}:slow"]) == 0
    printed = capsys.readouterr().out
    assert "3 optimizers x 7 configurations x 1 seed, then 2 fresh seeds each" in printed
    assert "optax.lion" in printed
    shutil.rmtree(tmp_path / "runs")
    for optimizers, message in (
        ("optax.lionn", "did you mean 'lion'"),
        (f"{file}:two", "whose other arguments have defaults; it takes learning_rate, power"),
        ("nowhere.py:slow", "there is no file nowhere.py"),
    ):
        assert main([*words, optimizers]) == 2
        assert message in capsys.readouterr().err
    assert {p.name for p in tmp_path.iterdir()} == {"elsewhere"}


def test_everything_may_be_tuned_at_the_same_number_of_trials(tmp_path, capsys):
    words = ["compare", "--data", "digits", "--optimizers", "sgd,momentum,adamw", *SMALL]
    output = ["--output", str(tmp_path / "o")]
    assert main([*words, "--tune", "all", "--trials", "4", *output]) == 0
    printed = capsys.readouterr().out
    planned = "3 optimizers x 4 configurations x 1 seed, then 2 fresh seeds each, of 39 updates:"
    assert f"{planned} 18 trainings" in printed
    rows = pd.read_csv(tmp_path / "o" / "rows.csv")
    tuned = rows[rows.phase == "tune"]
    counts = tuned.groupby("optimizer").trial.nunique()
    assert counts.nunique() == 1
    assert tuned[tuned.optimizer == "adamw"].weight_decay.nunique() == counts["adamw"]
    assert tuned[tuned.optimizer == "momentum"].momentum.nunique() > 1
    command = (tmp_path / "o" / "report.html").read_text()
    assert "--tune all --trials 4" in command


def test_a_command_that_fails_leaves_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in (
        ["compare", "--data", "digits", "--select", "valid_acuracy"],
        ["compare", "--data", "digits", "--output", "a/b/c", "--mode", "max", "--select", "x"],
        ["find-lr", "--data", "digits", "--seeds", "0"],
    ):
        assert main(words) == 2
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "kept").mkdir()
    assert main(["compare", "--data", "digits", "--select", "x", "--output", "kept"]) == 2
    assert list(tmp_path.iterdir()) == [tmp_path / "kept"]  # it was there before
    assert "select must be one of" in capsys.readouterr().err


def test_without_a_terminal_a_line_now_and_then(capsys, monkeypatch):
    from lropt_jax import progress

    monkeypatch.setattr(progress, "FIRST_PAUSE", 0.0)
    with progress.progress_bar(True, 100, "training") as bar:
        for _ in range(10):
            bar.advance(10)
    said = capsys.readouterr().err
    assert 1 <= len(said.splitlines()) <= 10
    assert all("training: " in line and "model-steps/s" in line for line in said.splitlines())
