"""The commands on published data in a folder, from their real formats to a report."""

from __future__ import annotations

import argparse

import jax
import numpy as np
import pytest

from lropt_jax.cli import main
from lropt_jax.commands.problem import add_arguments, arguments, problem
from lropt_jax.tasks.data import Dataset
from lropt_jax.tasks.data.augmentation import SHIFT, crop_and_flip, standardized
from tests.test_data import _made_up, _write_cifar, _write_cifar_binary, _write_idx

SHORT = ["--seeds", "2", "--tuning-seeds", "1", "--optimizers", "momentum"]


def options(*words):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(words)


def test_every_image_is_a_shifted_or_mirrored_one():
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 2, (40, 6, 5, 3)).astype(np.float32)
    batch = {"x": x, "y": np.arange(40)}
    made = crop_and_flip(batch, jax.random.key(1))
    assert made["y"] is batch["y"]
    padded = np.pad(x, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
    seen = set()
    for i, image in enumerate(np.asarray(made["x"])):
        found = [
            (top, left, side)
            for top in range(2 * SHIFT + 1) for left in range(2 * SHIFT + 1) for side in (1, -1)
            if np.array_equal(image, padded[i, top : top + 6, left : left + 5][:, ::side])
        ]  # fmt: skip
        assert found
        seen.add(found[0])
    assert len(seen) > 20  # each on its own
    assert {side for _, _, side in seen} == {1, -1}
    again = crop_and_flip(batch, jax.random.key(1))["x"]
    np.testing.assert_array_equal(made["x"], again)
    assert not np.array_equal(again, crop_and_flip(batch, jax.random.key(2))["x"])


def test_channels_are_standardized_by_the_training_split():
    rng = np.random.default_rng(0)
    splits = [{"x": rng.normal(3, 2, (50, 4, 4, 3)), "y": np.zeros(50)} for _ in range(3)]
    splits[0]["x"][..., 2] = 7.0  # a channel that says nothing
    done = standardized(Dataset(*splits))
    np.testing.assert_allclose(done.train["x"].mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(done.train["x"].std((0, 1, 2)), [1, 1, 0], atol=1e-5)
    x, test = splits[0]["x"][..., 0], splits[2]["x"][..., 0]
    np.testing.assert_allclose(done.test["x"][..., 0], (test - x.mean()) / x.std(), atol=1e-5)


def test_cifar_is_augmented_and_trains_for_two_hundred_epochs(tmp_path):
    _write_cifar_binary(tmp_path / "c", _made_up("cifar10"))
    words = ["--data", "cifar10", "--folder", str(tmp_path / "c"), "--model", "resnet18"]
    given = problem(options(*words))
    assert given.task.batch_size == 128
    assert given.epochs == 200
    assert given.words["data"] == "cifar10, shifted and mirrored"
    assert jax.eval_shape(given.task.init, jax.random.key(0))[1]["batch_stats"]
    task = problem(options(*words[:-1], "mlp")).task
    params, state = task.init(jax.random.key(0))
    batch = {name: value[:8] for name, value in task.train.items()}
    losses = [task.loss(params, state, batch, jax.random.key(i))[0] for i in (1, 1, 2)]
    assert losses[0] == losses[1] != losses[2]
    assert arguments(options(*words)) == words


def test_digits_of_a_folder_are_neither_augmented_nor_long(tmp_path):
    _write_idx(tmp_path / "m", _made_up("mnist"), zipped=True)
    given = problem(options("--data", "mnist", "--folder", str(tmp_path / "m")))
    assert given.epochs is None
    assert given.words["data"] == "mnist"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "cifar10"], "cifar10 needs --folder"),
        (["--data", "digits", "--folder", "."], "digits has no files"),
        (["--data", "mnist", "--folder", "nowhere"], "no files of 'mnist' in nowhere"),
    ],
)
def test_what_is_missing_is_said(words, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        problem(options(*words))


def test_a_comparison_on_idx_files(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _write_idx(tmp_path / "MNIST" / "raw", _made_up("mnist"), zipped=True)
    words = ["--data", "mnist", "--folder", ".", "--epochs", "2", "--batch-size", "60", *SHORT]
    assert main(["compare", *words]) == 0
    printed = capsys.readouterr().out
    assert "data: mnist" in printed
    assert (tmp_path / "runs" / "compare-mnist" / "report.html").exists()


@pytest.mark.slow
def test_a_residual_net_on_cifar_files_over_all_devices(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = {name: (x[:50], y[:50]) for name, (x, y) in _made_up("cifar10").items()}
    _write_cifar_binary(tmp_path / "cifar-10-batches-bin", small)
    words = ["--data", "cifar10", "--folder", str(tmp_path), "--model", "resnet18"]
    short = ["--schedule", "step", "--epochs", "1", "--batch-size", "20", *SHORT, "--trials", "1"]
    assert main(["compare", *words, *short]) == 0
    printed = capsys.readouterr().out
    assert "cifar10, shifted and mirrored" in printed
    page = (tmp_path / "runs" / "compare-cifar10-resnet18" / "report.html").read_text()
    assert "--folder" in page
    assert "--schedule step" in page


def test_pickles_and_the_binary_version_are_one_data_set(tmp_path):
    small = _made_up("cifar10")
    x, y = small["train"]
    order = np.concatenate([np.arange(len(x))[i::5] for i in range(5)])
    _write_cifar_binary(tmp_path / "b", small)
    _write_cifar(tmp_path / "p", {**small, "train": (x[order], y[order])})
    one, other = (
        problem(options("--data", "cifar10", "--folder", str(tmp_path / f))).task for f in "bp"
    )
    for split in ("train", "valid", "test"):
        np.testing.assert_array_equal(getattr(one, split)["x"], getattr(other, split)["x"])
