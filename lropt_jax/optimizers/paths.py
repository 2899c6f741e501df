"""The names on the way to a parameter."""

from __future__ import annotations

from typing import Any

import jax


def names_of(path: Any) -> list[str]:
    """A path of `jax.tree_util` as names; the variable of `flax.nnx` around an array is none."""
    names = [jax.tree_util.keystr((part,), simple=True) for part in path]
    in_variable = bool(path) and path[-1] == jax.tree_util.GetAttrKey("value")
    return names[:-1] if in_variable else names


def named_leaves(tree: Any) -> dict[str, Any]:
    """The leaves by their paths, "dense/kernel"; that of a bare array is ""."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(names_of(path)): leaf for path, leaf in leaves}
