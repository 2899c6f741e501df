"""The command among other things: a person's code that raises, pipes, encodings, the cache."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys

import pytest

from lropt_jax.cli import main
from lropt_jax.commands.own_code import imported

OWN = """
import jax, jax.numpy as jnp, numpy as np, optax
from lropt_jax import Task, classification_task

class Mine(Exception):
    pass

def helper(error):
    raise error

def task(init=None, loss=None, evaluate=None):
    error = lambda w, b: (b["x"] @ w - b["y"]) ** 2
    split = {"x": np.ones((8, 2), "f4"), "y": np.ones(8, "f4")}
    return Task(
        lambda key: (helper(init) if init else jnp.zeros(2), {}),
        lambda w, s, b, k: (helper(loss) if loss else error(w, b).mean(), (s, {})),
        lambda w, s, b: {"loss": helper(evaluate) if evaluate else error(w, b)},
        split, split, split, 4,
    )

def at_once(): helper(KeyError("nokey"))
def value(): helper(ValueError("bad value"))
def no_words(): helper(AssertionError())
def of_mine(): helper(Mine("of mine"))
def in_numpy(): np.zeros(2).reshape(3)
def in_init(): return task(init=RuntimeError("in init"))
def in_loss(): return task(loss=KeyError("in loss"))
def in_evaluate(): return task(evaluate=ZeroDivisionError("in evaluate"))
def in_shapes():
    good = task()
    return Task(good.init, lambda w, s, b, k: (b["x"] @ jnp.ones(3), (s, {})), good.evaluate,
                good.train, good.valid, good.test, 4)
def in_ours(): return classification_task(None, {})
def chained():
    try:
        helper(KeyError("first"))
    except KeyError as error:
        raise Mine("second") from error
def optimizer(learning_rate): helper(Mine("in the optimizer"))
def updates(learning_rate):
    return optax.GradientTransformation(lambda p: (), lambda u, s, p=None: helper(Mine("updating")))
"""
SMALL = ["--epochs", "1", "--seeds", "2", "--tuning-seeds", "1"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(OWN)
    return tmp_path / "own.py"


@pytest.mark.parametrize(
    ("task", "optimizers", "last", "place"),
    [
        ("at_once", "sgd", "KeyError: 'nokey'", "at_once"),
        ("value", "sgd", "ValueError: bad value", "value"),
        ("no_words", "sgd", "AssertionError", "no_words"),
        ("of_mine", "sgd", "own.Mine: of mine", "of_mine"),
        ("in_numpy", "sgd", "ValueError: cannot reshape array", "in_numpy"),
        ("in_init", "sgd", "RuntimeError: in init", "<lambda>"),
        ("in_loss", "sgd", "KeyError: 'in loss'", "<lambda>"),
        ("in_evaluate", "sgd", "ZeroDivisionError: in evaluate", "<lambda>"),
        ("in_shapes", "sgd", "TypeError: dot_general requires", "<lambda>"),
        ("in_ours", "sgd", "TypeError: model must be a Flax", "in_ours"),
        ("chained", "sgd", "own.Mine: second", "chained"),
        ("task", "own.py:optimizer", "own.Mine: in the optimizer", "optimizer"),
        ("task", "own.py:updates", "own.Mine: updating", "<lambda>"),
    ],
)
def test_ones_own_code_raises_with_its_own_traceback(own, capsys, task, optimizers, last, place):
    words = ["compare", "--task", f"own.py:{task}", "--optimizers", optimizers, *SMALL]
    assert main(words) == 1
    told = capsys.readouterr().err
    lines = told.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith(f'  File "{own}", line ')
    assert f", in {place}" in told
    assert any(re.sub(r"^own\w+", "own", line).startswith(last) for line in lines), told
    assert lines[-1].startswith("lropt: error: ")
    assert "lropt_jax" + os.sep not in told  # nothing of ours
    assert f"{os.sep}_src{os.sep}" not in told  # nor of JAX's insides
    assert list(own.parent.glob("runs")) == []


def test_a_file_that_python_cannot_read(own, capsys):
    own.write_text("def task():\n    return (\n")
    assert main(["compare", "--task", "own.py:task", *SMALL]) == 1
    told = capsys.readouterr().err
    assert f'  File "{own}", line 2' in told
    assert "SyntaxError: '(' was never closed" in told
    assert "importlib" not in told
    own.write_text("import surely_not_there\n")
    assert main(["compare", "--task", "own.py:task", *SMALL]) == 1
    told = capsys.readouterr().err
    assert f'  File "{own}", line 1, in <module>' in told
    assert told.splitlines()[-1].endswith("No module named 'surely_not_there'")


def test_an_error_of_our_own_is_shown_whole(own, monkeypatch):
    from lropt_jax.commands import catalogue

    ours: dict = {}  # in no file of a user's
    exec("def broken(thing):\n    raise RuntimeError('a fault of ours')", ours)
    monkeypatch.setattr(catalogue, "first_line", ours["broken"])
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main(["list"])


def test_a_file_of_a_package_finds_its_neighbours(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    inner = tmp_path / "mypackage" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").touch()
    (inner.parent / "held.py").write_text("def where():\n    return __name__\n")
    (inner / "own.py").write_text(
        "from ..held import where\nfrom . import next_to_it\nimport next_to_it\n"
    )
    (inner / "next_to_it.py").touch()
    found = imported("--task", "mypackage/inner/own.py:where")
    assert found() == "mypackage.held"
    assert found is imported("--task", "mypackage.inner.own:where")
    # Without its package there are none, and Python says so.
    (inner / "__init__.py").unlink()
    (inner / "again.py").write_text("from . import next_to_it\n")
    assert main(["compare", "--task", "mypackage/inner/again.py:where"]) == 1
    told = capsys.readouterr().err
    assert told.splitlines()[-1].endswith("attempted relative import with no known parent package")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("notes.ipynb:task", "a notebook is no module"),
        ("folder/own:task", "did you mean folder/own.py?"),
        (".own:task", ".own is no name of a module"),
        ("~/surely not there.py:task", "there is no file /"),
    ],
)
def test_what_is_no_module(tmp_path, monkeypatch, name, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "own.py").touch()
    with pytest.raises(ValueError, match=re.escape(says)):
        imported("--task", name)


def test_files_of_one_name_in_two_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "samename.py").write_text(f"def where():\n    return {folder!r}\n")
    (tmp_path / "json.py").write_text("def where():\n    return 'not the standard one'\n")
    found = [imported("--task", f"{f}samename.py:where")() for f in ("a/", "b/", "a/", "b/")]
    assert found == ["a", "b", "a", "b"]
    assert imported("--task", "json.py:where")() == "not the standard one"
    import json

    assert json.loads("1") == 1
    # Nor does it take its place in a worker, which begins with these paths.
    fresh = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path = {sys.path!r}; import json; json.loads('1')"]
    )
    assert fresh.returncode == 0


def lropt(*words, **environment):
    return [sys.executable, "-m", "lropt_jax.cli", *words], {**os.environ, **environment}


@pytest.mark.parametrize("words", [["list"], ["--help"], ["sweep", "--example"], ["compare", "-h"]])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_has_read_enough(words, unbuffered):
    command, environment = lropt(*words, PYTHONUNBUFFERED=unbuffered)
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()  # before a word is written, as `| true` does
    assert process.stderr.read() == b""
    assert process.wait(timeout=120) != 1


def test_without_an_error_stream_the_document_stands_alone(tmp_path):
    command, environment = lropt("find-lr", "--task", "nowhere.py:task", "--json")
    line = f"{shlex.join(command)} 2>&-"
    done = subprocess.run(
        line, shell=True, env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True
    )
    assert done.returncode == 2
    assert "there is no file nowhere.py" in json.loads(done.stdout)["error"]


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_a_terminal_without_our_letters(encoding, tmp_path):
    words = ["schedules", "one_cycle", "--output", str(tmp_path / "one.png")]
    command, environment = lropt(*words, PYTHONIOENCODING=encoding)
    done = subprocess.run(command, env=environment, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"?" in done.stdout
    assert (tmp_path / "one.png").exists()


@pytest.mark.slow
def test_what_was_trained_is_written_before_it_is_shown(tmp_path):
    words = ["find-lr", "--data", "digits", "--steps", "12", "--seeds", "2", "--output"]
    command, environment = lropt(*words, str(tmp_path / "out"), PYTHONIOENCODING="ascii")
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    process.stdout.close()
    told = process.stderr.read()
    process.wait(timeout=300)
    assert b"Traceback" not in told
    assert {p.name for p in (tmp_path / "out").iterdir()} == {
        "range_test.png", "rows.csv", "summary.txt",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "file"),
    [(["schedules", "one_cycle"], "one.png"), (["reproduce", "adamw_propositions"], "claims")],
)
def test_a_full_disk_is_named(tmp_path, words, file):
    """A file may grow to a thousand bytes only, which fails as on a full disk."""
    pytest.importorskip("resource")
    code = (
        "import resource, sys, matplotlib.font_manager\nfrom lropt_jax.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\nsys.exit(main(sys.argv[1:]))"
    )
    words = [*words, "--output", str(tmp_path / file)]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    told = done.stderr.splitlines()[-1]
    assert told.startswith(f"lropt: error: {tmp_path / file}")
    assert told.endswith(": File too large")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", ["0", "-3"])
@pytest.mark.parametrize("which", [["--data", "digits"], ["--task", "own.py:task"]])
def test_a_batch_of_nothing_is_refused(own, capsys, which, size):
    for command in ("compare", "find-lr"):
        assert main([command, *which, "--batch-size", size]) == 2
        told = capsys.readouterr().err
        assert "batch_size must be between 1 and the" in told
        assert f"got {size}" in told


COUNTED = """
import collections, sys, jax
counts = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: counts.update([event.split("/")[-1]]))
from lropt_jax.cli import main
from lropt_jax.commands.own_code import imported
assert main(sys.argv[1:]) == 0
print(counts["cache_hits"], counts["cache_misses"])
"""


@pytest.mark.slow
def test_a_second_start_compiles_nothing(own, tmp_path):
    (tmp_path / "w.toml").write_text(
        '[task]\nfunction = "own.py:task"\n[optimizer]\nname = "sgd"\n[space]\n'
        'learning_rate = [0.1, 0.2]\n[train]\nsteps = 4\nstrategy = "vmap"\n'
    )

    def counted(place, *flags, **environment):
        words = ["sweep", "w.toml", "--directory", place, *flags]
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **environment}
        environment.pop("JAX_ENABLE_COMPILATION_CACHE", None)
        done = subprocess.run(
            [sys.executable, "-c", COUNTED, *words], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return tuple(map(int, done.stdout.splitlines()[-1].split()))

    programs = tmp_path / "cache" / "lropt_jax" / "programs"
    assert counted("none", "--no-cache") == (0, 0)
    assert not programs.exists()
    hits, misses = counted("first")
    assert (hits, misses > 0) == (0, True)
    assert any(programs.iterdir())
    assert counted("second") == (misses, 0)
    # A user's own folder stays theirs.
    assert counted("third", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "theirs"))[0] == 0


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {}, "home/.cache"),
        ("linux", {"XDG_CACHE_HOME": "elsewhere"}, "elsewhere"),
        ("darwin", {}, "home/Library/Caches"),
        ("win32", {"LOCALAPPDATA": "home/Local"}, "home/Local"),
        ("win32", {}, "home/AppData/Local"),
    ],
)
def test_the_users_cache_folder(monkeypatch, platform, environment, folder):
    from lropt_jax.training import remembered

    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "home", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(remembered.sys, "platform", platform)
    assert remembered.cache_folder().as_posix() == f"{folder}/lropt_jax"
