"""Curves a second: populations of range tests against torch-lr-finder, same net, same data.

The digits net (64-32-10, Adam, batches of 32, 100 rungs). torch-lr-finder runs one test after the
other in memory, with the better of one and all threads, batches from a list of tensors as well as
from a DataLoader; the best of all these counts.

    python benchmarks/range_test.py [--tests 128]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

STEPS, BATCH_SIZE = 100, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=128, help="curves in our population")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f}")

    ours, first = _ours(options.tests)
    seconds = _best(ours, options.repeats)
    rate = options.tests / seconds
    print(f"lropt_jax: {options.tests} tests of {STEPS} steps in {seconds:.2f} s "
          f"(first call {first:.1f} s): {rate:.0f} curves/s")  # fmt: skip
    theirs = 0.0
    for threads in sorted({1, cores}):
        for feed in ("DataLoader", "list of batches"):
            one = 1 / _best(_torch(threads, feed), options.repeats)
            print(f"torch-lr-finder, {threads} threads, {feed}: {one:.2f} curves/s")
            theirs = max(theirs, one)
    print(f"ratio: {rate / theirs:.0f}")


def _best(run: Callable[[], Any], repeats: int) -> float:
    """The shortest of some repetitions, in seconds: the others were disturbed."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def _ours(tests: int) -> tuple[Callable[[], Any], float]:
    from lropt_jax import adam, classification_task, load_data, lr_range_test, models

    task = classification_task(models.mlp((32, 10)), load_data("digits"), BATCH_SIZE)

    def run() -> None:
        lr_range_test(task, adam, steps=STEPS, seeds=tests)

    return run, _best(run, 1)


def _torch(threads: int, feed: str) -> Callable[[], Any]:
    import torch
    from torch.utils.data import DataLoader, TensorDataset
    from torch_lr_finder import LRFinder, TrainDataLoaderIter

    from lropt_jax import load_data

    train = load_data("digits").train
    x, y = torch.from_numpy(np.array(train["x"])), torch.from_numpy(np.array(train["y"])).long()
    loader = DataLoader(TensorDataset(x, y), batch_size=BATCH_SIZE, shuffle=True, drop_last=True)

    class Batches(TrainDataLoaderIter):
        """Batches that were drawn beforehand, the least that a loader can cost."""

        def __init__(self) -> None:
            self._batches = [batch for _ in range(3) for batch in loader][:STEPS]
            self._next = iter(self._batches)

        def __next__(self) -> Any:
            return next(self._next)

    def run() -> None:
        torch.set_num_threads(threads)
        net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
        finder = LRFinder(
            net, torch.optim.Adam(net.parameters()), torch.nn.CrossEntropyLoss(), device="cpu"
        )
        batches = loader if feed == "DataLoader" else Batches()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            # All rungs, like ours: a threshold that is never reached.
            finder.range_test(batches, None, 1e-7, 10.0, STEPS, diverge_th=1e12)
        assert len(finder.history["loss"]) == STEPS

    run()
    return run


if __name__ == "__main__":
    main()
