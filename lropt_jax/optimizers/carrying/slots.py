"""PyTorch's parameters, one after another: their leaf here, their group and their buffers there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lropt_jax.optimizers.paths import named_leaves
from lropt_jax.validation import instead

Name = str | tuple[str, Sequence[int]]


class Slot(NamedTuple):
    """One of PyTorch's parameters.

    Attributes:
      number: its place among PyTorch's parameters.
      path: that of its leaf here.
      axes: the permutation from PyTorch's layout to ours, or None.
      like: the leaf.
      group: the number of its param group.
      buffers: what PyTorch holds of it; nothing before its first step.
    """

    number: int
    path: str
    axes: tuple[int, ...] | None
    like: Any
    group: int = 0
    buffers: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return f"{self.path!r} (PyTorch's parameter {self.number})"

    def ours(self, key: str) -> np.ndarray:
        """One of its buffers in our layout.

        Raises:
          ValueError: where the shape is not that of the leaf.
        """
        there = as_array(self.buffers[key])
        array = there
        if self.axes is not None and array.ndim == len(self.axes):
            array = array.transpose(self.axes)
        if array.shape != np.shape(self.like):
            turned = "" if self.axes is None else f", which axes {self.axes} turn to {array.shape}"
            hint = "" if array.ndim < 2 else "; give (path, axes), (1, 0) for a Flax kernel"
            raise ValueError(
                f"names: {self} must have the shape of its leaf, {np.shape(self.like)}, got {key} "
                f"of shape {there.shape}{turned}{hint}"
            )
        return array

    def theirs(self, leaf: Any) -> np.ndarray:
        """An array of the leaf's shape in PyTorch's layout."""
        array = np.array(leaf)
        return array if self.axes is None else array.transpose(np.argsort(self.axes)).copy()


def slots_of(params: Any, names: Sequence[Name]) -> list[Slot]:
    """The leaves that `names` gives, in its order.

    Raises:
      ValueError: for a name that is no path of a leaf, or given twice, or axes that are no
        permutation of the leaf's.
    """
    if isinstance(names, (str, Mapping)) or not isinstance(names, Sequence):
        raise ValueError(
            "names must be a sequence with the path of a leaf, or (path, axes), for each of "
            f"PyTorch's parameters, got {names!r}"
        )
    leaves = named_leaves(params)
    slots: list[Slot] = []
    for number, name in enumerate(names):
        path, axes = (name, None) if isinstance(name, str) else _divided(name)
        if path not in leaves:
            raise ValueError(f"names: {path!r} is no path in params{instead(path, list(leaves))}")
        earlier = [slot.number for slot in slots if slot.path == path]
        if earlier:
            raise ValueError(f"names: {path!r} is given twice, at {earlier[0]} and {number}")
        rank = np.ndim(leaves[path])
        if axes is not None and sorted(axes) != list(range(rank)):
            raise ValueError(
                f"names: the axes of {path!r} must be a permutation of {tuple(range(rank))}, "
                f"got {axes}"
            )
        slots.append(Slot(number, path, axes, leaves[path]))
    return slots


def _divided(name: Any) -> tuple[str, tuple[int, ...]]:
    try:
        path, axes = name
        axes = tuple(int(axis) for axis in axes)
    except (TypeError, ValueError):
        path, axes = None, ()
    if not isinstance(path, str):
        raise ValueError(f'names must hold paths, "dense/kernel", or (path, axes), got {name!r}')
    return path, axes


def with_buffers(
    slots: Sequence[Slot], state_dict: Any
) -> tuple[list[Slot], list[Mapping[str, Any]]]:
    """The slots with their group and their buffers, and the groups.

    Raises:
      ValueError: for what is no state_dict of an optimizer, or one of other parameters.
    """
    whole = isinstance(state_dict, Mapping) and {"state", "param_groups"} <= set(state_dict)
    if not whole:
        raise ValueError(
            "state_dict must be what optimizer.state_dict() gives, a mapping with 'state' and "
            f"'param_groups', got {_kind_of(state_dict)}"
        )
    groups, buffers = state_dict["param_groups"], state_dict["state"]
    if not (
        isinstance(buffers, Mapping)
        and isinstance(groups, Sequence)
        and all(isinstance(group, Mapping) for group in groups)
    ):
        raise ValueError(
            "state_dict: 'state' must be a mapping and 'param_groups' a list of mappings, got "
            f"{_kind_of(buffers)} and {_kind_of(groups)}"
        )
    groups = list(groups)
    for i, group in enumerate(groups):
        if "params" not in group:
            raise ValueError(f"state_dict: param group {i} has no 'params', got {_kind_of(group)}")
    numbered = [(key, i) for i, group in enumerate(groups) for key in group["params"]]
    if len(numbered) != len(slots):
        raise ValueError(
            f"names must give a leaf for each of PyTorch's {len(numbered)} parameters, got "
            f"{len(slots)}"
        )
    strange = sorted(set(buffers) - {key for key, _ in numbered}, key=str)
    if strange:
        raise ValueError(
            f"state_dict: state holds the parameters {strange}, which are in no param group"
        )
    found = [
        slot._replace(group=group, buffers=_present(buffers.get(key, {})))
        for slot, (key, group) in zip(slots, numbered, strict=True)
    ]
    return found, groups


def _present(buffers: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in buffers.items() if value is not None}


def _kind_of(x: Any) -> str:
    return f"one with {sorted(map(str, x))}" if isinstance(x, Mapping) else type(x).__name__


def as_array(value: Any) -> np.ndarray:
    """A tensor of PyTorch, wherever it lies, as a NumPy array of its own; bfloat16 as float32."""
    for method in ("detach", "cpu"):
        if hasattr(value, method):
            value = getattr(value, method)()
    dtype = str(getattr(value, "dtype", ""))
    if dtype.startswith("torch.") and ("bfloat" in dtype or "float8" in dtype):
        value = value.float()
    return np.array(value.numpy() if hasattr(value, "numpy") else value)


def number(value: Any) -> Any:
    """A number of a param group or of a step, which may be a tensor; None is one too."""
    return None if value is None else as_array(value).item()
