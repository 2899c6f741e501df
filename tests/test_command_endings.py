"""What the command leaves behind: its exit code, its JSON, and no files where it failed."""

from __future__ import annotations

import argparse
import gc
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from lropt_jax.cli import COMMANDS, main
from lropt_jax.commands.answers import as_json
from lropt_jax.commands.documents import ALWAYS, DOCUMENTS, KEEPING, KEPT, PLAN, PLAN_OF_PARTS
from lropt_jax.commands.endings import Signals
from lropt_jax.commands.formatting import counted
from tests.interrupting import interruptible

OWN = """
import jax.numpy as jnp, numpy as np
from lropt_jax import Task

def made(scale, raising=None):
    def loss(w, state, batch, key):
        print("a task that prints")
        if raising:
            raise raising
        return scale * ((batch["x"] @ w - batch["y"]) ** 2).mean(), (state, {})

    rng = np.random.default_rng(0)
    split = {"x": rng.normal(size=(16, 3)).astype("f4")}
    split["y"] = split["x"] @ np.ones(3, "f4")
    return Task(lambda key: (jnp.zeros(3), {}), loss,
                lambda w, s, b: {"loss": scale * (b["x"] @ w - b["y"]) ** 2},
                split, split, split, 4)

def task(): return made(1.0)
def hopeless(): return made(float("nan"))
def raises(): return made(1.0, RuntimeError("of the task"))
def leaves(): return made(1.0, SystemExit(0))
def mistaken(): return 3
def needs(size): return made(size)
"""
SWEEP = """
[task]
function = "own.py:TASK"
[optimizer]
name = "sgd"
[space]
learning_rate = [0.01, 0.1, 0.2]
[train]
steps = 8
seeds = 2
strategy = "vmap"
"""
SMALL = {
    "compare": ["--epochs", "2", "--seeds", "2", "--tuning-seeds", "1", "--optimizers", "sgd,adam"],
    "find-lr": ["--steps", "40", "--seeds", "4", "--optimizer", "sgd", "--end", "100"],
    "tune": ["--budget", "6", "--steps", "12", "--seeds", "2"],
}
TRAINS = ["compare", "find-lr", "tune", "sweep"]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    for task in ("task", "hopeless", "raises", "leaves", "mistaken", "needs"):
        (tmp_path / f"{task}.toml").write_text(SWEEP.replace("TASK", task))
    return tmp_path


def words(command, task="task"):
    if command == "sweep":
        return ["sweep", f"{task}.toml"]
    return [command, "--task", f"own.py:{task}", *SMALL[command]]


def strict(text):
    """Parsed as RFC 8259 has it: Python's own reader takes NaN and Infinity too."""

    def refused(constant):
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refused)


QUICKLY = [
    ["list"], ["list", "problems"], ["list", "--memory"], ["schedules", "cosine_decay", "constant"],
    ["sweep", "--example"], ["reproduce", "adamw_propositions"], ["atlas", "--quick", "--plan"],
]  # fmt: skip


@pytest.mark.parametrize("line", [*QUICKLY, *map(words, TRAINS)], ids=" ".join)
def test_json_and_nothing_else(here, capfd, line):
    assert main([*line, "--json"]) == 0
    document = strict(capfd.readouterr().out)
    assert document["command"] == line[0]
    assert (document["exit_code"], document["error"]) == (0, None)
    known = PLAN_OF_PARTS if "--plan" in line else DOCUMENTS[line[0]]
    found = set(document) - set(ALWAYS)
    assert found
    assert found <= set(known)  # what the page of the command documents
    if line[0] in (*TRAINS, "schedules"):
        assert found >= set(known) - {"example"} or "--example" in line


def test_json_of_each_command_says_what_it_prints(here, capfd):
    assert main([*words("find-lr"), "--json"]) == 0
    out, told = capfd.readouterr()
    assert "a task that prints" in told
    found = strict(out)
    assert found["suggestion"]["low"] <= found["suggestion"]["value"] <= found["suggestion"]["high"]
    assert len(found["curves"][0]["median"]) == len(found["learning_rates"]) == 40
    assert main([*words("compare"), "--json"]) == 0
    found = strict(capfd.readouterr().out)
    assert [row["optimizer"] for row in found["optimizers"]] == ["sgd", "adam"]
    assert {found["pairs"][0]["first"], found["pairs"][0]["second"]} == {"sgd", "adam"}
    assert "lropt_jax." in found["code"]
    assert os.path.exists(found["report"])
    assert main([*words("sweep"), "--json"]) == 0
    found = strict(capfd.readouterr().out)
    assert found["best"] == found["trials"][0]
    assert found["lanes"] == {"finished": 6}
    assert os.path.exists(found["table"])
    assert main([*words("tune"), "--json"]) == 0
    found = strict(capfd.readouterr().out)
    assert found["best"]["optimizer"] in found["code"]
    assert main(["list", "optimizers", "--json"]) == 0
    found = strict(capfd.readouterr().out)
    assert "adam" in found["optimizers"]


def test_what_is_no_json_becomes_it():
    import dataclasses
    import pathlib

    import jax.numpy as jnp
    import numpy as np
    import pandas as pd

    @dataclasses.dataclass
    class Thing:
        value: float

    frame = pd.DataFrame({"a": [1.0, float("nan")]}, index=pd.Index(["x", "y"], name="name"))
    text = as_json(
        {
            "nan": np.nan, "inf": [np.inf, -np.inf, np.float32("nan")], "array": jnp.arange(2),
            "frame": frame, "thing": Thing(float("inf")), "path": pathlib.Path("a"), 3: np.int64(4),
            "function": strict, "none": None, "true": np.bool_(True), "words": np.str_("w"),
        }
    )  # fmt: skip
    assert strict(text) == {
        "nan": None, "inf": [None, None, None], "array": [0, 1],
        "frame": [{"name": "x", "a": 1.0}, {"name": "y", "a": None}], "thing": {"value": None},
        "path": "a", "3": 4, "function": "strict", "none": None, "true": True, "words": "w",
    }  # fmt: skip


@pytest.mark.parametrize("command", TRAINS)
@pytest.mark.parametrize(
    ("task", "code", "says"),
    [
        ("hopeless", 1, "lropt: error: no "),
        ("raises", 1, "RuntimeError: of the task"),
        ("leaves", 1, "lropt: error: sys.exit(0) was called"),
        ("mistaken", 2, "got int"),
        (
            "needs",
            2,
            "own.py:needs: it must need no arguments: missing a required argument: 'size'",
        ),
        ("nothing", 2, "'nothing'"),
    ],
)
def test_the_exit_code_says_whose_fault_it_was(here, capfd, command, task, code, says):
    if task == "nothing":
        (here / "nothing.toml").write_text(SWEEP.replace("TASK", task))
    before = sorted(here.rglob("*"))
    assert main([*words(command, task), "--json"]) == code
    out, told = capfd.readouterr()
    assert says in told
    found = strict(out)
    assert (found["command"], found["exit_code"]) == (command, code)
    assert told.splitlines()[-1] == f"lropt: error: {found['error']}"
    if code == 2:
        assert told.count("\n") == 1
    if task == "hopeless":  # it was trained, and there is something to read
        assert set(found) > set(ALWAYS)
    else:
        assert set(found) == set(ALWAYS)
        left = [p for p in sorted(here.rglob("*")) if "__pycache__" not in p.parts]
        assert left == [p for p in before if "__pycache__" not in p.parts]


MISTAKES = [
    ["compare", "--seeds", "1"], ["compare", "--optimizers", "adm"], ["compare", "--data", "x"],
    ["find-lr", "--optimizer", "adm"], ["find-lr", "--set", "x"], ["find-lr", "--steps", "0"],
    ["sweep"], ["sweep", "nowhere.toml"], ["tune", "--budget", "x"], ["tune", "--seeds", "1"],
    ["reproduce"], ["reproduce", "wilsn"], ["atlas", "--problems", "x"], ["atlas", "--add", "x"],
    ["atlas", "--verify", "0"], ["schedules", "cosin"], ["schedules", "constant", "--steps", "0"],
    ["compare", "--key", "9" * 20], ["find-lr", "--key", "9" * 20], ["tune", "--key", "9" * 20],
    ["compare", "--seeds", "2.5"], ["tune", "--steps", "nan"], ["find-lr", "--seeds", "1e400"],
    ["compare", "--task", ""], ["tune", "--problem", ""], ["sweep", "x.toml", "--top", "-1"],
    ["compare", "--seeds", "1e9"], ["find-lr", "--seeds", "1e9"], ["find-lr", "--steps", "1e9"],
    ["tune", "--seeds", "1e9"], ["compare", "--tune", "all", "--trials", "1e9"],
    ["list", "claims", "--memory"], ["completion", "fsh"], ["list", "nothing"], ["compair"],
]  # fmt: skip


@pytest.mark.parametrize("line", MISTAKES, ids=" ".join)
def test_a_mistake_ends_with_two_and_leaves_nothing(tmp_path, monkeypatch, capfd, line):
    monkeypatch.chdir(tmp_path)
    assert ended(line) == 2
    told = capfd.readouterr()
    assert told.out == ""
    assert "error: " in told.err
    assert "Traceback" not in told.err
    assert ended([*line, "--json"]) == 2
    found, again = capfd.readouterr()
    assert strict(found)["exit_code"] == 2
    assert strict(found)["error"]
    assert strict(found)["error"] in again
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["file", "file/inner", "file/a/b"])
@pytest.mark.parametrize("command", ["schedules", "find-lr", "compare", "tune", "sweep"])
def test_a_file_in_a_folders_place_is_named_before_the_work(here, capfd, command, place):
    (here / "file").touch()
    if command == "schedules":
        line = ["schedules", "constant", "--output", f"{place}/one.png"]
    else:
        option = "--directory" if command == "sweep" else "--output"
        line = [*words(command), option, place]
    assert main(line) == 2
    out, told = capfd.readouterr()
    assert "an estimate" not in out
    assert told.count("\n") == 1
    assert "file" in told.partition("error: ")[2]
    assert "a folder" in told
    assert (here / "file").is_file()


def test_a_picture_without_an_ending_is_a_png(here, capfd):
    assert main(["schedules", "constant", "--output", "one", "--json"]) == 0
    found = strict(capfd.readouterr().out)
    assert found["figure"] == "one.png"
    assert (here / "one.png").is_file()


def ended(line):
    try:
        return main(line)
    except SystemExit as parsed:  # argparse's own
        return parsed.code


def commands():
    return [line[0] for line in (*QUICKLY, *map(words, TRAINS))]


def test_every_command_is_tried_here():
    from lropt_jax.cli import parser

    (subparsers,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    assert set(subparsers.choices) - {"completion"} == set(commands())
    assert len(COMMANDS) <= len(subparsers.choices)


@pytest.mark.parametrize("line", [[], *[[name] for name in dict.fromkeys(commands())]])
def test_help_says_the_exit_codes(capsys, line):
    with pytest.raises(SystemExit) as done:
        main([*line, "--help"])
    assert done.value.code == 0
    assert "Exit codes: 0 done; 1 the work failed" in capsys.readouterr().out


@pytest.mark.parametrize("command", TRAINS)
def test_a_plan_trains_nothing_and_leaves_nothing(here, capfd, command):
    before = sorted(here.iterdir())
    assert main([*words(command), "--plan", "--json"]) == 0
    plan = strict(capfd.readouterr().out)
    assert sorted(p for p in here.iterdir() if p.name != "__pycache__") == before
    assert plan["model_steps"] >= plan["trainings"] > 0
    assert plan["memory"] > 0
    assert set(plan) == {*ALWAYS, *PLAN, *(KEPT if command in KEEPING else ())}
    assert plan["seconds"] > 0
    assert main([*words(command), "--plan"]) == 0
    (line,) = [x for x in capfd.readouterr().out.splitlines() if "an estimate" in x]
    if command == "find-lr":  # to foresee it takes as long as the test
        return
    assert main(words(command)) == 0
    out, told = capfd.readouterr()
    # Said before the work too; the time is measured anew.
    assert line.partition("At most")[0].partition("About")[0].strip() in out + told
    assert "an estimate" in out


def test_whatever_trains_has_a_plan():
    from lropt_jax.cli import parser

    (subparsers,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    planned = {n for n, p in subparsers.choices.items() if "--plan" in p._option_string_actions}
    assert planned == {*TRAINS, "reproduce", "atlas"}


@pytest.mark.parametrize(
    ("further", "trainings"), [([], 4), (["--over", "momentum=0,0.9"], 8), (["--valid"], 4)]
)
def test_a_range_tests_plan_counts_its_lanes(here, capfd, further, trainings):
    assert main([*words("find-lr"), *further, "--plan", "--json"]) == 0
    plan = strict(capfd.readouterr().out)
    assert (plan["trainings"], plan["model_steps"]) == (trainings, 40 * trainings)
    assert plan["plan"].startswith(f"40 rungs: {trainings} trainings, ")


def test_a_plan_counts_what_is_trained(here, capfd):
    assert main([*words("sweep"), "--plan", "--json"]) == 0
    plan = strict(capfd.readouterr().out)
    assert (plan["trainings"], plan["model_steps"]) == (6, 48)
    assert main([*words("sweep"), "--json"]) == 0
    assert strict(capfd.readouterr().out)["model_steps"] == 48


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_it_with_words(here, number, code):
    (here / "task.toml").write_text(SWEEP.replace("TASK", "task").replace("= 8", "= 4000000"))
    line = [sys.executable, "-m", "lropt_jax", "sweep", "task.toml", "--json"]
    process = interruptible(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(here.rglob("*.npz")):
        time.sleep(0.05)
    process.send_signal(number)
    out, told = process.communicate(timeout=60)
    assert process.returncode == code
    found = strict(out)
    assert (found["command"], found["exit_code"]) == ("sweep", code)
    assert found["error"] == "interrupted. Saved in runs/task. Call it again to go on from there"
    assert told.splitlines()[-1] == f"lropt: {found['error']}"


EXECUTED = """
import sys
from lropt_jax.cli import main
from lropt_jax.commands import catalogue
catalogue.first_line = lambda thing: exec("raise KeyboardInterrupt")
sys.argv = ["lropt", "list"]
sys.exit(main())
"""


def test_an_interruption_within_code_that_is_a_text_ends_with_its_code_too(tmp_path):
    (tmp_path / "executed.py").write_text(EXECUTED)
    path = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-m", "executed"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, "\nlropt: interrupted\n")


def test_an_interruption_that_python_drops_comes_again():
    """JAX has a callback of the garbage collector; Python drops what is raised in one."""
    dropped = []

    def callback(phase, info):
        if not dropped:
            dropped.append(phase)
            signal.raise_signal(signal.SIGTERM)
            time.sleep(0)  # where Python hears of it

    def work():
        with signals.heard():
            gc.collect()
            time.sleep(10)

    signals = Signals()
    gc.callbacks.append(callback)
    try:
        with pytest.raises(KeyboardInterrupt):
            work()
    finally:
        gc.callbacks.remove(callback)
    assert dropped
    assert signals.code == 143


def test_what_an_interruption_becomes_is_one(monkeypatch, capfd):
    """C++ that is being loaded makes an ImportError of it; a second one ends the first's work."""
    from lropt_jax.commands import catalogue

    def load(thing):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as interrupt:
            raise ImportError(
                "Encountered an error while initializing the extension"
            ) from interrupt

    monkeypatch.setattr(catalogue, "first_line", load)
    assert main(["list", "--json"]) == 130
    out, told = capfd.readouterr()
    assert strict(out)["error"] == "interrupted"
    assert told == "\nlropt: interrupted\n"

    def twice(thing):
        try:
            interrupt = KeyboardInterrupt()
            interrupt.add_note("Saved in runs")
            raise interrupt
        finally:
            raise KeyboardInterrupt

    monkeypatch.setattr(catalogue, "first_line", twice)
    assert main(["list"]) == 130
    assert capfd.readouterr().err == "\nlropt: interrupted. Saved in runs\n"


def test_the_versions_that_a_report_of_a_fault_should_tell():
    import jax

    done = subprocess.run(
        [sys.executable, "-m", "lropt_jax", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("lropt ")
    assert f"jax {jax.__version__}" in done.stdout
    assert "cores" in done.stdout


@pytest.mark.parametrize("order", [["--version", "--json"], ["--json", "--version"]])
def test_the_versions_are_a_document_too(capsys, order):
    import jax

    assert main(order) == 0
    found = strict(capsys.readouterr().out)
    assert (found["command"], found["exit_code"], found["error"]) == (None, 0, None)
    assert found["versions"]["jax"] == jax.__version__


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["lsit"], "unknown: 'lsit'; did you mean 'list'? Known: tune, compare"),
        (["list", "optimisers"], "unknown: 'optimisers'; did you mean 'optimizers'?"),
        (["compare", "--mode", "biggest"], "argument --mode: unknown: 'biggest'. Known: min, max"),
        (["find-lr", "--start", "abc"], "argument --start: must be a number, got 'abc'"),
    ],
)
def test_a_word_that_is_none_is_told_as_everywhere(capsys, words, says):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "number"), [("7", 7), ("1e5", 100000), ("-3", -3), ("1_000", 1000), ("9" * 20, None)]
)
def test_whole_numbers_as_people_write_them(words, number):
    assert counted(words) == (int(words) if number is None else number)


OWN_OPTIMIZER = """
import lropt_jax, optax
def mine(learning_rate):
    return optax.sgd(0.5 * learning_rate)
def named(*, learning_rate=0.1):
    return optax.sgd(learning_rate)
def placed(learning_rate, /):
    return optax.sgd(learning_rate)
def two(learning_rate, power):
    return optax.sgd(learning_rate)
def broken(learning_rate):
    raise RuntimeError("of the optimizer")
def planned(learning_rate):
    return lropt_jax.sgd(lropt_jax.cosine_decay(learning_rate, 8))
"""
TAKES = {
    "compare": lambda name: [*words("compare")[:-1], f"sgd,{name}"],
    "find-lr": lambda name: [*words("find-lr"), "--optimizer", name],
    "tune": lambda name: [*words("tune"), "--candidate", name],
    "sweep": lambda name: ["sweep", "own.toml"],
}


@pytest.mark.parametrize("command", TAKES)
@pytest.mark.parametrize(
    ("name", "code", "says"),
    [
        ("optax.sgd", 0, ""),
        ("other/kept.py:mine", 0, ""),
        ("other/kept.py:named", 0, ""),
        ("optax.lionn", 2, "did you mean 'lion'"),
        ("nowhere.py:mine", 2, "there is no file nowhere.py"),
        ("other/kept.py:min", 2, "did you mean 'mine'"),
        ("other/kept.py:broken", 1, "RuntimeError: of the optimizer"),
        ("other/kept.py", 2, "(a file: mine.py:function)"),
    ],
)
def test_an_optimizer_from_elsewhere(here, capfd, command, name, code, says):
    (here / "other").mkdir()
    (here / "other" / "kept.py").write_text(OWN_OPTIMIZER)
    text = SWEEP.replace("TASK", "task").replace('"sgd"', f'"{name}"')
    (here / "own.toml").write_text(text)
    assert main([*TAKES[command](name), "--json"]) == code
    out, told = capfd.readouterr()
    assert says in told
    assert strict(out)["exit_code"] == code
    assert (here / "runs").exists() == (code == 0)
    if code == 2:
        assert told.replace("a task that prints\n", "").count("\n") == 1
    if code == 1:
        assert "lropt_jax" + os.sep not in told  # nothing of ours


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("compare", 2, "error: optimizers['other/kept.py:planned']: space: the optimizer refuses"),
        ("find-lr", 1, "warning: the optimizer makes a schedule of its learning_rate (cosine"),
    ],
)
def test_an_optimizer_with_a_schedule_of_its_own(here, capfd, command, code, says):
    """Said in a line, without a traceback and without a line of our code."""
    (here / "other").mkdir()
    (here / "other" / "kept.py").write_text(OWN_OPTIMIZER)
    assert main(TAKES[command]("other/kept.py:planned")) == code
    told = capfd.readouterr().err
    line = next(x for x in told.splitlines() if x.startswith("lropt: "))
    assert line.startswith(f"lropt: {says}")
    assert ("planned cannot take a schedule as its learning_rate" in line) == (code == 2)
    assert "lropt_jax" + os.sep not in told


LIMITED = """
import resource, sys, matplotlib.font_manager
from lropt_jax.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
sys.exit(main(sys.argv[2:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "size"),
    [("schedules", "300"), *((command, size) for command in TRAINS for size in ("300", "20000"))],
)
def test_a_full_disk_leaves_no_part_of_a_result(here, command, size):
    """Files may grow to so many bytes only: the first that is kept fails, or the first figure."""
    pytest.importorskip("resource")
    line = ["schedules", "constant"] if command == "schedules" else words(command)
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, size, "--no-cache", *line], capture_output=True, text=True
    )
    told = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert told.startswith("lropt: error: runs")
    assert told.endswith(": File too large")
    left = [p for p in (here / "runs").rglob("*") if p.suffix in (".html", ".png", ".csv", ".txt")]
    assert left == []
    if size == "300":
        assert not (here / "runs").exists()
