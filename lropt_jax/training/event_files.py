"""Histories as files of events, which TensorBoard shows, with the page of its HParams."""

from __future__ import annotations

import logging
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from lropt_jax.validation import require

SUFFIX = ".lropt"  # of our files: they are written anew, others stay


class Logged(NamedTuple):
    """One run of TensorBoard.

    Attributes:
      name: its folder, under that of all; "" is that one itself.
      numbers: what it was trained with, by name: numbers, words or truth values.
      steps: updates taken, (evaluations,).
      curves: what was seen, (evaluations,) each.
      final: what was measured at the end.
    """

    name: str
    numbers: Mapping[str, Any]
    steps: np.ndarray
    curves: Mapping[str, np.ndarray]
    final: Mapping[str, float] = {}

    def scalars(self) -> Iterator[tuple[str, float, int]]:
        """Each value by its name, and after how many updates it was."""
        for name, values in self.curves.items():
            for step, value in zip(self.steps, values, strict=True):
                yield name, float(value), int(step)
        for name, value in self.final.items():
            yield f"final/{name}", float(value), int(self.steps[-1])


def write_events(directory: str | os.PathLike[str], runs: Sequence[Logged]) -> pathlib.Path:
    """Writes the runs; what was written to their folders before is replaced.

    Args:
      directory: the folder for all, made if it does not exist.
      runs: what to write.

    Raises:
      ImportError: without tensorboardX; it names the extra that installs it.
    """
    require("to_tensorboard", "tensorboard", "tensorboardX")
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    root = pathlib.Path(directory).expanduser()
    if root.exists() and not root.is_dir():
        raise ValueError(f"directory must be a folder, got the file {os.fspath(root)!r}")
    texts = _in_words(runs)
    every = {name: value for run in runs for name, value in _plain(run, texts).items()}
    metrics = {name: 0.0 for run in runs for name, *_ in run.scalars()}
    # A lane that diverged is NaN: its writer need not say so for every value.
    logging.getLogger("tensorboardX.x2num").addFilter(_is_other)
    for run in runs:
        folder = root / run.name
        for old in folder.glob(f"events.out.tfevents.*{SUFFIX}"):
            old.unlink()
        with SummaryWriter(os.fspath(folder), filename_suffix=SUFFIX) as writer:
            # TensorBoard reads what the page has from the first run that it finds.
            experiment, *_ = hparams(every, metrics)
            _, start, end = hparams(_plain(run, texts), metrics)
            for summary in (experiment, start, end):
                writer.file_writer.add_summary(summary)
            for scalar in run.scalars():
                writer.add_scalar(*scalar)
    return root


def _is_other(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("NaN or Inf")


def _in_words(runs: Sequence[Logged]) -> set[str]:
    """The names whose values are numbers in one run and words in another."""
    kinds: dict[str, set[bool]] = {}
    for run in runs:
        for name, value in run.numbers.items():
            kinds.setdefault(name, set()).add(_is_number(value))
    return {name for name, found in kinds.items() if len(found) > 1}


def _plain(run: Logged, texts: set[str]) -> dict[str, Any]:
    return {
        name: _text(value) if name in texts or not _is_number(value) else _number(value)
        for name, value in run.numbers.items()
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, np.number, np.bool_))


def _number(value: Any) -> bool | float:
    return bool(value) if isinstance(value, (bool, np.bool_)) else float(value)


def _text(value: Any) -> str:
    return str(getattr(value, "__name__", value))
