"""What the base install does without its extras: it works, or names the extra before the work."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys
import warnings

import pytest

from lropt_jax.validation import installed, require

# Everything that the extras bring: an import of one of these fails as where it is not installed.
BARE = """
import concurrent.futures, importlib.abc, json, sys, tempfile
FOLDER = tempfile.mkdtemp()
EXTRAS = {
    "cloudpickle", "dask", "datasets", "distributed", "equinox", "flax", "jinja2", "matplotlib",
    "mlxtend", "mnist1d", "optuna", "orbax", "pandas", "pyarrow", "rich", "sklearn",
    "tensorboardX", "torch", "xarray",
}
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())

import jax, numpy as np
import lropt_jax as lr
from lropt_jax.cli import main
x = np.random.default_rng(0).normal(size=(16, 2)).astype("f4")
split = {"x": x, "y": x.sum(axis=1)}
error = lambda w, b: (b["x"] @ w - b["y"]) ** 2
def stop(key):
    assert isinstance(key, jax.core.Tracer) or not refused, "it trained before it refused"
    return jax.numpy.zeros(2), {}
refused = True
task = lr.Task(
    stop, lambda w, s, b, k: (error(w, b).mean(), (s, {})),
    lambda w, s, b: {"loss": error(w, b)}, split, split, split, 4,
)
rates = {"learning_rate": [0.1, 0.01]}
quiet = {"steps": 4, "progress": False}
import tempfile
kept = tempfile.mkdtemp()
said = {}
for name, case in CASES.items():
    try:
        refused = name in REFUSED
        said[name] = repr(eval(case))
    except BaseException as e:
        said[name] = f"{type(e).__name__}: {e}"
print(json.dumps(said))
"""

# What needs an extra, and the words that name it.
REFUSED = {
    "lr.models": "lropt_jax.models needs flax: pip install 'lropt-jax[flax]'",
    "lr.mlp((8, 2))": "lropt_jax.models needs flax: pip install 'lropt-jax[flax]'",
    "lr.classification_task(lambda rngs: None, {'train': {'x': x, 'y': np.zeros(16, int)}})": (
        "a model needs flax: pip install 'lropt-jax[flax]'"
    ),
    "lr.load_data('digits')": "'digits' needs sklearn: pip install 'lropt-jax[data]'",
    "lr.load_data('mnist1d')": "'mnist1d' needs mnist1d: pip install 'lropt-jax[data]'",
    "lr.compare(task, {'sgd': (lr.sgd, rates)}, **quiet)": (
        "a comparison needs pandas: pip install 'lropt-jax[report]'"
    ),
    "lr.search(task, lr.sgd, {'learning_rate': lr.uniform(0.1, 1)}, 4, **quiet)": (
        "search needs optuna: pip install 'lropt-jax[search]'"
    ),
    "lr.sweep(task, lr.sgd, rates, executor=concurrent.futures.ThreadPoolExecutor(), **quiet)": (
        "executor= needs cloudpickle: pip install 'lropt-jax[sweeps]'"
    ),
    "lr.plot_schedules(lr.constant(1.0))": (
        "a figure needs matplotlib: pip install 'lropt-jax[report]'"
    ),
}
WORKS = {
    "lr.fit(task, lr.sgd(0.1), 4).history['train_loss'].shape": "(1,)",
    "lr.sweep(task, lr.sgd, rates, **quiet).status.shape": "(2, 1)",
    "lr.sweep(task, lr.sgd, rates, steps=4).status.shape": "(2, 1)",
    "[lr.sweep(task, lr.sgd, rates, directory=kept, **quiet).best().trial for _ in (1, 2)]": (
        "[0, 0]"
    ),
    "lr.sweep(task, lr.sgd, rates, directory=FOLDER, **quiet).model_steps": "8",
    "lr.load_sweep(FOLDER).best().trial": "0",
    "lr.lr_range_test(task, lr.sgd, steps=5, seeds=2).losses.shape": "(2, 5)",
    "exec('from lropt_jax import *') or 'mlp' in lr.__all__": "False",
    "lr.fit(task, lr.sgd(0.1), 4, watch='sharpness').history['sharpness'].shape": "(1,)",
    "main(['list'])": "0",
    "main(['sweep', '--example'])": "0",
}
# Only after the work: what is read off a result. The result is still there.
READ = {
    "lr.sweep(task, lr.sgd, rates, **quiet).to_pandas()": "'lropt-jax[sweeps]'",
    "lr.sweep(task, lr.sgd, rates, **quiet).to_xarray()": "'lropt-jax[sweeps]'",
    "lr.sweep(task, lr.sgd, rates, **quiet).budget_curve()": "'lropt-jax[sweeps]'",
    "lr.sweep(task, lr.sgd, rates, **quiet).plot_curves()": "'lropt-jax[report]'",
    "lr.lr_range_test(task, lr.sgd, steps=5, seeds=2).to_pandas()": "'lropt-jax[report]'",
    "lr.lr_range_test(task, lr.sgd, steps=5, seeds=2).plot()": "'lropt-jax[report]'",
}
COMMANDS = {
    "find-lr": "lropt find-lr needs pandas: pip install 'lropt-jax[all]'",
    "compare": "lropt compare needs matplotlib: pip install 'lropt-jax[all]'",
}


def bare(code, **given):
    """Runs `code` where no extra is installed."""
    words = "".join(f"{name} = {value!r}\n" for name, value in given.items())
    return subprocess.run([sys.executable, "-c", words + code], capture_output=True, text=True)


@pytest.fixture(scope="module")
def said():
    cases = {case: case for case in (*REFUSED, *WORKS, *READ)}
    done = bare(BARE, CASES=cases, REFUSED=list(REFUSED))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("case", REFUSED)
def test_the_extra_is_named_before_the_work(said, case):
    assert said[case] == f"ImportError: {REFUSED[case]}"


@pytest.mark.parametrize("case", WORKS)
def test_what_needs_no_extra_works(said, case):
    assert said[case] == WORKS[case]


@pytest.mark.parametrize("case", READ)
def test_what_is_read_off_a_result_names_the_extra(said, case):
    assert said[case].startswith("ImportError: ")
    assert READ[case] in said[case]


def test_a_command_names_the_extra_before_the_work(tmp_path):
    prelude = BARE.partition("x = np")[0]
    commands = [["find-lr", "--data", "digits"], ["compare", "--data", "digits"]]
    done = bare(
        f"{prelude}import os\nos.chdir({str(tmp_path)!r})\n"
        f"print([main(words) for words in {commands!r}], os.listdir('.'))"
    )
    assert done.stdout.strip().endswith("[2, 2] []"), done.stdout + done.stderr
    assert done.stderr.splitlines() == [f"lropt: error: {words}" for words in COMMANDS.values()]


# How a package fails that is there: of the wrong release, for another machine, half removed.
BROKEN = {
    "ImportError": "raise ImportError('cannot import name mutable_array')",
    "ModuleNotFoundError": "import what_the_package_itself_lacks",
    "AttributeError": "import jax.core; jax.core.NoLonger",
    "OSError": "raise OSError('libgone.so: cannot open shared object file')",
}


def fake(folder: pathlib.Path, name: str, code: str) -> None:
    """A package whose import runs `code`."""
    inner = folder.joinpath(*name.split("."))
    inner.mkdir(parents=True)
    (inner / "__init__.py").write_text(code)


@pytest.mark.parametrize("name", ["fake_package", "fake_space.inner"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_package_that_is_there_and_fails_says_why(tmp_path, monkeypatch, kind, name):
    fake(tmp_path, name, BROKEN[kind])
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed(name)
    with pytest.raises(ImportError) as caught:
        require("a figure", "report", name)
    words = f"a figure needs {name}, which is installed but cannot be imported: {kind}: "
    assert str(caught.value).startswith(words)
    assert type(caught.value.__cause__).__name__ == kind
    assert "pip install" not in str(caught.value)


def test_tqdm_does_not_ask_for_widgets_in_the_name_of_a_figure(tmp_path, monkeypatch):
    fake(tmp_path, "fake_optuna", "import warnings; warnings.warn('IProgress not found. Please')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        require("a figure", "report", "fake_optuna")


def test_a_part_whose_parent_fails_is_not_said_to_be_missing(tmp_path, monkeypatch):
    fake(tmp_path, "fake_parent", BROKEN["ImportError"])
    (tmp_path / "fake_parent" / "part.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert installed("fake_parent.part")
    assert not installed("fake_parent.other")
    assert not installed("fake_parent.part.deeper")
    with pytest.raises(ImportError, match="cannot import name mutable_array"):
        require("a figure", "report", "fake_parent.part")


@pytest.mark.parametrize(
    ("package", "case"),
    [
        ("flax", "lr.mlp((8, 2))"),
        ("flax", "lr.classification_task(lambda rngs: None, {})"),
        ("flax.nnx", "lr.classification_task(lambda rngs: None, {})"),
        ("equinox", "lr.classification_task(lambda key: None, {})"),
        ("sklearn", "lr.load_data('digits')"),
        ("pandas", "lr.compare(None, {})"),
        ("pandas", "main(['find-lr', '--data', 'digits'])"),
        ("datasets", "lr.load_data('mnist', hub=True)"),
    ],
)
def test_whatever_needs_it_says_why_it_cannot_be_imported(tmp_path, package, case):
    fake(tmp_path, package, BROKEN["ImportError"])
    (tmp_path / package.partition(".")[0] / "__init__.py").touch()
    done = bare(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        f"import lropt_jax as lr\nfrom lropt_jax.cli import main\n{case}"
    )
    said = done.stderr.splitlines()[-1]
    assert f"needs {package}, which is installed but cannot be imported" in said, done.stderr
    assert said.endswith("ImportError: cannot import name mutable_array")
