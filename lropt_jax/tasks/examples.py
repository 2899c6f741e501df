"""The examples of a split, be they arrays in memory or a source on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax

from lropt_jax.tasks.arrays import as_split, shape_of
from lropt_jax.tasks.sources import Source, is_hosted


def split_of(name: str, given: Any) -> Any:
    """What a person gave for a split as arrays in JAX's dtypes, or as a `Source`.

    Raises:
      ValueError: for anything that is neither.
    """
    if isinstance(given, Source):
        return given
    return Source(name, given) if is_hosted(given) else as_split(name, given)


def in_words(splits: Mapping[str, Any]) -> str:
    """How many examples each split has."""
    sizes = ", ".join(f"{number_of_examples(split):,} {name}" for name, split in splits.items())
    return f"{sizes} examples"


def examples_of(split: Any) -> str:
    """What an example of a split is, its leaves by their names."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(example_of(split))
    words = []
    for path, leaf in leaves:
        name = jax.tree_util.keystr(path, simple=True, separator="/")
        words.append(f"{name} {leaf.dtype}[{','.join(map(str, leaf.shape))}]".strip())
    return ", ".join(words)


def number_of_examples(split: Any) -> int:
    """The length of a split."""
    return len(split) if isinstance(split, Source) else len(jax.tree.leaves(split)[0])


def example_of(split: Any) -> Any:
    """The shapes and dtypes of one example."""
    if isinstance(split, Source):
        return split.example
    return jax.tree.map(lambda x: shape_of(x.shape[1:], x.dtype), split)


def batch_of(split: Any, size: int) -> Any:
    """The shapes and dtypes of a batch of a split."""
    return jax.tree.map(lambda x: shape_of((size, *x.shape), x.dtype), example_of(split))


def check_same_examples(name: str, split: Any, train: Any) -> None:
    """Raises `ValueError` unless an example of a split looks like one of the training set."""

    def described(split: Any) -> Any:
        return jax.tree.map(
            lambda x: f"{x.dtype}[{','.join(map(str, x.shape))}]", example_of(split)
        )

    ours, theirs = described(split), described(train)
    if ours != theirs:
        raise ValueError(
            f"an example of {name} must have the structure, shapes and dtypes of one of train: "
            f"{ours} against {theirs}"
        )
