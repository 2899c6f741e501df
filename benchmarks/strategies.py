"""Does `strategy="auto"` choose well? Whole sweeps by it and by each fixed strategy.

    python benchmarks/strategies.py                        five nets, 200, 1,000 and 5,000 updates
    python benchmarks/strategies.py --nets small,gru --steps 200 --rounds 2

Each round times every contender once, in turns, in one process. "auto" forgets what it has found
before each run, so that its trials are paid for every time; compiling what is being timed is done
before, alike for all. What counts is the ratio of "auto" to the fastest fixed strategy.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="lropt-strategies-")

from population import SETTINGS, Setting, rates  # sets the number of devices

from lropt_jax import adam, sweep
from lropt_jax.problems import problem
from lropt_jax.training import remembered

FIXED = ("vmap", "map", "map:4", "map:8")
NETS = ("small", "default", "large", "conv", "gru")
# Fewer updates where one takes tens of milliseconds: the shares of trials are the same.
SHORTER = {"conv": 20, "gru": 10}


def task_of(net: str) -> tuple[Any, int]:
    if net == "gru":
        return problem("mnist1d_gru"), 8
    setting: Setting = SETTINGS[net]
    return setting.task(), setting.lanes


def timed(task: Any, lanes: int, steps: int, strategy: str) -> tuple[float, str]:
    if strategy == "auto":
        remembered._FOUND.clear()
        remembered._file().unlink(missing_ok=True)
    began = time.perf_counter()
    result = sweep(
        task,
        adam,
        {"learning_rate": rates(lanes)},
        steps=steps,
        eval_every=None,
        strategy=strategy,
        width=lanes,
        progress=False,
    )
    return time.perf_counter() - began, result.strategy[0]


def measure(net: str, steps: int, rounds: int) -> dict[str, Any]:
    """Median seconds of each contender, and what "auto" chose in each round."""
    task, lanes = task_of(net)
    steps = max(2, steps // SHORTER.get(net, 1))
    contenders = ("auto", *FIXED)
    for strategy in contenders:
        timed(task, lanes, steps, strategy)
    seconds: dict[str, list[float]] = {s: [] for s in contenders}
    chosen = []
    for _ in range(rounds):
        for strategy in contenders:
            took, resolved = timed(task, lanes, steps, strategy)
            seconds[strategy].append(took)
            if strategy == "auto":
                chosen.append(resolved)
    medians = {s: statistics.median(v) for s, v in seconds.items()}
    best = min(FIXED, key=medians.__getitem__)
    return {
        "net": net, "updates": steps, "lanes": lanes, "chosen": chosen, "best": best,
        "ratio": medians["auto"] / medians[best], "seconds": medians,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--nets", default=",".join(NETS))
    parser.add_argument("--steps", default="200,1000,5000")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    rows = []
    print("| net | lanes | updates | auto chose | fastest | auto / fastest |", flush=True)
    print("| --- | ---: | ---: | --- | --- | ---: |")
    for net in options.nets.split(","):
        for steps in map(int, options.steps.split(",")):
            row = measure(net, steps, options.rounds)
            rows.append(row)
            chosen = ", ".join(sorted(set(row["chosen"])))
            print(
                f"| {net} | {row['lanes']} | {row['updates']:,} | {chosen} | {row['best']} "
                f"({row['seconds'][row['best']]:.2f} s) | {row['ratio']:.2f} |",
                flush=True,
            )
    if options.output:
        options.output.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
