"""Data that stay on the host: the same training, bit for bit, read ahead in bounded memory."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from lropt_jax import (
    Task,
    adam,
    classification_task,
    compare,
    fit,
    language_model_task,
    log_grid,
    lr_range_test,
    reduce_on_plateau,
    regression_task,
    sgd,
    sweep,
)
from lropt_jax.tasks.mapped import rows_of
from lropt_jax.tasks.models import mlp
from lropt_jax.tasks.sources import Source
from lropt_jax.training import reading, visits
from lropt_jax.training.digests import digest

N, WIDTH = 300, 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, WIDTH)).astype(np.float32)
Y = (X @ RNG.normal(size=WIDTH)).astype(np.float32)


class Batched:
    """Gives examples by an array of numbers."""

    def __init__(self, columns: Any = dict) -> None:
        self.columns, self.threads, self.seen = columns, set(), 0

    def __len__(self) -> int:
        return N

    def __getitem__(self, numbers: Any) -> Any:
        self.threads.add(threading.current_thread().name)
        self.seen += np.size(numbers)
        return {"x": X[numbers], "y": Y[numbers]}


class OneByOne:
    """Gives one example at a time, as grain's sources and torch's data sets do."""

    def __len__(self) -> int:
        return N

    def __getitem__(self, number: Any) -> Any:
        if not isinstance(number, int):
            raise TypeError("one at a time")
        return {"x": X[number].astype(np.float64), "y": float(Y[number])}


class Several(OneByOne):
    """With `__getitems__`, as torch and grain have it for several."""

    def __getitems__(self, numbers: list[int]) -> list[Any]:
        return [self[n] for n in numbers]


class Rows(OneByOne):
    """Rows of lists, which Hugging Face gives torch's loaders."""

    def __getitems__(self, numbers: list[int]) -> list[Any]:
        return [{"x": X[n].tolist(), "y": float(Y[n])} for n in numbers]


class Columns(OneByOne):
    """Columns as lists, as Hugging Face gives them."""

    def __getitem__(self, numbers: Any) -> Any:
        return {"x": X[numbers].tolist(), "y": Y[numbers].tolist()}


def _mapped(folder: Any) -> Any:
    for name, array in (("x", X), ("y", Y)):
        array.tofile(folder / name)
    return {
        "x": np.memmap(folder / "x", np.float32, "r", shape=X.shape),
        "y": np.memmap(folder / "y", np.float32, "r", shape=Y.shape),
    }


def _task(train: Any, **changes: Any) -> Task:
    def error(w: Any, batch: Any) -> Any:
        return (batch["x"] @ w - batch["y"]) ** 2

    fields: dict[str, Any] = {
        "init": lambda key: (jax.random.normal(key, (WIDTH,)), {}),
        "loss": lambda w, s, batch, key: (error(w, batch).mean(), (s, {})),
        "evaluate": lambda w, s, batch: {"loss": error(w, batch)},
        "valid": {"x": X[:50], "y": Y[:50]},
        "batch_size": 16,
    }
    return Task(train=train, **(fields | changes))


ARRAYS = {"x": X, "y": Y}


@pytest.fixture(params=["memmap", "half", "Batched", "OneByOne", "Several", "Rows", "Columns"])
def source(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """The same data in every form that stays on the host."""
    if request.param in ("memmap", "half"):
        mapped = _mapped(tmp_path)
        return mapped if request.param == "memmap" else {**mapped, "y": Y}
    kinds: list[Any] = [Batched, OneByOne, Several, Rows, Columns]
    return {kind.__name__: kind for kind in kinds}[request.param]()


def _same(one: Any, other: Any) -> None:
    jax.tree.map(np.testing.assert_array_equal, one, other)


def test_a_fit_is_the_same_to_the_bit(source: Any) -> None:
    """Over epochs' ends, with microbatches and a schedule that observes."""
    plain, hosted = _task(ARRAYS), _task(source)
    assert isinstance(hosted.train, Source)
    assert hosted.num_examples == plain.num_examples
    for arguments in ({}, {"accumulate": 3}):
        tx = adam(reduce_on_plateau(0.1, patience=0))
        one, other = (fit(t, tx, 60, eval_every=13, **arguments) for t in (plain, hosted))
        _same((one.params, one.history), (other.params, other.history))


@pytest.mark.parametrize("strategy", ["vmap", "map", "map:2"])
def test_a_sweep_is_the_same_to_the_bit(strategy: str, tmp_path: Any) -> None:
    """Lanes of three seeds, two devices, more lanes than places, one that diverges."""
    plain, hosted = _task(ARRAYS), _task(_mapped(tmp_path))
    space = {"learning_rate": [1e-3, 1e-2, 1e9, 0.05]}
    one, other = (
        sweep(t, sgd, space, seeds=3, steps=45, eval_every=10, strategy=strategy, width=4,
              progress=False)
        for t in (plain, hosted)
    )  # fmt: skip
    _same(one.values, other.values)
    assert (one.status == other.status).all()


def test_a_range_test_is_the_same_to_the_bit(tmp_path: Any) -> None:
    one, other = (
        lr_range_test(_task(data), sgd, 1e-4, 1, steps=40, seeds=3)
        for data in (ARRAYS, _mapped(tmp_path))
    )
    _same(one.losses, other.losses)


def test_a_small_room_changes_no_bit(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """As when examples are large: a segment of one update, evaluations in parts."""
    plain = fit(_task(ARRAYS), sgd(0.05), 41, eval_every=20)
    for module in (visits, reading):
        monkeypatch.setattr(module, "READ_BYTES", 1000)
    mapped = _mapped(tmp_path)
    hosted = _task(mapped, valid={k: v[:50] for k, v in mapped.items()})
    result = fit(hosted, sgd(0.05), 41, eval_every=20)
    _same(
        (plain.params, plain.history["train_loss"]), (result.params, result.history["train_loss"])
    )
    np.testing.assert_allclose(result.history["valid_loss"], plain.history["valid_loss"], rtol=1e-6)
    np.testing.assert_allclose(
        result.evaluate("train")["loss"], plain.evaluate("train")["loss"], rtol=1e-6
    )


def test_evaluations_in_parts_summarize_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    model = mlp((8, 1))
    plain = regression_task(model, {"train": (X, Y), "valid": (X, Y)}, 16)
    hosted = regression_task(model, {"train": Batched(), "valid": Batched()}, 16)
    result = fit(plain, adam(0.01), 50)
    monkeypatch.setattr(reading, "READ_BYTES", 1000)
    space = {"learning_rate": [0.01]}
    found = sweep(hosted, adam, space, steps=50, seeds=[0], progress=False, strategy="map")
    again = sweep(plain, adam, space, steps=50, seeds=[0], progress=False, strategy="map")
    for name in ("valid_loss", "valid_r2"):
        np.testing.assert_allclose(found.values[name], again.values[name], rtol=1e-4)
    assert result.history["valid_r2"][-1] > 0


def test_examples_are_read_in_a_thread_and_once_for_all_lanes() -> None:
    source = Batched()
    task = _task(source)
    source.threads.clear()
    source.seen = 0
    space = {"learning_rate": log_grid(1e-3, 1e-2, 8)}
    sweep(task, sgd, space, seeds=2, steps=18, progress=False, strategy="vmap", devices=1)
    assert all(name.startswith("lropt-data") for name in source.threads)
    assert source.seen <= 2 * 18 * 16 + 1  # two seeds, not sixteen lanes


def test_what_goes_wrong_in_the_thread_is_raised() -> None:
    class Broken(OneByOne):
        def __getitem__(self, number: Any) -> Any:
            if number > 5:
                raise OSError("the disk is gone")
            return super().__getitem__(number)

    with pytest.raises(OSError, match="the disk is gone"):
        fit(_task(Broken()), sgd(0.1), 20)


def test_it_survives_cloudpickle_without_its_data(tmp_path: Any) -> None:
    mapped = _mapped(tmp_path)
    task = _task({k: v[10:] for k, v in mapped.items()})
    sent = cloudpickle.dumps(task)
    copy = cloudpickle.loads(sent)
    assert isinstance(jax.tree.leaves(copy.train.given)[0], np.memmap)
    _same(fit(copy, sgd(0.1), 20).params, fit(task, sgd(0.1), 20).params)
    assert len(cloudpickle.dumps(task.train)) < X.nbytes / 4


def test_a_directory_knows_its_data(tmp_path: Any) -> None:
    mapped = _mapped(tmp_path)
    one, again, other = (
        digest(_task(d).splits) for d in (mapped, dict(mapped), {**mapped, "y": mapped["y"][::-1]})
    )
    assert one == again != other
    assert digest(Source("train", Batched())) == digest(Source("train", Batched()))


def test_ready_tasks_take_sources(tmp_path: Any) -> None:
    labels = (Y > 0).astype(np.int64)

    class Labelled(Batched):
        def __getitem__(self, numbers: Any) -> Any:
            return X[numbers], labels[numbers]

    model = mlp((8, 2))
    hosted = classification_task(model, {"train": Labelled(), "valid": (X, labels)}, 16)
    plain = classification_task(model, {"train": (X, labels), "valid": (X, labels)}, 16)
    one, other = (fit(t, adam(0.01), 40) for t in (plain, hosted))
    _same((one.params, one.history), (other.params, other.history))
    np.arange(4000, dtype=np.uint16).__mod__(7).tofile(tmp_path / "tokens")
    tokens = np.memmap(tmp_path / "tokens", np.uint16, "r")
    from flax import linen as nn

    model = nn.Sequential([nn.Embed(7, 8), nn.Dense(7)])
    hosted = language_model_task(model, tokens, 10, 8)
    assert isinstance(hosted.train, Source)
    plain = language_model_task(model, np.asarray(tokens), 10, 8)
    one, other = (fit(t, adam(0.05), 40) for t in (plain, hosted))
    _same((one.params, one.history), (other.params, other.history))


def test_labels_on_the_host_are_checked_as_they_are_read(tmp_path: Any) -> None:
    labels = np.zeros(N, np.int64)
    labels[2] = 7  # not among the few that are looked at beforehand
    labels.tofile(tmp_path / "labels")
    mapped = np.memmap(tmp_path / "labels", np.int64, "r")
    task = classification_task(mlp((2,)), (X, mapped), 10)
    with pytest.raises(ValueError, match=r"labels must be in \[0, 2\).*0 to 7"):
        fit(task, sgd(0.1), epochs=1)
    with pytest.raises(ValueError, match="class_weights must be weights"):
        classification_task(mlp((2,)), (X, mapped), 16, class_weights="balanced")


TRAINS = """
import re, sys
import numpy as np
import lropt_jax as lr

def peak():
    return int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

x = np.memmap(sys.argv[1], np.float32, "r", shape=(40_000, 784))
data = {"train": {"x": x, "y": np.arange(len(x)) % 10}}
task = lr.classification_task(lr.mlp((4, 10)), data, batch_size=256)
for updates in (200, 200, 1500):
    lr.fit(task, lr.sgd(0.1), updates, eval_every=updates // 2)
    print(peak())
"""


@pytest.mark.slow
def test_memory_grows_neither_with_the_file_nor_with_the_updates(tmp_path: Any) -> None:
    """A process of its own, whose peak is that of everything that counts as its memory."""
    if not pathlib.Path("/proc/self/status").exists():
        pytest.skip("no /proc")
    with open(tmp_path / "x", "wb") as file:
        for _ in range(40):
            file.write(RNG.normal(size=(1_000, 784)).astype(np.float32).tobytes())
    command = [sys.executable, "-c", TRAINS, str(tmp_path / "x")]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    _, few, many = map(float, out.split())
    assert many - few < 60, out  # MB; the file has 120, and 1,200 are read


LAYOUTS = {
    "a part": lambda file: file[7:91],
    "every third": lambda file: file[::3],
    "backwards": lambda file: file[::-1],
    "columns": lambda file: file[:, :3],
    "one column": lambda file: file[:, 4],
    "turned": lambda file: file.T,
    "by columns": lambda file: file.reshape(-1, order="A").reshape(6, -1).T,
    "in three axes": lambda file: file.reshape(-1, 2, 3),
    "windows": lambda file: np.lib.stride_tricks.sliding_window_view(file.ravel(), 5),
    "every second window": lambda file: np.lib.stride_tricks.sliding_window_view(file.ravel(), 3)[
        ::2
    ],
    "one for all": lambda file: np.broadcast_to(file[:1], (20, WIDTH)),
    "other bytes": lambda file: file.view(np.int16),
    "no numbers": lambda file: file[:, :0],
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("mode", ["r", "r+", "c"])
def test_rows_of_a_file_are_those_of_the_array(tmp_path: Any, mode: Any, layout: str) -> None:
    np.concatenate([np.zeros(3, np.float32), X.ravel()]).tofile(tmp_path / "x")
    file = np.memmap(tmp_path / "x", np.float32, mode, offset=12, shape=X.shape)
    if mode != "r":
        file[5] = 7.0
    array = LAYOUTS[layout](file)
    read = rows_of(array)
    for numbers in (
        [0],
        [0, 1, 2, 3],
        [0, 1, 3],
        [1, 4, 5],
        range(len(array)),
        range(0, len(array), 2),
    ):
        numbers = np.array(numbers)
        np.testing.assert_array_equal(read(numbers), array[numbers])
    assert read(np.zeros(0, int)).shape == (0, *array.shape[1:])


@pytest.mark.parametrize("what", ["gone", "another", "before"])
def test_a_file_that_is_replaced_is_read_by_its_mapping(tmp_path: Any, what: str) -> None:
    X.tofile(tmp_path / "x")
    file = np.memmap(tmp_path / "x", np.float32, "r", shape=X.shape)
    read = rows_of(file)
    (tmp_path / "x").unlink()
    if what != "gone":
        (-X).tofile(tmp_path / "x")
    if what == "before":
        read = rows_of(file)
    np.testing.assert_array_equal(read(np.arange(5)), X[:5])


def test_a_file_that_was_cut_is_named(tmp_path: Any) -> None:
    X.tofile(tmp_path / "x")
    read = rows_of(np.memmap(tmp_path / "x", np.float32, "r", shape=X.shape))
    os.truncate(tmp_path / "x", X.nbytes // 2)
    with pytest.raises(OSError, match=r"/x has become shorter"):
        read(np.arange(N))


def _endless() -> Iterator[Any]:
    while True:
        yield {"x": X[0], "y": Y[0]}


class Loader:
    """What torch's DataLoader looks like."""

    dataset = OneByOne()

    def __len__(self) -> int:
        return 10

    def __iter__(self) -> Any:
        return _endless()


class Short(Batched):
    """Fewer targets than inputs."""

    def __getitem__(self, numbers: Any) -> Any:
        return {"x": X[numbers], "y": Y[numbers][1:]}


class Words(OneByOne):
    """Examples that are no numbers."""

    def __getitem__(self, number: Any) -> Any:
        return {"x": "a word", "y": 1.0}


class Empty(Batched):
    """Nothing."""

    def __len__(self) -> int:
        return 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("train", "words"),
    [
        (Loader(), ["train is a Loader", "order of its own", "loader.dataset"]),
        (_endless(), ["train is a generator", "order of its own", "len()"]),
        (iter([1, 2]), ["list_iterator", "numpy.memmap"]),
        (Short(), ["train is a Short", "cannot be read"]),
        (Words(), ["train", "numbers"]),
        (Empty(), ["train", "0"]),
    ],
)
def test_what_cannot_be_read_at_random_is_refused_with_the_way(
    train: Any, words: list[str]
) -> None:
    with pytest.raises(ValueError) as caught:
        _task(train)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    with pytest.raises(ValueError):
        regression_task(mlp((1,)), train)


def test_examples_of_splits_must_be_alike() -> None:
    with pytest.raises(ValueError, match="an example of valid"):
        _task(Batched(), valid={"x": X[:, :3], "y": Y})


def test_other_splits_of_a_source_are_refused(tmp_path: Any) -> None:
    valid = {"x": X, "y": Y}
    task = _task(_mapped(tmp_path), valid=valid, test=valid)
    with pytest.raises(ValueError, match="stay on the host"):
        compare(
            task, {"sgd": (sgd, {"learning_rate": [0.1]})}, steps=4, seeds=2, tuning_seeds=1,
            splits=2, progress=False,
        )  # fmt: skip
    assert jnp.isfinite(fit(task, sgd(0.01), 2).evaluate("test")["loss"])
