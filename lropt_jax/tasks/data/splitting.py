"""Data sets, and how examples are divided into splits."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import numpy as np

from lropt_jax.progress import shown
from lropt_jax.tasks.data.splits import splits_of
from lropt_jax.tasks.examples import examples_of, in_words

Split = dict[str, Any]


@shown
class Dataset(NamedTuple):
    """A data set's splits, each `{"x": (N, ...), "y": (N, ...)}`.

    `Dataset.of(x, y)` divides arrays; `load_data` gives ready ones. Choose by `valid`: a test
    split that was looked at twice is a second validation split.

    Attributes:
      train: to take gradients on.
      valid: to choose hyperparameters by.
      test: to be looked at once, in the end.

    See also:
      `load_data`, `classification_task`, `Task`.

    Example:
      >>> import numpy as np
      >>> from lropt_jax import Dataset
      >>> data = Dataset.of(np.zeros((100, 3)), np.arange(100) % 2)
      >>> [len(split["y"]) for split in data]
      [80, 10, 10]
    """

    train: Split
    valid: Split
    test: Split

    def _about(self) -> tuple[str, dict[str, str]]:
        splits = {name: split for name, split in self._asdict().items() if split is not None}
        return f"Dataset of {in_words(splits)}", {"an example": examples_of(self.train)}

    @classmethod
    def of(cls, x: Any, y: Any, valid: float = 0.1, test: float = 0.1, *, seed: int = 0) -> Dataset:
        """Divides examples at random, always in the same way.

        Where y is one whole number for each example, a class, each split holds the classes in
        the same proportion.

        Args:
          x: inputs of shape (N, ...), anything that becomes an array of numbers; or a mapping of
            such inputs.
          y: targets of shape (N, ...).
          valid, test: how much goes there: a fraction below 1, or a number of examples.
          seed: of the division.

        Raises:
          ValueError: for sizes that leave a split empty, or data that are no numbers.

        Example:
          >>> import numpy as np
          >>> from lropt_jax import Dataset
          >>> data = Dataset.of(np.arange(100.0).reshape(50, 2), np.arange(50) % 2, test=20)
          >>> [len(split["y"]) for split in data]
          [25, 5, 20]
          >>> [int(split["y"].sum()) for split in data]
          [13, 2, 10]
        """
        whole: Any = splits_of((x, y))["train"]
        lengths = {len(leaf) for leaf in jax.tree.leaves(whole)}
        if len(lengths) > 1:
            raise ValueError(f"x and y must have the same number of examples, got {lengths}")
        examples = lengths.pop()
        sizes = [_size(n, v, examples) for n, v in (("valid", valid), ("test", test))]
        if sum(sizes) >= examples:
            raise ValueError(
                f"valid={valid!r} and test={test!r} leave nothing of {examples} examples to train"
            )
        labels = np.asarray(whole["y"])
        stratified = labels.ndim == 1 and labels.dtype.kind in "biu"
        groups = labels if stratified else np.zeros(examples, int)
        parts = stratified_parts(groups, *sizes, seed=seed)
        return cls(*(jax.tree.map(lambda a, p=part: a[p], whole) for part in parts))


def _size(name: str, value: float, examples: int) -> int:
    whole = not isinstance(value, bool) and value >= 1 and int(value) == value
    if not whole and not 0 < value < 1:
        raise ValueError(
            f"{name} must be a fraction in (0, 1) or a number of examples, got {value!r}"
        )
    size = int(value) if whole else round(value * examples)
    if size < 1:
        raise ValueError(f"{name}={value!r} leaves that split of {examples} examples empty")
    return size


def stratified_parts(labels: np.ndarray, *sizes: int, seed: int = 0) -> list[np.ndarray]:
    """Which examples go where: the rest, and then parts of exactly these sizes.

    Each has the class proportions of `labels`, (N,). Seed 0 is what the ready data sets have.
    """
    # RandomState, since its stream never changes between NumPy's versions.
    order = np.random.RandomState(2 * seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        # Spread evenly over [0, 1): any interval of it then holds each class in proportion.
        members = np.flatnonzero(labels[order] == label)
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    order = order[np.argsort(place, kind="stable")]
    parts = np.split(order, np.cumsum(sizes))
    # Back to a random order, so that neighbours say nothing about the class.
    shuffle = np.random.RandomState
    return [shuffle(2 * seed + 1).permutation(part) for part in (parts[-1], *parts[:-1])]
