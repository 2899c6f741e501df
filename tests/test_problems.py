"""Every named problem: its data, its net, its metric and the direction of training."""

from __future__ import annotations

import importlib.util
import inspect
import re
from typing import Any

import jax
import numpy as np
import pytest

from lropt_jax import PROBLEMS, Task, adam, fit, problem
from lropt_jax.cli import main
from lropt_jax.problems.catalogue import IN_TURN, METRICS
from lropt_jax.tasks.task import check_task

PACKAGES = {"shuttle": "river", "yeast": "river", "randhie": "statsmodels"}
# Updates, and a rate of Adam's, after which there must be progress.
SETTINGS = {"noisy_quadratic": (100, 0.01), "shuttle": (40, 1e-3), "docs_transformer": (40, 1e-2)}


def _made(name: str, seed: int = 0) -> Task:
    package = PACKAGES.get(name)
    if package and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed")
    return problem(name, seed)


@pytest.mark.parametrize("name", PROBLEMS)
def test_it_trains(name: str) -> None:
    task = _made(name)
    check_task(task)
    assert list(task.splits) == ["train", "valid", "test"]
    for split in task.splits.values():
        arrays = [np.asarray(a) for a in jax.tree.leaves(split)]
        assert all(np.isfinite(a).all() for a in arrays)
        assert all(len(a) == len(arrays[0]) for a in arrays)
    assert METRICS[name] in task.metric_names
    steps, rate = SETTINGS.get(name, (40, 3e-3))
    history = fit(task, adam(rate), steps, eval_every=steps // 2).history
    before = float(_at_the_start(task)["loss"])
    after = history["valid_loss"][-1]
    assert np.isfinite(after)
    assert after < before, (before, after)
    metric = history[f"valid_{METRICS[name]}"]
    assert np.all((metric >= 0) & (metric <= (1 if METRICS[name] == "accuracy" else np.inf)))


def _at_the_start(task: Task) -> Any:
    params, state = jax.jit(task.init)(jax.random.split(jax.random.key(0))[0])
    some = jax.tree.map(lambda a: a[:500], task.valid)
    return {k: v.mean() for k, v in jax.jit(task.evaluate)(params, state, some).items()}


@pytest.mark.parametrize("name", PROBLEMS)
def test_a_seed_is_another_draw_of_as_many_examples(name: str) -> None:
    one, again, other = (_made(name, seed) for seed in (0, 0, 3))
    assert one.num_examples == other.num_examples
    what = (lambda t: t.init(jax.random.key(0))[0]) if name == "noisy_quadratic" else _train
    same, differs = [what(one), what(again)], [what(one), what(other)]
    assert _equal(*same)
    assert not _equal(*differs)


def _equal(one: Any, other: Any) -> bool:
    return all(map(np.array_equal, jax.tree.leaves(one), jax.tree.leaves(other)))


def _train(task: Task) -> Any:
    return task.train


def test_sizes_and_tables_are_as_documented() -> None:
    shuttle = _made("shuttle")
    assert shuttle.num_examples == {"train": 34369, "valid": 4909, "test": 9819}
    share = [float(np.mean(split["y"])) for split in shuttle.splits.values()]
    np.testing.assert_allclose(share, 3511 / 49097, atol=2e-4)
    assert (shuttle.train["x"].min(), shuttle.train["x"].max()) <= (-4000, 15164)
    yeast = _made("yeast")
    assert yeast.num_examples == {"train": 1693, "valid": 241, "test": 483}
    assert yeast.train["y"].shape == (1693, 14)
    visits = _made("randhie")
    assert visits.num_examples == {"train": 14133, "valid": 2019, "test": 4038}
    np.testing.assert_allclose(visits.train["x"].mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(visits.train["x"].std(0), 1, atol=1e-3)
    assert max(float(split["y"].max()) for split in visits.splits.values()) == 77


def test_the_loss_of_counts_is_that_of_scipy() -> None:
    from scipy.stats import poisson

    task = _made("randhie")
    params, state = task.init(jax.random.key(0))
    some = jax.tree.map(lambda a: a[:50], task.train)
    z = np.asarray(task.predict(params, state, some["x"]), float)[:, 0]  # type: ignore[misc]
    expected = -poisson.logpmf(some["y"], np.exp(z))
    np.testing.assert_allclose(task.evaluate(params, state, some)["loss"], expected, rtol=1e-4)


def test_a_transformer_sees_no_later_letters() -> None:
    task = _made("docs_transformer")
    params, state = task.init(jax.random.key(0))
    x = np.array(task.valid["x"][:1])
    changed = x.copy()
    changed[0, 20:] = 0
    one, two = (np.asarray(task.predict(params, state, t)) for t in (x, changed))  # type: ignore[misc]
    np.testing.assert_array_equal(one[0, :20], two[0, :20])
    assert not np.allclose(one[0, 20:], two[0, 20:])


def test_what_each_says() -> None:
    for name, make in PROBLEMS.items():
        doc = inspect.getdoc(make) or ""
        assert "us a step" in doc, name
        assert make.__name__ == name
    assert set(IN_TURN) <= set(PROBLEMS)


@pytest.mark.parametrize("name", PROBLEMS)
def test_what_each_says_of_its_data_is_so(name: str) -> None:
    doc, task = inspect.getdoc(PROBLEMS[name]) or "", _made(name)
    assert f'"{METRICS[name]}"' in doc
    examples = task.num_examples["train"]
    batches = "whole batches" if task.batch_size == examples > 1 else f"batch {task.batch_size}"
    assert name == "noisy_quadratic" or batches in doc  # has no data
    numbers = [int(n.replace(",", "")) for n in re.findall(r"\d[\d,]*(?<!,)", doc)]
    assert any(abs(n - examples) <= 0.01 * examples for n in numbers)  # some are "some 93,000"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("mnist1d",), ["unknown problem 'mnist1d'", "mnist1d_mlp"]),
        (("mnist1d_mlp", -1), ["seed", "-1"]),
        (("mnist1d_mlp", 0.5), ["seed", "0.5"]),
        (("mnist1d_mlp", True), ["seed", "True"]),
    ],
)
def test_bad_arguments_are_one_clear_error(arguments: Any, words: list[str]) -> None:
    with pytest.raises(ValueError) as caught:
        problem(*arguments)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_missing_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    from lropt_jax.problems import tables

    tables._read.cache_clear()
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "river" else find(name)
    )
    with pytest.raises(ImportError, match=r"river: pip install 'lropt-jax\[atlas\]'"):
        problem("shuttle")


def test_the_command_compares_on_one(tmp_path: Any, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["compare", "--problem", "digits_linear"]
    small = ["--epochs", "1", "--seeds", "2", "--tuning-seeds", "1", "--optimizers", "adam"]
    assert main([*words, *small]) == 0
    printed = capsys.readouterr().out
    assert "problem: digits_linear" in printed
    folder = tmp_path / "runs" / "compare-digits_linear"
    assert "--problem digits_linear" in (folder / "report.html").read_text()
    assert main(["list", "problems"]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in PROBLEMS)
    assert main(["compare", "--problem", "digit_linear"]) == 2
    assert "digits_linear" in capsys.readouterr().err
