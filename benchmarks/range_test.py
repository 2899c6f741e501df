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
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

STEPS, BATCH_SIZE = 100, 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tests", type=int, default=128, help="curves in our population")
    parser.add_argument("--repeats", type=int, default=5, help="of which the best counts")
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)
    print(f"{cores} cores, load {os.getloadavg()[0]:.1f}")

    ours, first = _ours(options.tests)
    runs = {"lropt_jax": ours}
    for threads in sorted({1, cores}):
        for feed in ("DataLoader", "list of batches"):
            runs[f"torch-lr-finder, {threads} threads, {feed}"] = _torch(threads, feed)
    seconds = dict.fromkeys(runs, float("inf"))
    for _ in range(options.repeats):  # in turn, so that a disturbance meets all
        for name, run in runs.items():
            seconds[name] = min(seconds[name], _timed(run))
    print(
        f"{options.tests} tests of {STEPS} steps: {seconds['lropt_jax']:.2f} s, first {first:.1f} s"
    )
    curves = {name: (1 if "torch" in name else options.tests) / s for name, s in seconds.items()}
    for name, rate in curves.items():
        print(f"{name}: {rate:.1f} curves/s")
    theirs = max(rate for name, rate in curves.items() if "torch" in name)
    print(f"ratio: {curves['lropt_jax'] / theirs:.0f}")
    if options.output:
        options.output.write_text(json.dumps(curves, indent=1) + "\n")


def _timed(run: Callable[[], Any]) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


def _ours(tests: int) -> tuple[Callable[[], Any], float]:
    from lropt_jax import adam, classification_task, load_data, lr_range_test
    from lropt_jax.tasks import models

    task = classification_task(models.mlp((32, 10)), load_data("digits"), BATCH_SIZE)

    def run() -> None:
        lr_range_test(task, adam, steps=STEPS, seeds=tests)

    return run, _timed(run)


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
