"""Published image sets as raw arrays: from files in a folder, or from a hub."""

from __future__ import annotations

import contextlib
import gzip
import math
import os
import pickle
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from lropt_jax.validation import importable

Pair = tuple[np.ndarray, np.ndarray]


class Published(NamedTuple):
    """Where a published data set is found, and the shape of its images."""

    shape: tuple[int, int, int]
    subfolders: tuple[str, ...]
    read: Callable[[Path], tuple[Pair, Pair] | None]
    repository: str


def read_folder(name: str, folder: str | os.PathLike[str]) -> tuple[Pair, Pair]:
    """(train, test), each images in [0, 1] of shape (N, height, width, channels) and labels.

    Raises:
      FileNotFoundError: when neither the folder nor its usual subfolders have the files.
      ValueError: for files of another form.
    """
    source, root = PUBLISHED[name], Path(folder)
    places = [root, *(root / sub for sub in source.subfolders)]
    for place in places:
        found = source.read(place) if place.is_dir() else None
        found = found or _read_npz(name, place)
        if found is not None:
            with _reading(place, f"form of {name!r}"):
                train, test = (_images(name, *pair) for pair in found)
            return train, test
    raise FileNotFoundError(
        f"no files of {name!r} in {', '.join(map(str, places))}: looked for {source.read.__doc__} "
        f"and {name}.npz with x_train, y_train, x_test, y_test"
    )


def read_hub(name: str, repository: bool | str) -> tuple[Pair, Pair]:
    """The same from the Hugging Face hub, or from its cache.

    Raises:
      ImportError: without the package `datasets`.
      ValueError: when the repository has other columns.
    """
    importable(
        f"{name!r} from a hub", "datasets", "pip install datasets pillow; or give folder=..."
    )
    import datasets

    path = PUBLISHED[name].repository if repository is True else repository

    def split(which: str) -> Pair:
        rows = datasets.load_dataset(path, split=which).with_format("numpy")[:]
        image = next((column for column in ("image", "img") if column in rows), None)
        if image is None or "label" not in rows:
            raise ValueError(
                f"{path} must have the columns image or img, and label; has {', '.join(rows)}"
            )
        return _images(name, np.asarray(rows[image]), np.asarray(rows["label"]))

    return split("train"), split("test")


def _images(name: str, x: np.ndarray, y: np.ndarray) -> Pair:
    shape = PUBLISHED[name].shape
    y = y.reshape(-1)
    if x.dtype != np.uint8 or x.size != len(y) * np.prod(shape) or not len(y):
        raise ValueError(
            f"{name!r} must be one or more images of {shape} bytes with a label each, got images "
            f"{x.dtype} {x.shape} and labels {y.shape}"
        )
    return x.reshape(-1, *shape).astype(np.float32) / 255, y


def _read_npz(name: str, place: Path) -> tuple[Pair, Pair] | None:
    path = place / f"{name}.npz" if place.is_dir() else place
    if path.suffix != ".npz" or not path.is_file():
        return None
    keys = ("x_train", "y_train", "x_test", "y_test")
    with _reading(path, "whole .npz file"), np.load(path, allow_pickle=False) as file:
        if missing := [key for key in keys if key not in file]:
            raise ValueError(f"it must hold {', '.join(keys)}; {', '.join(missing)} missing")
        x_train, y_train, x_test, y_test = (file[key] for key in keys)
    return (x_train, y_train), (x_test, y_test)


def _read_idx_folder(place: Path) -> tuple[Pair, Pair] | None:
    """train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-... (or .gz of these)"""
    kinds = ("images", "idx3"), ("labels", "idx1")
    files = [
        _first(place / f"{part}-{kind}{dot}{idx}-ubyte{end}" for dot in "-." for end in ("", ".gz"))
        for part in ("train", "t10k")
        for kind, idx in kinds
    ]
    if not any(files):
        return None
    if not all(files):
        raise FileNotFoundError(f"{place} has some idx files of the four, not all")
    arrays = [_read_idx(file) for file in files if file is not None]
    return (arrays[0], arrays[1]), (arrays[2], arrays[3])


def _first(paths: Iterable[Path]) -> Path | None:
    return next((path for path in paths if path.is_file()), None)


def _read_idx(path: Path) -> np.ndarray:
    """The idx format: 0, 0, 8 (bytes), the number of axes, their lengths big-endian, the bytes."""
    with _reading(path, "idx file of bytes"):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        if len(content) < 4 or content[:3] != b"\0\0\x08":
            raise ValueError("it begins otherwise")
        axes = content[3]
        start = 4 + 4 * axes
        shape = struct.unpack(f">{axes}I", content[4:start])
        if len(content) - start != math.prod(shape):
            raise ValueError(f"it must hold {shape} bytes, got {len(content) - start}")
        return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def _read_cifar_folder(place: Path) -> tuple[Pair, Pair] | None:
    """data_batch_1, ..., data_batch_5 and test_batch (Python pickles, or binary with .bin)"""
    end = ".bin" if (place / "data_batch_1.bin").is_file() else ""
    names = [f"data_batch_{i}{end}" for i in range(1, 6)]
    tests = f"test_batch{end}"
    found = [(place / name).is_file() for name in (*names, tests)]
    if not any(found):
        return None
    if not all(found):
        raise FileNotFoundError(f"{place} has some CIFAR-10 batches of the six, not all")
    batches = [_read_cifar_batch(place / name) for name in names]
    x, y = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return (x, y), _read_cifar_batch(place / tests)


def _read_cifar_batch(path: Path) -> Pair:
    with _reading(path, "CIFAR-10 batch"), path.open("rb") as file:
        if path.suffix == ".bin":  # rows of a label and 3 x 32 x 32 bytes
            rows = np.frombuffer(file.read(), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
            if not len(rows) or rows[:, 0].max() > 9:
                raise ValueError("it must hold rows that begin with a label from 0 to 9")
            return rows[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), rows[:, 0]
        batch = _ArraysOnly(file, encoding="bytes").load()
        x, y = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
        return x.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), y


@contextlib.contextmanager
def _reading(path: Path, what: str) -> Iterator[None]:
    """A damaged file fails in many ways; here in one.

    Raises:
      ValueError: naming the file and what it should be.
      OSError: for a file that cannot be read at all.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            raise
        words = str(error) or type(error).__name__
        raise ValueError(f"{path} is no {what}: {words}") from error


class _ArraysOnly(pickle.Unpickler):
    """A pickle can run any code; this one makes NumPy arrays of numbers and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        arrays = {"_reconstruct", "_frombuffer", "ndarray", "dtype"}
        if module.split(".")[0] == "numpy" and name in arrays:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"it holds more than arrays, it asks for {module}.{name}")


PUBLISHED = {
    "mnist": Published((28, 28, 1), ("MNIST/raw", "raw"), _read_idx_folder, "ylecun/mnist"),
    "fashion_mnist": Published(
        (28, 28, 1),
        ("FashionMNIST/raw", "raw"),
        _read_idx_folder,
        "zalando-datasets/fashion_mnist",
    ),
    "cifar10": Published(
        (32, 32, 3),
        ("cifar-10-batches-py", "cifar-10-batches-bin"),
        _read_cifar_folder,
        "uoft-cs/cifar10",
    ),
}
