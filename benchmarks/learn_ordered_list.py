"""Learns the ordered list that `tune` begins with from the Atlas, and says how well it does.

    python benchmarks/learn_ordered_list.py                  # prints the list and its regret
    python benchmarks/learn_ordered_list.py --relative       # with range tests, too
    python benchmarks/learn_ordered_list.py --write          # into lropt_jax/tuning/ordered.json

The regret is normalised (0: the problem's best configuration, 1: its median), of the best of the
first k, a mean over problems; "left out" on problems that the list was not learned on. From fewer
than eight problems no list is written.
"""

from __future__ import annotations

import argparse
import json
import pathlib

import numpy as np

import lropt_jax
from lropt_jax.problems.catalogue import METRICS
from lropt_jax.range_tests import lr_range_test
from lropt_jax.tasks.metrics import direction
from lropt_jax.tuning import configurations
from lropt_jax.tuning.learning import learn

FEWEST = 8  # problems
# The Atlas's names by those of the list; those that are missing cannot be made by a name.
NAMES = {name: name for name in lropt_jax.OPTIMIZERS} | {
    "sgdw": "nesterov", "lion": "optax.lion",
    "schedule_free_adamw": "optax.contrib.schedule_free_adamw",
}  # fmt: skip
WARMED = ("cosine", "one_cycle")
NUMBERS = ("momentum", "l2", "weight_decay", "rho", "decay", "b1", "b2", "nu", "nu1", "beta",
           "eta_minus", "eta_plus")  # fmt: skip
FILE = pathlib.Path(configurations.__file__).with_name(configurations.FILE)


def atlas():
    """The Atlas's tuning runs in the form that `learn` takes, and the modes of their metrics."""
    frame = lropt_jax.load_atlas()
    frame = frame[(frame["phase"] == "tune") & frame["optimizer"].isin(list(NAMES))]
    problems = list(dict.fromkeys(frame["problem"]))
    modes = {p: direction(METRICS[p]) for p in problems}
    value = [row[f"valid_{METRICS[row['problem']]}"] for _, row in frame.iterrows()]
    value = np.where(frame["status"] == "finished", np.array(value, float), np.nan)
    found = frame[["optimizer", "problem", "learning_rate", "schedule"]].assign(
        optimizer=frame["optimizer"].map(NAMES), value=value,
        warmup=np.where(frame["schedule"].isin(WARMED), frame["warm"], 0.0),
    )  # fmt: skip
    numbers = frame[[n for n in NUMBERS if n in frame and frame[n].notna().any()]]
    return found.join(numbers), modes


def suggestions(frame):
    """What a range test suggests, by problem and optimizer."""
    found = {}
    for problem, optimizer in sorted(set(zip(frame["problem"], frame["optimizer"], strict=True))):
        factory = configurations.plain(optimizer)
        test = lr_range_test(lropt_jax.problem(problem), factory, seeds=4)
        found[problem, optimizer] = test.suggestion
        print(f"{problem} {optimizer}: {test.suggestion}", flush=True)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relative", action="store_true", help="run range tests, too")
    parser.add_argument("--write", action="store_true", help="into the package")
    parser.add_argument("--length", type=int, default=24)
    options = parser.parse_args()
    frame, modes = atlas()
    learned = learn(frame, modes, suggestions(frame) if options.relative else None, options.length)
    print(f"{len(frame):,} trainings, {len(modes)} problems; relative: {learned.relative}")
    for k, (row, regret) in enumerate(zip(learned.rows, learned.curve, strict=True), 1):
        left_out = learned.left_out[min(k, len(learned.left_out)) - 1]
        print(f"{k:3d}  {regret:.3f}  left out {left_out:.3f}  {row.as_json()}")
    if not options.write:
        return
    if len(modes) < FEWEST:
        raise SystemExit(f"{len(modes)} problems teach no list; it takes {FEWEST}")
    held = json.loads(FILE.read_text())
    held["learned_from"] = f"the Atlas, {len(modes)} problems: {', '.join(modes)}"
    held["note"] = "Learned by benchmarks/learn_ordered_list.py."
    held["rows"] = [row.as_json() for row in learned.rows]
    FILE.write_text(json.dumps(held, indent=1) + "\n")


if __name__ == "__main__":
    main()
