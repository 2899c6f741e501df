"""The names and signatures that a person sees: in Python, in an editor, in a type checker."""

from __future__ import annotations

import ast
import inspect
import pathlib
import subprocess
import sys
import types

import pytest

import lropt_jax

ROOT = pathlib.Path(lropt_jax.__file__).parents[1]
OF_FLAX = {"models", "mlp", "cnn", "vgg11", "resnet18"}


def test_what_is_listed_is_public_and_there():
    assert lropt_jax.__all__ == sorted(lropt_jax.__all__)
    assert [n for n in dir(lropt_jax) if not n.startswith("__")] == lropt_jax.__all__
    assert set(lropt_jax.__all__) >= OF_FLAX | {"plot_schedules", "adam", "Task", "OPTIMIZERS"}
    for name in lropt_jax.__all__:
        thing = getattr(lropt_jax, name)
        assert not isinstance(thing, types.ModuleType) or name == "models"
        ours = getattr(thing, "__module__", "lropt_jax").startswith("lropt_jax")
        assert ours or isinstance(thing, dict), f"{name} is not ours"
    namespace: dict[str, object] = {}
    exec("from lropt_jax import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(lropt_jax.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'adamm'"):
        _ = lropt_jax.adamm


def test_what_is_loaded_later_is_what_a_type_checker_sees():
    tree = ast.parse(pathlib.Path(lropt_jax.__file__).read_text())
    (block,) = [
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "_typing.TYPE_CHECKING"
    ]
    seen: dict[str, list[str]] = {}
    for line in block.body:
        assert isinstance(line, ast.ImportFrom)
        for alias in line.names:
            room = f"{line.module}.models" if alias.name == "models" else str(line.module)
            seen.setdefault(room, []).append(alias.name)
    assert {k: sorted(v) for k, v in seen.items()} == {
        k: sorted(v) for k, v in lropt_jax._LATER.items()
    }


def test_an_optimizer_is_there_without_whole_experiments():
    code = """
import sys, lropt_jax as lr
tx, decay, trained = lr.adamw(1e-3), lr.cosine_decay(0.1, 10), lr.fit
rooms = {m.split(".")[1] for m in sys.modules if m.startswith("lropt_jax.")}
print(*rooms & {"sweeps", "comparisons", "atlas", "tuning", "problems", "range_tests"})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.parametrize("name", lropt_jax.SCHEDULES)
def test_a_schedules_count_is_not_its_callers(name):
    pytest.importorskip("jedi")
    import jedi

    names = list(inspect.signature(getattr(lropt_jax, name)).parameters)
    assert not {"count", "state"} & set(names)
    source = f"import lropt_jax\nlropt_jax.{name}("
    project = jedi.Project(str(ROOT))
    read = jedi.Script(source, project=project).get_signatures()  # an editor: the code is read
    run = jedi.Interpreter(source.splitlines()[1], [{"lropt_jax": lropt_jax}]).get_signatures()
    for (signature,) in (read, run):
        assert [p.name for p in signature.params] == names


def test_what_an_editor_completes():
    pytest.importorskip("jedi")
    import jedi

    script = jedi.Script("import lropt_jax\nlropt_jax.", project=jedi.Project(str(ROOT)))
    offered = {c.name for c in script.complete() if not c.name.startswith("_")}
    rooms = {p.name for p in (ROOT / "lropt_jax").iterdir() if p.suffix in ("", ".py")}
    assert set(lropt_jax.__all__) <= offered
    assert offered - set(lropt_jax.__all__) <= {pathlib.Path(room).stem for room in rooms}


USER = """
import lropt_jax as lr
from lropt_jax import cosine_decay, fit

model = lr.mlp((8, 10), dropout=0.1)
task = lr.classification_task(model, lr.load_data("digits"), batch_size=64)
same = lr.models.mlp((8, 10))
decay: lr.Schedule = cosine_decay(0.1, decay_steps=100)
lr.plot_schedules({"decay": decay, "constant": 0.1}, log=True)
history = fit(task, lr.adamw(decay), steps=100).history["valid_loss"].tolist()
peaks: list[float] = [lr.constant(0.1).arguments["value"]]


@lr.schedule
def halving(count: float, init_value: float, every: int = 10) -> float:
    return init_value - count / every


schedule: lr.Schedule = halving(0.1, every=5)
result: lr.SweepResult = lr.sweep(task, lr.sgd, {"learning_rate": lr.log_grid(0.01, 1.0, 3)})
lr.adamm  # type: ignore[attr-defined]
cosine_decay(0, 0.1, 10, 3, 4)  # type: ignore[call-arg]
halving(count=3, init_value=0.1)  # type: ignore[call-arg]
"""


@pytest.mark.slow
def test_a_users_file_type_checks(tmp_path):
    pytest.importorskip("mypy")
    path = tmp_path / "user.py"
    path.write_text(USER)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), path],
        cwd=tmp_path,
        env={"PATH": "", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    # Each `ignore` stands for an error: one that is not needed is an error itself.
    assert done.stdout == "Success: no issues found in 1 source file\n", done.stdout + done.stderr
