"""A language-modelling problem out of a model and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from lropt_jax.tasks.adapters.objectives import Softmax
from lropt_jax.tasks.adapters.supervised import Augment, Splits, supervised_task
from lropt_jax.tasks.arrays import as_array
from lropt_jax.tasks.sources import is_hosted
from lropt_jax.tasks.task import SPLITS, Task
from lropt_jax.validation import unknown, whole_number


def language_model_task(
    model: Any,
    tokens: Any,
    length: int,
    batch_size: int = 128,
    *,
    augment: Augment | None = None,
    dtype: Any = None,
) -> Task:
    r"""A `Task` of predicting each next token: softmax cross-entropy over windows of a text.

    An example is a window of `length` tokens; its targets are the same window shifted by one.
    Windows do not overlap, so an epoch predicts each token once; what is left at the end of a
    split is dropped. The metrics are "loss" (nats a token), "accuracy" and "perplexity", the
    exponential of a whole split's loss.

    When to use:
      To train on a text, token by token. Start with windows of 64 to 256 tokens and `adamw`.
      One model must fit on one device.

    Args:
      model: as in `classification_task`, from whole numbers of shape (batch, length) to logits
        of shape (batch, length, vocabulary). That no position sees later ones is up to it.
      tokens: whole numbers of shape (n,), whose last 10% are the test split and the 10% before
        them the validation split; or a mapping of splits to such arrays, "train" among them.
        Bytes are tokens: `numpy.frombuffer(text.encode(), numpy.uint8)`. A `numpy.memmap` stays
        on the disk.
      length: tokens in a window.
      batch_size: windows in a step's batch, so that a step is over `batch_size * length` tokens.
      augment, dtype: as in `classification_task`.

    Returns:
      The task.

    Raises:
      ValueError: for tokens that are no whole numbers in one row, too few of them for one window
        in each split, tokens outside of the vocabulary or that would wrap around in 32 bits,
        or what `Task` refuses.
      TypeError: for a model that is none of those that are known.
      ImportError: when the model's library is not installed.

    See also:
      `classification_task`, `Task`.

    Example:
      Letters of Python's own help, and a model that sees one letter at a time.

      >>> import numpy as np
      >>> from flax import linen as nn
      >>> from pydoc_data.topics import topics
      >>> from lropt_jax import adam, fit, language_model_task
      >>> text = "".join(topics[name] for name in sorted(topics))
      >>> letters, tokens = np.unique(list(text), return_inverse=True)
      >>> model = nn.Sequential([nn.Embed(len(letters), 32), nn.Dense(len(letters))])
      >>> task = language_model_task(model, tokens, length=64, batch_size=16)
      >>> result = fit(task, adam(0.01), steps=200)
      >>> bool(result.history["valid_perplexity"][-1] < 20)
      True
    """
    length = whole_number("length", length)
    data = {name: _windows(name, part, length) for name, part in _parts(tokens).items()}
    return supervised_task(model, data, _objective, batch_size, augment, dtype)


def _objective(outputs: tuple[int, ...], splits: Splits) -> tuple[Softmax, Splits]:
    length = splits["train"]["y"].shape[1]
    if len(outputs) != 3 or outputs[:2] != (1, length):
        raise ValueError(
            "the model must return logits of shape (batch, length, vocabulary); for one window "
            f"of {length} tokens it returned {outputs}"
        )
    objective = Softmax(perplexity=True)
    for name, split in splits.items():
        for part in ("x", "y"):
            objective.check(name, split[part], outputs)
    return objective, splits


def _parts(tokens: Any) -> dict[str, Any]:
    """The tokens of each split."""
    if isinstance(tokens, Mapping):
        for name in tokens:
            if name not in SPLITS:
                raise ValueError(f"tokens: {unknown('split', name, SPLITS)}")
        if tokens.get("train") is None:
            raise ValueError("tokens must have a train split")
        return {
            n: _tokens(f"tokens of {n}", part) for n, part in tokens.items() if part is not None
        }
    whole = _tokens("tokens", tokens)
    tenth = len(whole) // 10
    train = len(whole) - 2 * tenth
    return {
        "train": whole[:train],
        "valid": whole[train : train + tenth],
        "test": whole[train + tenth :],
    }


def _tokens(name: str, tokens: Any) -> Any:
    array = as_array(name, tokens)
    if array.ndim != 1 or not jnp.issubdtype(array.dtype, jnp.integer):
        raise ValueError(
            f"{name} must be whole numbers of shape (n,), got {array.dtype} of shape {array.shape}"
        )
    return array


def _windows(name: str, tokens: Any, length: int) -> dict[str, Any]:
    count = (len(tokens) - 1) // length
    if count < 1:
        raise ValueError(
            f"{name} must hold at least length + 1 = {length + 1} tokens, got {len(tokens)}"
        )
    if tokens.dtype.itemsize < 4 and not is_hosted(tokens):  # bytes, say
        tokens = tokens.astype(np.int32)
    rows = count * length
    return {
        "x": tokens[:rows].reshape(count, length),
        "y": tokens[1 : rows + 1].reshape(count, length),
    }
