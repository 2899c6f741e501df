"""Where one training is kept: its last and its best evaluation, by orbax."""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from lropt_jax.hyperparameters.groups import factory_of, tunables
from lropt_jax.tasks.arrays import leaf_names
from lropt_jax.training.lanes import Lane
from lropt_jax.training.moments import Moment
from lropt_jax.training.population import is_key, on_host
from lropt_jax.validation import require

FORMAT = "lropt_jax training 3"
READ = (FORMAT, "lropt_jax training 2")


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
            if "what" in there and "what" not in identity:
                raise ValueError(
                    f"directory {self.path} holds {there['what']}, no training that can go on: "
                    "choose another one, and begin with start=load_fit(...)"
                )
            known = held.get("format") in READ
            if not known:
                differing = ["its format"]
            # One that was killed before anything was kept may become another.
            if differing and known and self._held("last") is None:
                _write(about, json.dumps(words, indent=1) + "\n")
            elif differing:
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
        held = self._held(name)
        return None if held is None else moment_fields(held, like)

    def _held(self, name: str) -> Any:
        """What is kept under a name, as `plain` made it; None where there is nothing."""
        if not (self.path / name).is_dir():
            return None
        import orbax.checkpoint as ocp

        with self._manager(name) as manager:
            newest = manager.latest_step()
            if newest is None:
                return None
            return manager.restore(newest, args=ocp.args.StandardRestore())

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
    """A moment as nested dicts of arrays: numbered, since names may hold what a path may not.

    What they are called stands beside them, as the bytes of a JSON text.
    """
    lane = moment.lane
    leaves = jax.tree.leaves(lane)
    about = {
        "lane": leaf_names(lane),
        "optimizers": _optimizers(lane),
        "keys": {str(i): str(jax.random.key_impl(x)) for i, x in enumerate(leaves) if is_key(x)},
        "history": list(moment.history),
        "metrics": list(moment.metrics),
    }
    return {
        "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
        "lane": _numbered(on_host(lane)),
        "history": _numbered(moment.history.values()),
        "metrics": _numbered(map(np.asarray, moment.metrics.values())),
    }


def moment_fields(held: Mapping[str, Any], like: Lane) -> dict[str, Any]:
    """The way back: a moment's fields but for its task.

    Raises:
      ValueError: where the lane that was kept is of another structure than `like`.
    """
    about = _about(held)
    shapes, structure = jax.tree.flatten(like)
    saved = [x for _, x in sorted(held["lane"].items())]
    _check_same(about, [np.shape(x) for x in saved], like)
    arrays = []
    for i, (shape, x) in enumerate(zip(shapes, map(np.asarray, saved), strict=True)):
        if is_key(shape):
            impl = about["keys"].get(str(i)) if about else None
            arrays.append(jax.random.wrap_key_data(jnp.asarray(x), impl=impl))
        else:
            arrays.append(jnp.asarray(x, shape.dtype))
    lane: Lane = jax.tree.unflatten(structure, arrays)
    history, metrics = (_named(about, held, part) for part in ("history", "metrics"))
    return {
        "step": int(lane.step),
        "metrics": {name: float(value) for name, value in metrics.items()},
        "params": lane.params,
        "model_state": lane.model_state,
        "opt_state": lane.opt_state,
        "history": {name: np.asarray(x) for name, x in history.items()},
        "key": lane.key,
    }


def _optimizers(lane: Lane) -> list[str]:
    """What the factories of a lane's tunable optimizers are called."""
    return [factory_of(state).name for state in tunables(lane.opt_state)]


def _numbered(values: Iterable[Any]) -> dict[str, Any]:
    return {f"{i:06d}": x for i, x in enumerate(values)}


def _about(held: Mapping[str, Any]) -> Any:
    """What stands beside the arrays; None of what was kept before there was any."""
    return json.loads(np.asarray(held["about"]).tobytes()) if "about" in held else None


def _named(about: Any, held: Mapping[str, Any], part: str) -> dict[str, Any]:
    values = held[part]
    if about is not None:
        return dict(zip(about[part], (x for _, x in sorted(values.items())), strict=True))
    if part == "metrics":
        return dict(values)
    return {name[4:].replace("|", "/"): x for name, x in sorted(values.items())}


def _check_same(about: Any, saved: Sequence[tuple[int, ...]], like: Lane) -> None:
    """Raises `ValueError` unless what was kept is what there is now, name by name."""
    leaves, names, optimizers = jax.tree.leaves(like), leaf_names(like), _optimizers(like)
    differing = []
    if about is not None and about["optimizers"] != optimizers:
        differing.append(_apart(about["optimizers"], optimizers))
    if about is not None and about["lane"] != names:
        differing.append(_apart(about["lane"], names))
    elif len(saved) != len(leaves):
        differing.append(f"{len(saved)} arrays there, {len(leaves)} now")
    else:
        differing += [
            f"{name} of shape {there} there, {leaf.shape} now"
            for name, there, leaf in zip(names, saved, leaves, strict=True)
            if there != leaf.shape and not is_key(leaf)
        ][:3]
    if differing:
        raise ValueError(
            f"what was kept is of another model or optimizer; what differs: {'; '.join(differing)}"
        )


def _apart(there: Sequence[str], now: Sequence[str]) -> str:
    """What only one of two lists has, or how their order differs; the first few."""
    only = [[n for n in a if n not in b][:3] for a, b in ((there, now), (now, there))]
    gone, new = only if any(only) else (there[:3], now[:3])
    return f"{', '.join(gone) or 'nothing'} there, {', '.join(new) or 'nothing'} now"
