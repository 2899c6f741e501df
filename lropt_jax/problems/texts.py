"""Problems on a text that ships with Python: its help topics, some 465,000 letters.

Tokens are letters, of which there are about a hundred; how many, and so the losses, depends a
little on Python's version. The first 80% are to train, then 10% each; seed k takes the tenths from
k places further on, round and round.
"""

from __future__ import annotations

import functools

import numpy as np

from lropt_jax.tasks.adapters import classification_task, language_model_task
from lropt_jax.tasks.data import Dataset
from lropt_jax.tasks.task import Task

CONTEXT, STRIDE = 8, 4
LENGTH = 32


def docs_ngram(seed: int = 0) -> Task:
    """The next letter from the last 8, a net 128-128-letters, batch 128: Zipf's law; by "loss".

    Every fourth letter is predicted: some 93,000 examples to train, 11,600 to choose by and to
    test (Bengio et al. 2003).

    250 us a step.
    """
    from lropt_jax.tasks.models.sequences import NeighbourTokens

    parts, letters = _letters(seed)
    data = Dataset(*map(_contexts, parts))
    return classification_task(NeighbourTokens(letters), data, batch_size=128)


def docs_transformer(seed: int = 0) -> Task:
    """A transformer of 2 layers of 32 over windows of 32 letters, batch 8; by "loss".

    Some 11,600 windows to train, 1,450 to choose by and to test.

    730 us a step.
    """
    from lropt_jax.tasks.models.sequences import Transformer

    parts, letters = _letters(seed)
    tokens = dict(zip(("train", "valid", "test"), parts, strict=True))
    return language_model_task(Transformer(letters, LENGTH), tokens, LENGTH, batch_size=8)


def _letters(seed: int) -> tuple[list[np.ndarray], int]:
    """The tokens of the three splits, and how many letters there are."""
    tokens, letters = _tokens()
    tenth = len(tokens) // 10
    turned = np.roll(tokens, -(seed % 10) * tenth)
    return np.split(turned, [len(tokens) - 2 * tenth, len(tokens) - tenth]), letters


@functools.cache
def _tokens() -> tuple[np.ndarray, int]:
    from pydoc_data.topics import topics

    text = "".join(topics[name] for name in sorted(topics))
    letters, tokens = np.unique(list(text), return_inverse=True)
    return tokens.astype(np.int32), len(letters)


def _contexts(tokens: np.ndarray) -> dict[str, np.ndarray]:
    windows = np.lib.stride_tricks.sliding_window_view(tokens, CONTEXT + 1)[::STRIDE]
    return {"x": windows[:, :CONTEXT].copy(), "y": windows[:, CONTEXT].copy()}
