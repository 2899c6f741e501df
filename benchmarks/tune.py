"""How good is what `tune` recommends? Against what people do instead, problem by problem.

    python benchmarks/tune.py --problems digits_linear mnist1d_mlp --repeats 20 --minutes 5
    python benchmarks/tune.py --write docs/which_optimizer.md

Goes on where it ended: a record a problem and repeat in `runs/tune-benchmark`. Every method chooses
on the validation split with one seed; what it chose is then trained on the same fresh seeds as what
the others chose. The reference is a full sweep: five optimizers, 48 configurations each, the best
eight on fresh seeds. Regret is normalised: 0 is the reference's best, 1 the median of its
configurations.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import pathlib
import time

import jax
import numpy as np

with contextlib.suppress(RuntimeError):
    jax.config.update("jax_num_cpu_devices", 2)

import lropt_jax
from lropt_jax import choice, integer, log_uniform, search, sweep, tune, uniform
from lropt_jax.comparisons.families import SCHEDULE_FAMILIES
from lropt_jax.problems.catalogue import METRICS
from lropt_jax.tasks.metrics import direction
from lropt_jax.tuning.configurations import planned

STEPS = {"noisy_quadratic": 500, "heavy_tails": 200}
LONGEST = 500
FULL, BEST_OF_FULL = 48, 8
BUDGET = 8
FRESH = [2_000_000 + i for i in range(5)]
RATES = {"adamw": (1e-4, 0.3), "nadamw": (1e-4, 0.3), "nesterov": (1e-3, 3.0),
         "sgd": (1e-2, 30.0), "rmsprop": (1e-5, 0.1)}  # fmt: skip
OWN = {"nesterov": {"momentum": uniform(0.7, 0.99)}}
METHODS = {
    "tune": f"`tune`, {BUDGET} trainings",
    "random_32": "random search in a tuned AdamW space, 32",
    "random_8": "the same, 8",
    "tpe_8": "Optuna's TPE in that space, 8",
    "grid_8": "Adam, 8 rates, cosine",
    "adam": "Adam(1e-3)",
}


def space(name, steps):
    """What a method that samples may try."""
    return {
        "learning_rate": log_uniform(*RATES[name]),
        "weight_decay": log_uniform(1e-4, 1.0)
        if name.startswith("adam")
        else log_uniform(1e-5, 0.1),
        "schedule": choice(*range(len(SCHEDULE_FAMILIES))),
        "warmup_steps": integer(0, int(0.3 * steps)),
        "total_steps": float(steps),
        **OWN.get(name, {}),
    }


class Problem:
    """A problem, and the trainings that all methods share."""

    def __init__(self, name):
        self.name, self.task = name, lropt_jax.problem(name)
        self.metric = f"valid_{METRICS[name]}"
        self.mode = direction(self.metric)
        self.sign = 1.0 if self.mode == "min" else -1.0
        self.steps = STEPS.get(name, min(LONGEST, 20 * self.task.steps_per_epoch))

    def train(self, optimizer, configurations, seeds, key):
        """The metric of configurations, (configurations, seeds)."""
        result = sweep(
            self.task, planned(optimizer), configurations, seeds=seeds, steps=self.steps, key=key,
            width=6, progress=False,
        )  # fmt: skip
        last = np.array(result.last(self.metric), float)
        return np.where(result.status == "finished", last, np.nan)

    def sampled(self, optimizer, trials, key):
        from lropt_jax.sweeps.planning.draws import draw

        return draw(space(optimizer, self.steps), trials, [key, 11])

    def best(self, values):
        losses = np.where(np.isfinite(values), self.sign * values, np.inf)
        return int(losses.argmin())

    def fresh(self, chosen):
        """The mean over fresh seeds of what each method chose; a configuration once."""
        found, known = {}, {}
        for method, (optimizer, configuration) in chosen.items():
            name = optimizer, json.dumps(configuration, sort_keys=True)
            if name not in known:
                known[name] = self.train(optimizer, [configuration], FRESH, 0)[0]
            found[method] = [float(v) for v in known[name]]
        return found


def reference(problem):
    """The full sweep: the best on fresh seeds, and the median configuration."""
    pool, values = [], []
    for optimizer in RATES:
        configurations = problem.sampled(optimizer, FULL, 1)
        pool += [(optimizer, c) for c in configurations]
        values += list(problem.train(optimizer, configurations, [0], 1)[:, 0])
    values = np.array(values)
    losses = np.where(np.isfinite(values), problem.sign * values, np.inf)
    best = np.argsort(losses, kind="stable")[:BEST_OF_FULL]
    fresh = problem.fresh({int(i): pool[i] for i in best})
    means = {i: float(np.mean(v)) for i, v in fresh.items()}
    winner = min(means, key=lambda i: problem.sign * means[i] if np.isfinite(means[i]) else np.inf)
    finite = losses[np.isfinite(losses)]
    middle = float(np.median(losses)) if np.isfinite(np.median(losses)) else float(finite.max())
    return {"best": means[winner], "optimizer": pool[winner][0], "median": problem.sign * middle,
            "model_steps": (len(pool) + BEST_OF_FULL * len(FRESH)) * problem.steps}  # fmt: skip


def repeat(problem, number):
    """Every method once."""
    key, steps = 100 + number, problem.steps
    began = time.monotonic()
    tuning = tune(
        problem.task, steps=steps, budget=BUDGET, metric=problem.metric, key=key, progress=False
    )
    seconds = time.monotonic() - began
    contender, configuration = tuning.leader
    chosen = {"tune": (contender.name, configuration)}
    usual = {"schedule": 2, "warmup_steps": 0, "total_steps": float(steps), "weight_decay": 0.0}
    drawn = problem.sampled("adamw", 32, key)
    grid = [{**usual, "learning_rate": float(r)} for r in np.geomspace(1e-4, 0.3, 8)]
    values = problem.train("adamw", [*drawn, *grid], [0], key)[:, 0]
    chosen["random_8"] = "adamw", drawn[problem.best(values[:8])]
    chosen["random_32"] = "adamw", drawn[problem.best(values[:32])]
    chosen["grid_8"] = "adamw", grid[problem.best(values[32:])]
    chosen["adam"] = "adamw", {**usual, "schedule": 0, "learning_rate": 1e-3}
    study = search(
        problem.task, planned("adamw"), space("adamw", steps), trials=8, batch=2, steps=steps,
        key=key, metric=problem.metric, mode=problem.mode, progress=False, width=6,
    )  # fmt: skip
    chosen["tpe_8"] = "adamw", dict(study.best(problem.metric, problem.mode))
    return {
        "values": problem.fresh(chosen), "seconds": seconds, "optimizer": contender.name,
        "regret": [tuning.regret.value, tuning.regret.low, tuning.regret.high],
        "model_steps": tuning.model_steps,
    }  # fmt: skip


def table(records, references):
    """The figures as a table in Markdown."""
    rows = {method: {} for method in METHODS}
    covered, seconds = [], []
    for (name, _), record in records.items():
        if name not in references:
            continue
        sign = 1.0 if direction(f"valid_{METRICS[name]}") == "min" else -1.0
        best, middle = references[name]["best"], references[name]["median"]
        for method, values in record["values"].items():
            lost = sign * (np.mean(values) - best) / max(sign * (middle - best), 1e-12)
            rows[method].setdefault(name, []).append(float(np.nan_to_num(lost, nan=1.0)))
        truth = max(0.0, sign * (np.mean(record["values"]["tune"]) - best))
        covered.append(record["regret"][1] - 1e-9 <= truth <= record["regret"][2] + 1e-9)
        seconds.append(record["seconds"])
    names = sorted({name for name, _ in records if name in references})
    lines = [f"| method | {' | '.join(names)} | median of all | beaten by `tune` |",
             f"| --- | {' | '.join('---:' for _ in names)} | ---: | ---: |"]  # fmt: skip
    for method, words in METHODS.items():
        own = rows[method]
        cells = []
        for name in names:
            found = np.array(own.get(name, [np.nan]))
            cells.append(f"{np.median(found):.2f}")
        every = np.concatenate([own[name] for name in names])
        wins = sum(np.median(rows["tune"][n]) < np.median(own[n]) for n in names)
        won = "–" if method == "tune" else f"{wins} of {len(names)}"
        lines.append(f"| {words} | {' | '.join(cells)} | {np.median(every):.2f} | {won} |")
    repeats = {n: sum(name == n for name, _ in records) for n in names}
    lines += [
        "",
        f"Repeats: {', '.join(f'{n} {k}' for n, k in repeats.items())}. The regret's interval held "
        f"the regret in {np.mean(covered):.0%} of {len(covered)}. `tune` took "
        f"{np.median(seconds):.0f} s (median; shared cores, programs compiled before).",
    ]
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--problems", nargs="+", default=["digits_linear", "mnist1d_mlp"])
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("runs/tune-benchmark"))
    parser.add_argument("--write", type=pathlib.Path, help="a page with the two markers")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + 60 * options.minutes
    if options.write is None:
        for number, name in ((r, n) for r in range(options.repeats) for n in options.problems):
            done(options.output, name, number, end)
            if time.monotonic() > end:
                break
    records, references = {}, {}
    for path in sorted(options.output.glob("*.json")):
        name, _, number = path.stem.rpartition("-")
        held = json.loads(path.read_text())
        if number == "reference":
            references[name] = held
        else:
            records[name, int(number)] = held
    made = table(records, references)
    print(made)
    if options.write is not None:
        text = options.write.read_text()
        head, rest = text.split("<!-- begin table -->")
        tail = rest.split("<!-- end table -->")[1]
        options.write.write_text(
            f"{head}<!-- begin table -->\n\n{made}\n\n<!-- end table -->{tail}"
        )


def done(output, name, number, end):
    """Makes the records of a problem and repeat that are not there yet."""
    parts = {"reference": lambda p: reference(p), str(number): lambda p: repeat(p, number)}
    problem = None
    for part, make in parts.items():
        path = output / f"{name}-{part}.json"
        if path.exists() or time.monotonic() > end:
            continue
        problem = problem or Problem(name)
        began = time.monotonic()
        held = make(problem)
        path.write_text(json.dumps(held))
        print(f"{name} {part}: {time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
