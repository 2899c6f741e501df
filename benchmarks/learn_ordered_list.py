"""Learns the ordered list that `tune` begins with from the Atlas, and says how well it does.

    python benchmarks/learn_ordered_list.py                  # prints the list and its regret
    python benchmarks/learn_ordered_list.py --relative       # with range tests, too
    python benchmarks/learn_ordered_list.py --relative --write    # into lropt_jax/tuning/
    python benchmarks/learn_ordered_list.py --unseen yeast shuttle    # what ships, on problems that
                                                                      # it was not learned on

The regret is normalised (0: the problem's best configuration, 1: its median), of the best of the
first k, a mean over problems; "left out" on problems that the list was not learned on. From fewer
than eight problems no list is written. Range tests are kept in `range_tests.json` beside this file.

A list from all optimizers is made of lucky single trainings: it does worse on problems left out
than one from a few (see docs/log.md). Rows of the prior come between.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib

import numpy as np
import pandas as pd

import lropt_jax
from lropt_jax.problems.catalogue import METRICS
from lropt_jax.range_tests import lr_range_test
from lropt_jax.tasks.metrics import direction
from lropt_jax.tuning import configurations, learning
from lropt_jax.tuning.learning import learn
from lropt_jax.tuning.rates import of_kind

FEWEST = 8  # problems
TESTED = ("adamw", "nesterov")  # of what ships, by `tune`
FEW = ("adamw", "nadamw", "qhadam", "nesterov")  # that the list is learned from
TESTS = pathlib.Path(__file__).with_name("range_tests.json")
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
    held = json.loads(TESTS.read_text()) if TESTS.exists() else {}
    pairs = sorted(set(zip(frame["problem"], frame["optimizer"], strict=True)))
    for problem, optimizer in pairs:
        if optimizer not in held.setdefault(problem, {}):
            factory = configurations.plain(optimizer)
            test = lr_range_test(lropt_jax.problem(problem), factory, seeds=4)
            found = test.suggestion
            held[problem][optimizer] = None if found is None else float(f"{found:.4g}")
            print(f"{problem} {optimizer}: {held[problem][optimizer]}", flush=True)
            TESTS.write_text(json.dumps(held, indent=1) + "\n")
    return {(p, o): held[p][o] for p, o in pairs}


def unseen(frame, modes, problem):
    """The regret on a problem of each row that ships: of those learned, of the prior's."""
    rows = configurations.complete(configurations.shipped()[1])
    names = sorted({row.optimizer for row in rows})
    tested = suggestions(pd.DataFrame({"problem": problem, "optimizer": TESTED}))
    suggested = {optimizer: rate for (_, optimizer), rate in tested.items()}
    there = frame[(frame["problem"] == problem) & frame["optimizer"].isin(names)]
    asked = [
        {
            **row.as_json(), "problem": "", "value": np.nan,
            "learning_rate": row.configuration(
                1, of_kind(row.optimizer, suggested)
            )["learning_rate"],
        }
        for row in rows
    ]  # fmt: skip
    asked = pd.DataFrame(asked).drop(columns=["relative", "absolute"])
    joined = pd.concat([there, asked], ignore_index=True)
    table = learning._table(joined, {**modes, "": "min"}, [problem], None)[len(there) :, 0]
    learned = np.array([row.learned for row in rows])
    return table[learned], table[~learned]


def in_turns(learned, prior, ratio):
    """So many learned rows to one of the prior."""
    learned, found = iter(learned), []
    for other in prior:
        found += [*itertools.islice(learned, ratio), other]
    return np.array([*found, *learned])


def following(learned, prior):
    """One of each, then as many again from the side that has the best so far, as `tune` does."""
    sides, found = [list(learned), list(prior)], [learned[0], prior[0]]
    taken = [1, 1]
    while len(found) < len(learned) + len(prior):
        best = [min(side[:n]) for side, n in zip(sides, taken, strict=True)]
        first = int(best[1] < best[0])
        for _ in range(len(found)):
            side = first if taken[first] < len(sides[first]) else 1 - first
            if taken[side] < len(sides[side]):
                found.append(sides[side][taken[side]])
                taken[side] += 1
    return np.array(found)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--relative", action="store_true", help="run range tests, too")
    parser.add_argument("--write", action="store_true", help="into the package")
    parser.add_argument("--length", type=int, default=24)
    parser.add_argument("--optimizers", nargs="+", default=FEW, metavar="NAME", help="or all")
    parser.add_argument("--unseen", nargs="+", metavar="PROBLEM", help="tries what ships on these")
    options = parser.parse_args()
    frame, modes = atlas()
    for problem in options.unseen or ():
        sides = unseen(frame, modes, problem)
        orders = {"two to one": in_turns(*sides, 2), "one to one": in_turns(*sides, 1),
                  "following the leader": following(*sides)}  # fmt: skip
        for name, order in orders.items():
            first = np.minimum.accumulate(order)[:12]
            print(f"{problem}, {name}:", *(f"{regret:.3f}" for regret in first))
    if options.unseen:
        return
    if options.optimizers != ["all"]:
        frame = frame[frame["optimizer"].isin(options.optimizers)].reset_index(drop=True)
    tests = suggestions(frame) if options.relative else None
    learned = learn(frame, modes, tests, options.length)
    print(f"{len(frame):,} trainings, {len(modes)} problems; relative: {learned.relative}")
    for k, (row, regret) in enumerate(zip(learned.rows, learned.curve, strict=True), 1):
        left_out = learned.left_out[min(k, len(learned.left_out)) - 1]
        print(f"{k:3d}  {regret:.3f}  left out {left_out:.3f}  {row.as_json()}")
    if not options.write:
        return
    if len(modes) < FEWEST or tests is None:
        raise SystemExit(f"a list takes {FEWEST} problems and --relative, there are {len(modes)}")
    held = json.loads(FILE.read_text())
    held["learned_from"] = f"the Atlas, {len(modes)} problems: {', '.join(modes)}"
    held["learned"] = [row.as_json() for row in learned.rows]
    known = {o: [v for (_, p), v in tests.items() if p == o and v] for o in options.optimizers}
    held["suggested"] = {o: [min(values), max(values)] for o, values in known.items() if values}
    FILE.write_text(written(held))


def written(held):
    """The file, a row a line."""
    lines = []
    for name, value in held.items():
        if isinstance(value, list):
            rows = ",\n    ".join(map(json.dumps, value))
            value = f"[\n    {rows}\n  ]" if value else "[]"
        else:
            value = json.dumps(value)
        lines.append(f'  "{name}": {value}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    main()
