"""How good is what `tune` recommends? Against what people do instead, problem by problem.

    python benchmarks/tune.py --repeats 20 --minutes 60
    python benchmarks/tune.py --write docs/which_optimizer.md     # the table, from what is there

Goes on where it ended: a record a problem and repeat in `runs/tune-benchmark`; those of the
published table are in `benchmarks/results/tune`, and `--output` goes on from there. `tune` on a
problem begins with the list that is learned on the Atlas without that problem. Every method chooses
on the validation split with one seed, from trainings as long as the Atlas's; what it chose is
trained on the same fresh seeds as what the others chose. The reference is the Atlas itself: the
sweeps of 24 optimizers with 64 configurations each. Regret is normalised: 0 is the mean over fresh
seeds of the best of these 24 winners, 1 the median of all configurations.

What does not depend on the repeat is trained once a problem: a pool of random configurations of
AdamW, of which each repeat has its own, and the rates of the grid on several seeds.
"""

from __future__ import annotations

import argparse
import functools
import json
import math
import pathlib
import time

import numpy as np
from learn_ordered_list import FEW, atlas
from tune_table import table

import lropt_jax
from lropt_jax import choice, integer, log_uniform, search, sweep, tune
from lropt_jax.atlas.design import STEPS
from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.problems.catalogue import METRICS
from lropt_jax.sweeps.planning.draws import draw
from lropt_jax.tasks.metrics import direction
from lropt_jax.tuning import configurations
from lropt_jax.tuning.configurations import planned
from lropt_jax.tuning.learning import learn

# The quickest of the Atlas: together some minutes a repeat.
PROBLEMS = ("digits_linear", "shuttle", "noisy_quadratic", "randhie", "yeast", "heavy_tails",
            "mnist1d_mlp", "mnist1d_batchnorm")  # fmt: skip
BLOCK = 4  # repeats of a problem before the next one
BUDGET = 8
FRESH = [2_000_000 + i for i in range(5)]  # none of those that `tune` chooses on
POOL, GRID_SEEDS, WIDE = 96, 10, 32
BEGIN, END = "<!-- begin table -->", "<!-- end table -->"
METHODS = {
    "tune": f"`tune`, {BUDGET} trainings",
    "random_32": "random search in a tuned AdamW space, 32",
    "random_8": "the same, 8",
    "tpe_equal": "Optuna's TPE in that space, as many model-steps as all of `tune`",
    "tpe_8": "the same, 8",
    "grid_8": "Adam, 8 rates, cosine",
    "adam": "Adam(1e-3)",
}


def space(steps):
    """The tuned AdamW space."""
    return {
        "learning_rate": log_uniform(1e-4, 0.3), "weight_decay": log_uniform(1e-4, 1.0),
        "schedule": choice(*range(len(SCHEDULE_FAMILIES))),
        "warmup_steps": integer(0, int(0.3 * steps)), "total_steps": float(steps),
    }  # fmt: skip


@functools.cache
def results():
    return lropt_jax.load_atlas()


@functools.cache
def left_out(problem):
    """What `tune` reads instead of the file that ships: the list without a problem."""
    frame, modes = atlas()
    frame = frame[frame["optimizer"].isin(FEW) & (frame["problem"] != problem)]
    modes = {name: mode for name, mode in modes.items() if name != problem}
    assert set(frame["problem"]) == set(modes)
    rows = learn(frame, modes).rows
    words = f"the Atlas without {problem}"
    return {**_held(), "learned_from": words, "learned": [row.as_json() for row in rows]}


_held = configurations._read


class Problem:
    """A problem, and the trainings that all methods share."""

    def __init__(self, name):
        self.name, self.task = name, lropt_jax.problem(name)
        self.metric = f"valid_{METRICS[name]}"
        self.mode = direction(self.metric)
        self.sign = 1.0 if self.mode == "min" else -1.0
        self.steps = STEPS[name]
        self._fresh = {}

    def train(self, optimizer, chosen, seeds, width):
        """The metric of configurations, (configurations, seeds); NaN where one did not finish."""
        result = sweep(
            self.task, planned(optimizer), chosen, seeds=seeds, steps=self.steps, width=width,
            strategy="vmap", progress=False,
        )  # fmt: skip
        return self.values(result)

    def values(self, result):
        last = np.array(result.last(self.metric), float)
        return np.where(result.status == "finished", last, np.nan)

    def best(self, values):
        losses = np.where(np.isfinite(values), self.sign * np.array(values, float), np.inf)
        return int(losses.argmin())

    def fresh(self, chosen):
        """What each method chose on the fresh seeds; a configuration once."""
        found = {}
        for method, (optimizer, configuration) in chosen.items():
            name = optimizer, json.dumps(configuration, sort_keys=True)
            if name not in self._fresh:
                values = self.train(optimizer, [configuration], FRESH, len(FRESH))[0]
                self._fresh[name] = [float(v) for v in values]
            found[method] = self._fresh[name]
        return found

    def grid(self):
        usual = {"schedule": 2, "warmup_steps": 0, "total_steps": float(self.steps)}
        rates = [float(f"{r:.4g}") for r in np.geomspace(1e-4, 0.3, 8)]
        return [{"learning_rate": r, "weight_decay": 0.0, **usual} for r in rates]

    def pool(self):
        return [dict(c) for c in draw(space(self.steps), POOL, 11)]


def shared(problem):
    """What all repeats of a problem need: the reference and the pools."""
    name, frame = problem.name, results()
    frame = frame[frame["problem"] == name]
    tuned = frame[frame["phase"] == "tune"]
    values = np.where(tuned["status"] == "finished", tuned[problem.metric], np.nan)
    losses = np.where(np.isfinite(values), problem.sign * values, np.inf)
    winners = frame[(frame["phase"] == "retrain") & frame["budgets"].str.contains("all")]
    means = winners.assign(value=np.where(winners["status"] == "finished",
                                          winners[problem.metric], np.nan))  # fmt: skip
    found = {o: float(v.mean(skipna=False)) for o, v in means.groupby("optimizer")["value"]}
    middle = float(np.median(losses))
    if not math.isfinite(middle):
        middle = float(losses[np.isfinite(losses)].max())
    return {
        "sweeps": found, "median": problem.sign * middle,
        "pool": problem.train("adamw", problem.pool(), [0], WIDE)[:, 0].tolist(),
        "grid": problem.train("adamw", problem.grid(), list(range(GRID_SEEDS)), WIDE).tolist(),
    }  # fmt: skip


def repeat(problem, number, common):
    """Every method once."""
    key, steps = 100 + number, problem.steps
    configurations._read = lambda: left_out(problem.name)
    began = time.monotonic()
    tuning = tune(
        problem.task, steps=steps, budget=BUDGET, metric=problem.metric, key=key, progress=False
    )
    seconds = time.monotonic() - began
    assert tuning.learned_from == f"the Atlas without {problem.name}"
    contender, configuration = tuning.leader
    chosen = {"tune": (contender.name, configuration)}
    pool, drawn = problem.pool(), np.random.default_rng(key).permutation(POOL)[:32]
    values = np.array(common["pool"], float)
    for count in (8, 32):
        own = drawn[:count]
        chosen[f"random_{count}"] = "adamw", pool[own[problem.best(values[own])]]
    rates = np.array(common["grid"], float)[:, number % GRID_SEEDS]
    chosen["grid_8"] = "adamw", problem.grid()[problem.best(rates)]
    chosen["adam"] = "adamw", {**problem.grid()[0], "schedule": 0, "learning_rate": 1e-3}
    equal = math.ceil(tuning.model_steps / steps)
    study = search(
        problem.task, planned("adamw"), space(steps), trials=equal, batch=2, steps=steps, key=key,
        metric=problem.metric, mode=problem.mode, progress=False, width=2, strategy="vmap",
    )  # fmt: skip
    values = problem.values(study)[:, 0]
    for name, count in (("tpe_8", 8), ("tpe_equal", equal)):
        chosen[name] = "adamw", dict(study.trials[problem.best(values[:count])])
    return {
        "values": problem.fresh(chosen), "seconds": seconds, "optimizer": contender.name,
        "regret": [tuning.regret.value, tuning.regret.low, tuning.regret.high],
        "model_steps": tuning.model_steps, "list": left_out(problem.name)["learned"][:2],
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=PROBLEMS)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/tune-benchmark"))
    parser.add_argument("--write", type=pathlib.Path, help="a page with the two markers")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.write is None:
        measure(options.output, options.problems, options.repeats, 60 * options.minutes)
    made = printed(options.output)
    print(made)
    if options.write is not None:
        text = options.write.read_text()
        head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
        options.write.write_text(f"{head}\n\n{made}\n\n{tail}")


def printed(folder):
    """The table of all that is there."""
    records, commons, signs = {}, {}, {}
    for path in sorted(folder.glob("*-shared.json")):
        name = path.stem.removesuffix("-shared")
        repeats = [json.loads(p.read_text()) for p in sorted(folder.glob(f"{name}-[0-9]*.json"))]
        if repeats:
            records[name], commons[name] = repeats, json.loads(path.read_text())
            signs[name] = 1.0 if direction(f"valid_{METRICS[name]}") == "min" else -1.0
    return table(records, commons, signs, METHODS)


def measure(folder, problems, repeats, seconds):
    """Makes the records that are not there yet, as long as there is time."""
    end = time.monotonic() + seconds
    made = {}
    for first in range(0, repeats, BLOCK):
        for name in problems:
            for number in range(first, min(first + BLOCK, repeats)):
                if time.monotonic() > end:
                    return
                path = folder / f"{name}-{number}.json"
                if path.exists():
                    continue
                problem = made.setdefault(name, Problem(name))
                began = time.monotonic()
                common = kept(folder / f"{name}-shared.json", lambda p=problem: shared(p))
                kept(path, lambda p=problem, n=number, c=common: repeat(p, n, c))
                print(f"{name} {number}: {time.monotonic() - began:.0f} s", flush=True)


def kept(path, make):
    if not path.exists():
        held = make()
        path.write_text(json.dumps(held))
    return json.loads(path.read_text())


if __name__ == "__main__":
    main()
