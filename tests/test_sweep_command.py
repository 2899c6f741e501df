"""`lropt sweep`, as a person types it."""

from __future__ import annotations

import contextlib
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
from lropt_jax.sweeps.planning.plan import planned
from lropt_jax.training.visits import itinerary
from tests.interrupting import interruptible
from tests.sweep_problems import stop_after

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
    plan, _, printed = printed.partition(
        "\n"
    )  # said before what is begun, not when it is read back
    assert plan.startswith("6 configurations x 2 seeds, of 40 updates: 12 trainings")
    assert "12 lanes: 12 finished; vmap of 12 lanes" in printed
    assert len(re.findall(r"\d(\.\d\d)? ± [\d.]+ │", printed)) == 4
    assert re.search(r"lropt_jax\.sgd\(lropt_jax\.cosine_decay\([\d.]+, 40\), momentum=", printed)
    assert "Report: runs/small/report.html" in printed
    assert "<code>lropt_jax.sgd(" in pathlib.Path("runs/small/report.html").read_text()
    folder = pathlib.Path("runs/small")
    frame = pd.read_parquet(folder / "results.parquet")
    assert len(frame) == 6 * 2 * 4 * 3
    assert {p.name for p in folder.glob("*.png")} == {
        "sensitivity-learning_rate.png", "sensitivity-momentum.png", "parallel.png",
        "curves.png", "budget.png", "heatmap.png",
    }  # fmt: skip
    assert main(["sweep", "small.toml", "--top", "4"]) == 0  # read back
    again = capsys.readouterr().out
    assert again.partition("runs/")[0] == printed.partition("runs/")[0]


def test_a_plan_counts_what_the_directory_has(written, capsys, monkeypatch):
    with monkeypatch.context() as patch:
        stop_after(patch, 3)
        assert main(["sweep", "small.toml"]) == 1
    there = sorted((p, p.read_bytes()) for p in pathlib.Path("runs").rglob("*") if p.is_file())
    capsys.readouterr()
    assert main(["sweep", "small.toml", "--plan"]) == 0
    said = capsys.readouterr().out
    assert re.search(
        r"480 model-steps; .* \d+ of the model-steps lie in runs/small already: ", said
    )
    assert "are left." in said
    assert there == sorted(
        (p, p.read_bytes()) for p in pathlib.Path("runs").rglob("*") if p.is_file()
    )
    assert main(["sweep", "small.toml"]) == 0
    capsys.readouterr()
    assert main(["sweep", "small.toml", "--plan"]) == 0
    said = capsys.readouterr().out
    assert "480 of the model-steps lie in runs/small already: it is read back." in said
    written.write_text(FILE.replace("steps = 40", "steps = 44"))
    assert main(["sweep", "small.toml", "--plan"]) == 2
    assert "holds another sweep; what differs: steps" in capsys.readouterr().err


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


WRONG = ['"40"', "true", "inf", "0", "0.5", "[]", '["x"]', "[[1]]", "{ a = 1 }", "2026-01-01", '""']
# Every word, with what may be said of it.
GOOD = {
    "task": {"data": ['"digits"'], "model": ['"mlp"'], "batch_size": ["32", "32.0"]},
    "optimizer": {"name": ['"adam"'], "schedule": ['"linear"']},
    "space": {"learning_rate": ["[0.1, 0.2]", "{ grid = [0.1, 1] }", "{ log_grid = [0.1, 1, 2] }"]},
    "train": {
        "steps": ["8", "8.0"], "seeds": ["2", "[3, 4]"], "evaluations": ["2"], "trials": ["2"],
        "key": ["0", "7"], "strategy": ['"vmap"', '"map:2"'], "width": ["4"],
        "metric": ['"valid_loss"'], "mode": ['"min"', '"max"'], "directory": ['"here"'],
    },
    "prune": {
        "rule": ['"successive_halving"'], "eta": ["2", "2.5"], "min_steps": ["4"],
        "metric": ['"valid_loss"'], "mode": ['"min"'],
    },
}  # fmt: skip


def _file(**changed):
    sections = {section: {w: v[0] for w, v in words.items()} for section, words in GOOD.items()}
    for name, value in changed.items():
        section, _, word = name.partition("__")
        sections[section][word] = value
    return "\n".join(
        f"[{section}]\n" + "\n".join(f"{word} = {value}" for word, value in words.items())
        for section, words in sections.items()
    )


class Trains(BaseException):
    """Stands for the training."""


def _outcome(written, monkeypatch, capsys, text):
    """ "trains", or the error that `lropt sweep` prints before it trains."""
    import lropt_jax.sweeps

    def trains(*arguments, **named):
        raise Trains(arguments, named)

    monkeypatch.setattr(lropt_jax.sweeps, "sweep", trains)
    written.write_text(text)
    try:
        assert main(["sweep", "small.toml"]) == 2
        error = capsys.readouterr().err
        assert error.startswith("lropt: error: ")
        assert error.count("\n") == 1
        return error
    except Trains as called:
        arguments, named = called.args
    when = itinerary(named["steps"], named["eval_every"])
    given = {k: named[k] for k in ("trials", "seeds", "key") if k in named}
    try:  # what `sweep` itself refuses before it trains
        planned(*arguments, itinerary=when, rule=named.get("prune"), **given)
    except ValueError as error:
        return str(error)
    return "trains"


@pytest.mark.parametrize(
    ("section", "word", "value"),
    [(s, w, v) for s, words in GOOD.items() for w, values in words.items() for v in values],
)
def test_what_a_word_may_be(written, monkeypatch, capsys, section, word, value):
    text = _file(**{f"{section}__{word}": value})
    assert _outcome(written, monkeypatch, capsys, text) == "trains"


@pytest.mark.parametrize("value", WRONG)
@pytest.mark.parametrize(
    ("section", "word"),
    [(section, word) for section, words in GOOD.items() for word in words if section != "space"],
)
def test_a_value_of_another_kind_is_one_line(written, monkeypatch, capsys, section, word, value):
    outcome = _outcome(written, monkeypatch, capsys, _file(**{f"{section}__{word}": value}))
    if (word, value) in (("key", "0"), ("directory", '"40"')):
        assert outcome == "trains"
        return
    assert f"[{section}]" in outcome
    assert word in outcome or "unknown" in outcome
    said = value.strip('"') if value.startswith('"') else value.replace("{ a = 1 }", "{'a': 1}")
    said = said.replace('"', "'").replace("2026-01-01", "datetime.date(2026, 1, 1)")
    assert said.replace("true", "True") in outcome


@pytest.mark.parametrize(
    "value", ['"40"', "true", "inf", "[]", '["x"]', "[[1]]", "{ a = 1 }", "2026-01-01", '""', "nan"]
)
def test_a_value_that_no_optimizer_takes(written, monkeypatch, capsys, value):
    text = _file(space__learning_rate=value).replace("trials = 2\n", "")
    outcome = _outcome(written, monkeypatch, capsys, text)
    assert "space" in outcome


@pytest.mark.parametrize("section", GOOD)
def test_a_section_is_a_table(written, monkeypatch, capsys, section):
    for value in ('"x"', "3", "[1]"):
        others = {k: v for k, v in GOOD.items() if k != section}
        lines = [f"{section} = {value}"]
        for name, words in others.items():
            lines += [f"[{name}]", *(f"{w} = {v[0]}" for w, v in words.items())]
        outcome = _outcome(written, monkeypatch, capsys, "\n".join(lines))
        assert f"error: [{section}] must be a section of its own, got" in outcome


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"space__learning_rate": '{ log_grid = ["0.01", 1, 3] }'}, "must be a list of numbers"),
        ({"space__learning_rate": "{ log_grid = [0.01, 1] }"}, "log_grid must be [low, high, n]"),
        ({"space__learning_rate": "{ log_grid = [1, 0.1, 3] }"}, "0 < low < high must hold"),
        ({"space__learning_rate": "{ integer = [0.5, 3] }"}, "low must be a whole number"),
        ({"space__learning_rate": "{ uniform = 3 }"}, "uniform must be a list of numbers, got 3"),
        ({"space__learning_rate": "{ unifrom = [0, 1] }"}, "did you mean 'uniform'"),
        ({"space__learning_rate": "{ grid = [0.1], choice = [1] }"}, "or one of { grid = [...] }"),
        ({"space__learning_rate": "[0.1, [1]]"}, "grid must be a list of numbers, texts"),
        ({"space__learnin_rate": "[0.1]"}, "did you mean 'learning_rate'"),
        ({"train__epochs": "3"}, "[train] must have either steps or epochs"),
        ({"train__eval_every": "3"}, "[train] must have either eval_every or evaluations"),
        ({"train__stepz": "3"}, "unknown word in [train] 'stepz'; did you mean 'steps'?"),
        ({"prune__every": "3"}, "unknown word in [prune] 'every'"),
        ({"prune__eta": "1"}, "[prune] successive_halving: eta must be"),
        ({"prune__metric": '"valid_los"'}, "[prune] metric: unknown metric 'valid_los'"),
        ({"task__function": '"mine:task"'}, "[task] must have either a function, or"),
        ({"optimizer__function": '"mine:task"'}, "[optimizer] must have either a function, or"),
        ({"optimizer__schedule": '"cosin"'}, "[optimizer] unknown schedule 'cosin'; did you mean"),
        ({"train__metric": '"valid_acc"'}, "[train] metric: unknown metric 'valid_acc'"),
        ({"task__batch_size": "100000"}, "batch_size must be between 1 and the 1257"),
    ],
)
def test_words_that_do_not_go_together(written, monkeypatch, capsys, changed, words):
    assert words in _outcome(written, monkeypatch, capsys, _file(**changed))


def test_a_file_in_another_encoding(written, capsys):
    written.write_bytes("# Größe\n".encode("latin-1"))
    assert main(["sweep", "small.toml"]) == 2
    assert "small.toml: 'utf-8' codec" in capsys.readouterr().err


def test_spaces_of_every_kind(written):
    written.write_text(
        FILE.replace("momentum = [0.0, 0.9]", "momentum = { uniform = [0.0, 0.9] }\n"
        "nesterov = { choice = [true, false] }\nbatch_size = { static = [16, 32] }\n"
        "weight_decay = { log_uniform = [1e-5, 1e-2] }\nl2 = 0.0")
    )  # fmt: skip
    space = read(written).space
    assert {k: repr(v) for k, v in space.items()} == {
        "learning_rate": "grid(0.01, 0.1, 1)",
        "momentum": "uniform(0, 0.9)",
        "nesterov": "grid(True, False)",
        "batch_size": "choice(16, 32, static=True)",
        "weight_decay": "log_uniform(1e-05, 0.01)",
        "l2": "0.0",
    }


@pytest.mark.slow
def test_interrupting_says_how_to_go_on(written, capsys):
    written.write_text(FILE.replace("steps = 40", "steps = 400000").replace("= 4\n", "= 4000\n"))
    program = [sys.executable, "-m", "lropt_jax.cli", "sweep", "small.toml"]
    process = interruptible(program, stderr=subprocess.PIPE, text=True)
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
    with pytest.raises(ValueError, match=r"\[train\] mode must be 'min' or 'max', got 'most'"):
        read_mode(written, "valid_loss", 'mode = "most"')


def read_mode(path, metric, further=""):
    path.write_text(FILE.replace('"valid_accuracy"', f'"{metric}"') + further)
    described = read(path)
    assert described.metric == metric
    return described.mode


@pytest.mark.parametrize("ends", [KeyboardInterrupt, RuntimeError])
def test_what_ends_before_anything_is_kept_leaves_nothing(written, capsys, monkeypatch, ends):
    from lropt_jax.sweeps.running.conductor import Conductor

    def compiling(self):
        raise ends("while it compiles")

    with monkeypatch.context() as patched:
        patched.setattr(Conductor, "conduct", compiling)
        if ends is KeyboardInterrupt:
            assert main(["sweep", "small.toml", "--directory", "a/b/c"]) == 130
            assert capsys.readouterr().err == "\nlropt: interrupted\n"  # nothing was saved
        else:
            with contextlib.suppress(RuntimeError):  # it is told with the traceback of this file
                main(["sweep", "small.toml", "--directory", "a/b/c"])
        assert [p.name for p in written.parent.iterdir()] == ["small.toml"]
        pathlib.Path("there").mkdir()
        with contextlib.suppress(RuntimeError):
            main(["sweep", "small.toml", "--directory", "there"])
        assert list(pathlib.Path("there").iterdir()) == []  # the folder is its owner's
    assert main(["sweep", "small.toml", "--directory", "there"]) == 0
