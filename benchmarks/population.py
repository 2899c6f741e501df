"""What a model-step costs: a sweep against a Python loop, vmap by hand, and PyTorch.

    python benchmarks/population.py                       all settings, 5 rounds
    python benchmarks/population.py --settings small --rounds 3 --output population.json
    python benchmarks/population.py --scaling             cost and memory from 32 to 1,024 trials

Everything runs in one process, the contenders in turns, so that a busy moment of the machine hits
all of them. A contender trains for two lengths; the difference of the medians, over the difference
of the lengths, is the cost of a model-step: fixed costs (compiling, starting, evaluating at the
end) fall out. All train with Adam at a rate of their own for each model.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib.util
import json
import os
import platform
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402
from flax import linen as nn  # noqa: E402

from lropt_jax import Task, adam, classification_task, sweep  # noqa: E402
from lropt_jax.sweeps.running import strategy as strategies  # noqa: E402
from lropt_jax.tasks.models import cnn, mlp  # noqa: E402
from lropt_jax.training.lanes import BatchOrder  # noqa: E402
from lropt_jax.training.layout import Layout  # noqa: E402
from lropt_jax.training.visits import itinerary  # noqa: E402


class Plain(nn.Module):
    """A multilayer perceptron as a tutorial writes it."""

    layers: tuple[int, ...]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        for width in self.layers[:-1]:
            x = nn.relu(nn.Dense(width)(x))
        return nn.Dense(self.layers[-1])(x)


@dataclasses.dataclass(frozen=True)
class Setting:
    """A model, its batch, the models at once, and the lengths that are timed."""

    layers: tuple[int, ...] | None  # None: the two-convolution net
    batch: int
    lanes: int
    steps: tuple[int, int]
    loop_steps: tuple[int, int]
    examples: int = 5000

    def data(self) -> dict[str, np.ndarray]:
        random = np.random.default_rng(0)
        shape = (28, 28, 1) if self.layers is None else (self.layers[0],)
        x = random.normal(size=(self.examples, *shape)).astype(np.float32)
        return {"x": x, "y": random.integers(0, 10, self.examples).astype(np.int32)}

    def task(self, plain: bool = False) -> Task:
        """With the package's model, or with what Flax's own layers make of it."""
        if self.layers is not None:
            model = Plain(self.layers[1:]) if plain else mlp(self.layers[1:])
        else:
            model = cnn(10)
        return classification_task(
            model, {"train": self.data(), "valid": None, "test": None}, self.batch
        )


SETTINGS = {
    "small": Setting((64, 32, 10), 32, 32, (100, 600), (100, 1100)),
    "default": Setting((40, 100, 100, 10), 64, 32, (20, 160), (20, 420)),
    "large": Setting((784, 100, 10), 64, 32, (10, 60), (10, 160)),
    "conv": Setting(None, 250, 4, (1, 5), (1, 9)),
}


def rates(lanes: int) -> list[float]:
    return [float(r) for r in np.geomspace(1e-4, 1e-2, lanes)]


class Sweep:
    """This package, by its public function."""

    def __init__(self, setting: Setting, task: Task, strategy: str = "auto"):
        self.setting, self.task, self.strategy = setting, task, strategy

    def __call__(self, steps: int) -> int:
        result = sweep(
            self.task,
            adam,
            {"learning_rate": rates(self.setting.lanes)},
            steps=steps,
            eval_every=None,
            strategy=self.strategy,
            width=self.setting.lanes,
            progress=False,
        )
        self.resolved = result.strategy[0]
        return self.setting.lanes


class Bare:
    """The engine's compiled segment alone: what the engine adds is the difference to it."""

    def __init__(self, setting: Setting, task: Task, chosen: Sweep):
        self.setting, self.task, self.chosen = setting, task, chosen
        self.population: Any = None

    def __call__(self, steps: int) -> int:
        lanes = self.setting.lanes
        numbers = {"learning_rate": np.array(rates(lanes), np.float32)}
        if self.population is None:
            from lropt_jax.training.population import Population

            layout = Layout(self.chosen.resolved, tuple(jax.local_devices()))
            self.population = Population(self.task, adam, {"learning_rate": 1e-4}, layout)
            self.lanes = self.population.start(jax.random.split(jax.random.key(0), lanes), numbers)
            orders = self.population.orders(self.lanes)
            plan = itinerary(self.setting.steps[1], None)
            self.feeds = {}
            for length in self.setting.steps:
                segments = list(plan.segments(0, length, plan.room(orders)))
                self.feeds[length] = [
                    (
                        jax.device_put(plan.feed(orders, a, b), self.population.layout.lanes),
                        b - a,
                    )
                    for a, b in segments
                ]
        for feed, updates in self.feeds[steps]:
            self.lanes, _ = self.population.run(self.lanes, feed, updates)
        jax.block_until_ready(self.lanes)
        return lanes


def _order(setting: Setting, steps: int) -> np.ndarray:
    return BatchOrder(np.array([1, 2], np.uint32), setting.examples, setting.batch)(0, steps)


class Loop:
    """A Python loop over a jitted Optax step, one model, its data on the device."""

    def __init__(self, setting: Setting, task: Task):
        self.setting, self.task = setting, task
        tx = optax.adam(1e-3)

        @jax.jit
        def step(params, model_state, opt_state, data, indices, key):
            batch = jax.tree.map(lambda a: a[indices], data)
            (value, (model_state, _)), grads = jax.value_and_grad(task.loss, has_aux=True)(
                params, model_state, batch, key
            )
            updates, opt_state = tx.update(grads, opt_state, params)
            return optax.apply_updates(params, updates), model_state, opt_state, value

        self.step, self.data = step, jax.device_put(task.train)
        self.start = jax.jit(lambda key: (*task.init(key), tx.init(task.init(key)[0])))

    def __call__(self, steps: int) -> int:
        params, model_state, opt_state = self.start(jax.random.key(0))
        order = _order(self.setting, steps)
        keys = jax.random.split(jax.random.key(1), steps) if self.setting.layers is None else None
        key = jax.random.key(1)
        value = None
        for i in range(steps):
            key = key if keys is None else keys[i]
            params, model_state, opt_state, value = self.step(
                params, model_state, opt_state, self.data, order[i], key
            )
        jax.block_until_ready((params, value))
        return 1


class VmapByHand:
    """What a practised user writes: jit(vmap(scan)) over learning rates, on one device."""

    def __init__(self, setting: Setting, task: Task):
        self.setting, self.task = setting, task
        tx = optax.inject_hyperparams(optax.adam)(1e-3)

        def train(rate, key, order, data):
            params, model_state = task.init(key)
            state = tx.init(params)
            state.hyperparams["learning_rate"] = rate

            def step(carry, indices):
                params, model_state, state, key = carry
                key, now = jax.random.split(key)
                batch = jax.tree.map(lambda a: a[indices], data)
                (value, (model_state, _)), grads = jax.value_and_grad(task.loss, has_aux=True)(
                    params, model_state, batch, now
                )
                updates, state = tx.update(grads, state, params)
                return (optax.apply_updates(params, updates), model_state, state, key), value

            return jax.lax.scan(step, (params, model_state, state, key), order)

        self.train = jax.jit(jax.vmap(train, in_axes=(0, 0, 0, None)))
        self.data = jax.device_put(task.train)

    def __call__(self, steps: int) -> int:
        lanes = self.setting.lanes
        orders = np.stack([_order(self.setting, steps)] * lanes)
        keys = jax.random.split(jax.random.key(0), lanes)
        jax.block_until_ready(self.train(jnp.array(rates(lanes)), keys, orders, self.data))
        return lanes


class Torch:
    """PyTorch: one model, fused Adam."""

    def __init__(self, setting: Setting, threads: int):
        import torch

        self.torch, self.setting, self.threads = torch, setting, threads
        data = setting.data()
        x = data["x"] if setting.layers else data["x"].transpose(0, 3, 1, 2).copy()
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(data["y"].astype(np.int64))

    def model(self) -> Any:
        nn = self.torch.nn
        if self.setting.layers is not None:
            first, *rest = self.setting.layers
            layers: list[Any] = []
            for width in rest:
                layers += [nn.Linear(first, width), nn.ReLU()]
                first = width
            return nn.Sequential(*layers[:-1])
        return _torch_cnn(nn)

    def __call__(self, steps: int) -> int:
        torch = self.torch
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            model = self.model()
            optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, fused=True)
            order = torch.from_numpy(_order(self.setting, steps).astype(np.int64))
            criterion = torch.nn.functional.cross_entropy
            for indices in order:
                optimizer.zero_grad(set_to_none=True)
                criterion(model(self.x[indices]), self.y[indices]).backward()
                optimizer.step()
        finally:
            torch.set_num_threads(before)
        return 1


def _torch_cnn(nn: Any) -> Any:
    """The layers of `lropt_jax.tasks.models.cnn`."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(5 * 5 * 64, 256), nn.ReLU(), nn.Linear(256, 10),
    )  # fmt: skip


def contenders(
    setting: Setting, with_torch: bool = True
) -> dict[str, tuple[Callable[[int], int], Any]]:
    """What is timed in a setting, each with its two lengths."""
    task = setting.task()
    ours = Sweep(setting, task)
    found: dict[str, tuple[Callable[[int], int], Any]] = {
        "sweep": (ours, setting.steps),
        "bare segment": (Bare(setting, task, ours), setting.steps),
        "python loop": (
            Loop(setting, setting.task(plain=True)),
            setting.loop_steps,
        ),
        "vmap by hand": (VmapByHand(setting, task), setting.steps),
    }
    if not with_torch or importlib.util.find_spec("torch") is None:
        return found
    for threads in (1, 2):
        words = f"PyTorch, {threads} thread{'s' * (threads > 1)}"
        # Two threads wait for each other at every step: on a busy machine a short look is enough.
        lengths = setting.loop_steps if threads == 1 else setting.steps
        found[words] = (Torch(setting, threads), lengths)
    return found


def measure(setting: Setting, rounds: int, with_torch: bool = True) -> dict[str, Any]:
    """Microseconds a model-step of every contender, in wall time and in the process's CPU time."""
    found = contenders(setting, with_torch)
    times: dict[str, dict[int, list[tuple[float, float]]]] = {}
    models: dict[str, int] = {}
    for words, (run, lengths) in found.items():  # compile, warm up
        for steps in lengths:
            models[words] = run(steps)
        times[words] = {steps: [] for steps in lengths}
    for _ in range(rounds):
        for words, (run, lengths) in found.items():
            for steps in lengths:
                began = time.perf_counter(), time.process_time()
                run(steps)
                ended = time.perf_counter(), time.process_time()
                times[words][steps].append((ended[0] - began[0], ended[1] - began[1]))
    cost: dict[str, list[float]] = {}
    for words, (_, (short, long)) in found.items():
        medians = {n: np.median(times[words][n], axis=0) for n in (short, long)}
        per_step = (medians[long] - medians[short]) / ((long - short) * models[words])
        cost[words] = [float(1e6 * seconds) for seconds in per_step]
    ours: Any = found["sweep"][0]
    return {"microseconds": cost, "strategy": ours.resolved, "lanes": setting.lanes}


def scaling(rounds: int) -> list[dict[str, Any]]:
    """Seconds a model-step, and host memory, from 32 to 1,024 trials of the small net."""
    setting = SETTINGS["small"]
    task = setting.task()
    rows = []
    for trials in (32, 128, 512, 1024):
        space = {"learning_rate": [float(r) for r in np.geomspace(1e-4, 1e-2, trials)]}
        seconds = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            sweep(task, adam, space, steps=300, strategy="vmap", width=32, progress=False)
            seconds.append(time.perf_counter() - began)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        cost = 1e6 * statistics.median(seconds[1:]) / (300 * trials)
        rows.append({"trials": trials, "microseconds": cost, "peak_memory_mb": peak})
    return rows


def markdown(results: dict[str, Any]) -> str:
    """The figures as a table."""
    lines = []
    for name, found in results.items():
        ours = found["microseconds"]["sweep"][0]
        lines += [f"\n**{name}** ({found['lanes']} lanes, strategy {found['strategy']})\n"]
        lines += ["| | µs a model-step | of the sweep's | CPU µs |", "|---|---|---|---|"]
        rows = found["microseconds"].items()
        lines += [f"| {w} | {c[0]:.1f} | {c[0] / ours:.2f} | {c[1]:.1f} |" for w, c in rows]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--settings", default="small,default,large,conv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scaling", action="store_true")
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    strategies.TRIALS_SHARE = 1e9  # "auto" tries all strategies, however short the run
    if options.scaling:
        results: Any = scaling(options.rounds)
        print("\n".join(f"{row}" for row in results))
    else:
        results = {n: measure(SETTINGS[n], options.rounds) for n in options.settings.split(",")}
        print(markdown(results))
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    about = {"jax": jax.__version__, "machine": platform.platform(), "load": load}
    if options.output:
        options.output.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
