"""Where the tunable optimizers stand in a state: alone, in a chain, in parameter groups."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any

import jax
import optax

from lropt_jax.hyperparameters.numbers import Factory, Numbers
from lropt_jax.hyperparameters.state import TunableState

# A tunable by its number in the order of the tree, or several by their label.
Labelled = int | dict[Hashable, Any]


def tunables(state: optax.OptState) -> list[TunableState]:
    """The states of all tunable optimizers, in the order of the tree."""
    return [unboxed(x) for _, x in _found(state)]


def _found(state: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Each tunable with its path, and after it those that it was given to wrap."""
    for path, x in jax.tree_util.tree_leaves_with_path(state, is_leaf=_is_tunable_state):
        if _is_tunable_state(x):
            yield (*before, *path), x
            yield from _found(x.inner_state, (*before, *path))


def labelled(state: optax.OptState) -> Labelled:
    """The tunable optimizers by label, nested as the state is.

    Labels are the keys of the mappings on the way: those of `optax.partition` (and so of
    `multi_transform`), the names of `optax.named_chain`. Where there is none, in a chain, the
    name of the factory stands for it, as it does for one inside of another
    (`tunable(optax.lookahead)(sgd(0.1), 5, 0.5)`). A tunable that is alone, in all or under its
    label, has no label of its own.

    Raises:
      ValueError: when the state holds no tunable optimizer.
    """
    found = list(_found(state))
    if not found:
        raise ValueError(
            "the state holds no tunable optimizer: build it with one of lropt_jax's, or with "
            "tunable(factory)"
        )
    entries = [
        ([k.key for k in path if isinstance(k, jax.tree_util.DictKey)], factory_of(x).name, i)
        for i, (path, x) in enumerate(found)
    ]
    return _nested(entries)


def _nested(entries: Sequence[tuple[list[Hashable], str, int]]) -> Labelled:
    if len(entries) == 1:
        return entries[0][2]
    groups: dict[Hashable, list[tuple[list[Hashable], str, int]]] = {}
    for labels, name, i in entries:
        if labels:
            groups.setdefault(labels[0], []).append((labels[1:], name, i))
    result: dict[Hashable, Any] = {label: _nested(group) for label, group in groups.items()}
    for labels, name, i in entries:
        if not labels:
            result[_free(name, result)] = i
    return result


def _free(name: str, taken: Mapping[Hashable, Any]) -> str:
    free, number = name, 1
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    return free


def factory_of(state: TunableState) -> Factory:
    """What a state knows of the factory whose numbers it holds; little where it was rebuilt."""
    numbers = state.hyperparams
    return numbers.factory if isinstance(numbers, Numbers) else Factory()


def with_tunables(state: optax.OptState, new: Sequence[TunableState]) -> Any:
    """The state with other states in the places of its tunable optimizers."""
    following = iter(new)

    def replace(old: Any) -> Any:
        if not _is_tunable_state(old):
            return old
        now = next(following)
        pairs = {k: (v, old.hyperparams[k]) for k, v in now.hyperparams.items()}
        boxed = {k: boxed_like(*pair, old.count) for k, pair in pairs.items()}
        inner = jax.tree.map(replace, now.inner_state, is_leaf=_is_tunable_state)
        kept = isinstance(old.hyperparams, Numbers)  # Optax's tree.set leaves a plain dict
        return old._replace(
            hyperparams=Numbers(boxed, factory_of(now)) if kept else boxed,
            inner_state=boxed_like(inner, old.inner_state, old.count),
        )

    return jax.tree.map(replace, state, is_leaf=_is_tunable_state)


def _is_tunable_state(x: Any) -> bool:
    return isinstance(x, TunableState)


def is_box(x: Any) -> bool:
    """Whether this is a variable of `flax.nnx`, whose Optimizer puts each array into one."""
    kinds = type(x).__mro__
    return any(k.__name__ == "Variable" and k.__module__.startswith("flax.nnx") for k in kinds)


def unboxed(tree: Any) -> Any:
    """A tree with the arrays that are in variables of `flax.nnx`."""

    def content(x: Any) -> Any:
        if not is_box(x):
            return x
        return x.get_value() if hasattr(type(x), "get_value") else x.value  # before Flax 0.12.1

    return jax.tree.map(content, tree, is_leaf=is_box)


def boxed_like(new: Any, old: Any, example: Any) -> Any:
    """`new` in the boxes that `old` has, or where it is of another structure, in some like them."""
    if not is_box(example):
        return new
    boxes = jax.tree.leaves(old, is_leaf=is_box)
    arrays, structure = jax.tree.flatten(new)
    if not _same_structure(old, new):
        boxes = [example] * len(arrays)
    boxed = [box.replace(x) for box, x in zip(boxes, arrays, strict=True)]
    return jax.tree.unflatten(structure, boxed)


def _same_structure(old: Any, new: Any) -> bool:
    before: Any = jax.tree.structure(old, is_leaf=is_box)
    return bool(before == jax.tree.structure(new))
