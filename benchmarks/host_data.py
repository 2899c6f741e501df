"""What data on the host cost: time against the same data on the device, memory against the file.

    python benchmarks/host_data.py            # a minute or two on two cores
    python benchmarks/host_data.py --quick

A net whose step takes about 5 ms is trained on a `numpy.memmap` and on the same numbers on the
device, in turns; the ratio is that of the medians, with the smallest and the largest of the turns'.
Memory is the highest resident set of a process of its own for each size of file and number of
updates: all that counts as its memory, pages of files among it.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

import lropt_jax as lr

WIDTH, CLASSES, BATCH = 784, 10, 256
HIDDEN = (512, 256)


def written(folder: str, examples: int) -> np.memmap:
    """A file of so many examples, written in pieces."""
    path = pathlib.Path(folder) / f"{examples}.dat"
    x = np.memmap(path, np.float32, "w+", shape=(examples, WIDTH))
    rng = np.random.default_rng(0)
    for start in range(0, examples, 4096):
        piece = x[start : start + 4096]
        piece[:] = rng.standard_normal(piece.shape, np.float32)
    x.flush()
    return np.memmap(path, np.float32, "r", shape=(examples, WIDTH))


def task_of(x: np.ndarray) -> lr.Task:
    """A classification by the first numbers of each example."""
    y = np.argmax(x[:, :CLASSES], axis=1)
    data = {"train": {"x": x, "y": y}}
    return lr.classification_task(lr.mlp((*HIDDEN, CLASSES)), data, batch_size=BATCH)


def seconds(task: lr.Task, steps: int) -> float:
    """For so many updates, the program compiled before."""
    start = time.perf_counter()
    lr.fit(task, lr.adam(1e-3), steps)
    return time.perf_counter() - start


def times(folder: str, steps: int, turns: int) -> dict[str, object]:
    """Both in turns."""
    x = written(folder, 20_000)
    tasks = {"device": task_of(np.array(x)), "host": task_of(x)}
    for task in tasks.values():
        seconds(task, steps)
    found: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(turns):
        for name in sorted(tasks, reverse=turn % 2 == 1):
            found[name].append(1000 * seconds(tasks[name], steps) / steps)
    ratios = [h / d for h, d in zip(found["host"], found["device"], strict=True)]
    middle = {name: statistics.median(values) for name, values in found.items()}
    return {
        "ms a step": {name: round(value, 2) for name, value in middle.items()},
        "ratio": round(middle["host"] / middle["device"], 3),
        "ratios of the turns": [round(min(ratios), 3), round(max(ratios), 3)],
    }


def peak(folder: str, examples: int, updates: int) -> dict[str, int]:
    """The file's size and the highest resident set of a process that trains on it, in MB."""
    command = [sys.executable, __file__, "--child", folder, str(examples), str(updates)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {
        "file MB": examples * WIDTH * 4 >> 20,
        "updates": updates,
        "read MB": updates * BATCH * WIDTH * 4 >> 20,
        "peak MB": int(out.split()[-1]),
    }


def child(folder: str, examples: int, updates: int) -> None:
    """Trains on a file that is there."""
    path = pathlib.Path(folder) / f"{examples}.dat"
    x = np.memmap(path, np.float32, "r", shape=(examples, WIDTH))
    y = np.arange(examples) % CLASSES
    data = {"train": {"x": x, "y": y}}
    task = lr.classification_task(lr.mlp((16, CLASSES)), data, batch_size=BATCH)
    lr.fit(task, lr.adam(1e-3), updates)
    # Not getrusage: its peak is inherited from the process that started this one.
    status = pathlib.Path("/proc/self/status").read_text()
    print(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) >> 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--output", type=pathlib.Path, help="a JSON file")
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "EXAMPLES", "UPDATES"))
    given = parser.parse_args()
    if given.child:
        child(given.child[0], *map(int, given.child[1:]))
        return
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        found = times(folder, *((60, 3) if given.quick else (300, 9)))
        print(json.dumps(found), flush=True)
        for examples in (20_000, 80_000) if given.quick else (20_000, 80_000, 320_000):
            written(folder, examples)
            for updates in (80, 312, 1250):
                peaks.append(peak(folder, examples, updates))
                print(json.dumps(peaks[-1]), flush=True)
    if given.output:
        given.output.write_text(json.dumps({"times": found, "peaks": peaks}, indent=1) + "\n")


if __name__ == "__main__":
    main()
