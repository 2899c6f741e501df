"""Where one training is kept: its last and its best evaluation, by orbax."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.training.lanes import Lane
from lropt_jax.training.moments import Moment
from lropt_jax.training.population import is_key
from lropt_jax.validation import require

FORMAT = "lropt_jax training 2"


class Checkpoints:
    """A training's directory.

    Args:
      directory: a path, made if it does not exist; `~` is the home folder.
      identity: what the training depends on, in words by name; None reads whatever is there.

    Raises:
      ValueError: for a directory that holds another training, or something else; it says what
        differs.
      ImportError: without orbax; it names the extra that installs it.
    """

    def __init__(self, directory: str | os.PathLike[str], identity: Mapping[str, str] | None):
        require("directory=", "checkpoints", "orbax.checkpoint")
        self.path = pathlib.Path(directory).expanduser().absolute()
        about = self.path / "training.json"
        if identity is None:
            return
        words = {"format": FORMAT, "identity": dict(identity)}
        if about.exists():
            held = json.loads(about.read_text())
            there = held.get("identity", {})
            differing = [
                f"{k} ({there.get(k)} there, {v} now)" for k, v in identity.items()
                if there.get(k) != v
            ]  # fmt: skip
            if held.get("format") != FORMAT:
                differing = ["its format"]
            if differing:
                raise ValueError(
                    f"directory {self.path} holds another training; what differs: "
                    f"{', '.join(differing)}. Call it as it was called to go on, "
                    "or choose another directory"
                )
        elif self.path.exists() and {p.name for p in self.path.iterdir()} - {_beside(about).name}:
            raise ValueError(
                f"directory {self.path} is not empty and holds no training: choose a new one"
            )
        else:
            self.path.mkdir(parents=True, exist_ok=True)
            _write(about, json.dumps(words, indent=1) + "\n")

    def save(self, name: str, moment: Moment) -> None:
        """Keeps a moment under a name; what was there is removed when this one is whole."""
        with self._manager(name) as manager:
            number = (manager.latest_step() or 0) + 1  # so that the same update can be kept again
            manager.save(number, args=_save(moment), force=True)
            manager.wait_until_finished()

    def load(self, name: str, like: Lane) -> dict[str, Any] | None:
        """The fields of the newest moment of a name but for its task; None without one."""
        if not (self.path / name).is_dir():
            return None
        with self._manager(name) as manager:
            step = manager.latest_step()
            if step is None:
                return None
            import orbax.checkpoint as ocp

            held = manager.restore(step, args=ocp.args.StandardRestore())
        return moment_fields(held, like)

    def _manager(self, name: str) -> Any:
        import orbax.checkpoint as ocp

        options = ocp.CheckpointManagerOptions(max_to_keep=1, create=True)
        return ocp.CheckpointManager(self.path / name, options=options)


def _write(path: pathlib.Path, words: str) -> None:
    """Writes a file whole or not at all: it may be killed at any moment."""
    with open(_beside(path), "w") as file:
        file.write(words)
        file.flush()
        os.fsync(file.fileno())
    os.replace(_beside(path), path)


def _beside(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(f"{path.name}.writing")


def _save(moment: Moment) -> Any:
    import orbax.checkpoint as ocp

    return ocp.args.StandardSave(plain(moment))


def plain(moment: Moment) -> dict[str, Any]:
    """A moment as nested dicts of arrays; random keys as their words."""
    leaves = jax.tree.leaves(moment.lane)
    return {
        "lane": {
            f"{i:05d}": np.asarray(jax.random.key_data(x) if is_key(x) else x)
            for i, x in enumerate(leaves)
        },
        # Numbered, since names may hold what a path may not, and come back sorted.
        "history": {
            f"{i:03d} {name.replace('/', '|')}": x
            for i, (name, x) in enumerate(moment.history.items())
        },
        "metrics": {name: np.asarray(value) for name, value in moment.metrics.items()},
    }


def moment_fields(held: Mapping[str, Any], like: Lane) -> dict[str, Any]:
    """The way back: a moment's fields but for its task."""
    shapes, structure = jax.tree.flatten(like)
    saved = [np.shape(x) for _, x in sorted(held["lane"].items())]
    wanted = [x.shape for x in shapes]
    keys = [is_key(x) for x in shapes]
    if len(saved) != len(wanted) or any(
        s != w for s, w, k in zip(saved, wanted, keys, strict=True) if not k
    ):
        raise ValueError(
            "what was kept is of another model or optimizer: "
            f"{len(saved)} arrays there, {len(wanted)} now, or of other shapes"
        )
    arrays = []
    for shape, (_, x) in zip(shapes, sorted(held["lane"].items()), strict=True):
        if is_key(shape):
            arrays.append(jax.random.wrap_key_data(jnp.asarray(np.asarray(x))))
        else:
            arrays.append(jnp.asarray(np.asarray(x), shape.dtype))
    lane: Lane = jax.tree.unflatten(structure, arrays)
    return {
        "step": int(lane.step),
        "metrics": {name: float(value) for name, value in held["metrics"].items()},
        "params": lane.params,
        "model_state": lane.model_state,
        "opt_state": lane.opt_state,
        "history": {
            name[4:].replace("|", "/"): np.asarray(x) for name, x in sorted(held["history"].items())
        },
        "key": lane.key,
    }
