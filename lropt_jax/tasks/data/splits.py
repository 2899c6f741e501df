"""Splits of inputs and targets in one form, whatever a person hands over."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from lropt_jax.tasks.arrays import as_array
from lropt_jax.tasks.sources import Source, is_hosted
from lropt_jax.tasks.task import SPLITS
from lropt_jax.validation import unknown

FORMS = (
    "a Dataset such as load_data returns, a mapping of splits train, valid and test, or (X, y), "
    "which is all for training (Dataset.of(X, y) splits it)"
)


def splits_of(data: Any) -> dict[str, Any]:
    """The three splits, each `{"x": ..., "y": ...}`, a `Source` of such, or None.

    Args:
      data: a `Dataset` or another object with these attributes, a mapping of splits, or one split
        alone, which is for training. A split is `{"x": ..., "y": ...}` or `(x, y)`, x may itself
        be a mapping of arrays; or a source on the host whose examples are of either form.

    Raises:
      ValueError: for anything else; for values that are no numbers.
    """
    if isinstance(data, Mapping) and not {"x", "y"} <= set(data):
        for name in data:
            if name not in SPLITS:
                raise ValueError(f"data: {unknown('split', name, SPLITS)}; data must be {FORMS}")
        given = dict(data)
    elif hasattr(data, "train"):
        given = {name: getattr(data, name, None) for name in SPLITS}
    elif isinstance(data, Mapping) or _is_pair(data) or _is_source(data):
        given = {"train": data}
    else:
        raise ValueError(f"data must be {FORMS}, got {type(data).__name__}")
    if given.get("train") is None:
        raise ValueError(f"data has no train split: it must be {FORMS}")
    return {name: _pair(name, given.get(name)) for name in SPLITS}


def _is_source(split: Any) -> bool:
    arrays = isinstance(split, Mapping) or _is_pair(split) or hasattr(split, "dtype")
    return isinstance(split, Source) or (not arrays and is_hosted(split))


def _source(name: str, given: Any) -> Any:
    """A source whose examples are inputs and targets, by name or in this order."""
    source = given if isinstance(given, Source) else Source(name, given)
    example = source.example
    if isinstance(example, (tuple, list)) and len(example) == 2:
        return Source(name, given, names=("x", "y"))
    if not isinstance(example, Mapping) or set(example) != {"x", "y"}:
        got = sorted(example) if isinstance(example, Mapping) else type(example).__name__
        raise ValueError(
            f'an example of {name} must be a dict of "x" and "y", or (x, y), got {got}'
        )
    return source


def _is_pair(split: Any) -> bool:
    return isinstance(split, (tuple, list)) and len(split) == 2


def _pair(name: str, split: Any) -> Any:
    if split is None:
        return None
    if _is_source(split):
        return _source(name, split)
    if _is_pair(split):
        split = dict(zip("xy", split, strict=True))
    if not isinstance(split, Mapping) or set(split) != {"x", "y"}:
        got = sorted(split) if isinstance(split, Mapping) else type(split).__name__
        raise ValueError(f'{name} must be a dict of "x" and "y", or (x, y), got {got}')
    x = split["x"]
    if isinstance(x, Mapping):
        x = jax.tree.map(lambda leaf: as_array(f"x of {name}", leaf), dict(x))
    else:
        x = as_array(f"x of {name}", x)
    for array in jax.tree.leaves(x):
        if array.ndim < 2:
            raise ValueError(
                f"x of {name} must have shape (N, ...), got {array.shape}; one feature is "
                "x.reshape(-1, 1)"
            )
    return {"x": x, "y": as_array(f"y of {name}", split["y"])}
