"""How is a result written down? One file with all arrays, and the words beside them as JSON."""

from __future__ import annotations

import dataclasses
import importlib
import io
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from lropt_jax.schedules import SCHEDULES, Schedule

NAME = "result.npz"
MANIFEST = "sweep.json"  # of a directory: what the sweep is
FORMAT = "lropt_jax result 1"
NO_FOLDER = {".xlsx", ".xls", ".txt", ".tsv", ".json", ".pkl", ".npz", ".html"}


@dataclasses.dataclass(frozen=True)
class Event:
    """A copy that population-based training made.

    Attributes:
      step: updates taken before it.
      trial: who copied.
      source: from whom.
      numbers: the copy's hyperparameters from then on.
    """

    step: int
    trial: int
    source: int
    numbers: dict[str, float]


_ARRAYS = ("steps", "status", "diverged_at", "reached")
_TABLES = ("values", "final")
_WORDS = ("trials", "seeds", "strategy", "width", "model_steps", "lineage", "by", "of_task")
_MARKS = {"tuple", "mapping", "array", "schedule", "shown"}  # of what JSON has no type for
_LIBRARIES = ("lropt_jax", "optax", "flax", "jax", "numpy")


def packed(result: Mapping[str, Any]) -> bytes:
    """A result's fields as a file's content."""
    words = {"format": FORMAT, **{name: _encoded(result[name]) for name in _WORDS}}
    arrays = {"words": np.array(json.dumps(words))}
    for name in _ARRAYS:
        array = np.asarray(result[name])
        arrays[name] = array.astype(str) if array.dtype == object else array
    for kind in _TABLES:
        arrays |= {f"{kind}/{name}": np.asarray(v) for name, v in result[kind].items()}
    file = io.BytesIO()
    np.savez(file, **arrays)  # type: ignore[arg-type]
    return file.getvalue()


def check_free(directory: Path, result: Mapping[str, Any]) -> None:
    """Raises `ValueError` for the directory that another sweep is kept in."""
    if not (directory / MANIFEST).exists():
        return
    try:
        there = np.load(directory / NAME, allow_pickle=False)
        same = _says(there) == _says(np.load(io.BytesIO(packed(result)), allow_pickle=False))
    except Exception:  # not finished, or damaged
        same = False
    if not same:
        raise ValueError(
            f"directory {directory} is that of another sweep, which goes on from what lies there: "
            "choose another one"
        )


def _says(held: Any) -> tuple[Any, dict[str, bytes]]:
    """The configurations and all values of a result, to be compared."""
    with held:
        arrays = {name: held[name].tobytes() for name in held.files if name != "words"}
        return json.loads(str(held["words"]))["trials"], arrays


def unpacked(directory: Path) -> dict[str, Any]:
    """The fields of the result in a directory.

    Raises:
      ValueError: when there is none, or none that can be read.
    """
    path = directory / NAME
    if not path.exists():
        if (directory / MANIFEST).exists():
            raise ValueError(
                f"the sweep in {directory} has not finished: call sweep(...) as it was called, "
                "with this directory, to go on"
            )
        raise ValueError(f"directory {directory} holds no result of a sweep: it has no {NAME}")
    try:
        with np.load(path, allow_pickle=False) as file:
            held = {name: file[name] for name in file.files}
        words = json.loads(str(held.pop("words")))
    except Exception as error:  # a damaged archive fails in many ways
        again = "call sweep(...) as it was called, with this directory, which writes it again"
        hint = f" ({again})" if (directory / MANIFEST).exists() else ""
        raise ValueError(f"{path} cannot be read: {error}{hint}") from error
    if words.pop("format", None) != FORMAT:
        raise ValueError(f"{path} was written by another version of lropt_jax")
    words = _decoded(words)
    found = {**words, **{name: held[name] for name in _ARRAYS}}
    found["status"] = found["status"].astype(object)
    found["lineage"] = [Event(**event) for event in found["lineage"]]
    for kind in _TABLES:
        names = [name for name in held if name.startswith(f"{kind}/")]
        found[kind] = {name.partition("/")[2]: held[name] for name in names}
    return found


def _encoded(value: Any) -> Any:
    """A value in JSON's types: arrays and our schedules whole; what else is none of them by its
    name, or as it prints."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        if _MARKS & set(value):  # a name like one of ours
            return {"mapping": [[str(k), _encoded(v)] for k, v in value.items()]}
        return {str(k): _encoded(v) for k, v in value.items()}
    if isinstance(value, Schedule) and repr(_made(value.name, value.arguments)) == repr(value):
        return {"schedule": value.name, "arguments": _encoded(value.arguments)}
    if isinstance(value, (np.ndarray, jax.Array)) and value.dtype.kind in "biuf":
        return {"array": np.asarray(value).tolist(), "dtype": str(value.dtype)}
    if isinstance(value, list):
        return [_encoded(v) for v in value]
    if isinstance(value, tuple):
        return {"tuple": [_encoded(v) for v in value]}
    if isinstance(value, Event):
        return _encoded(dataclasses.asdict(value))
    name = getattr(value, "__qualname__", None)
    if name is None:
        return {"shown": repr(value)}
    return {"shown": value.__name__, "module": value.__module__, "name": name}


def _made(name: str, arguments: Mapping[str, Any]) -> Schedule | None:
    """One of our schedules again; None for anybody else's."""
    if name == "product":
        made: Schedule = arguments["first"] * arguments["second"]
        return made
    return SCHEDULES[name](**arguments) if name in SCHEDULES else None


def _decoded(value: Any) -> Any:
    """A value again; a function that no installed library has is its name."""
    if isinstance(value, list):
        return [_decoded(v) for v in value]
    if not isinstance(value, dict):
        return value
    if set(value) == {"tuple"}:
        return tuple(_decoded(v) for v in value["tuple"])
    if set(value) == {"mapping"}:
        return {k: _decoded(v) for k, v in value["mapping"]}
    if set(value) == {"array", "dtype"}:
        return np.array(value["array"], value["dtype"])
    if set(value) == {"schedule", "arguments"}:
        return _made(value["schedule"], _decoded(value["arguments"]))
    if "shown" not in value:
        return {k: _decoded(v) for k, v in value.items()}
    module = value.get("module") or ""
    if module in sys.modules or module.partition(".")[0] in _LIBRARIES:
        try:
            found: Any = importlib.import_module(module)
            for part in value["name"].split("."):
                found = getattr(found, part)
            return found
        except (ImportError, AttributeError, ValueError):
            pass
    return value["shown"]
