"""What a model-step costs where a user's own model convolves: `fit` and `sweep` against a loop.

    python benchmarks/convolutions.py                       all models, 5 rounds
    python benchmarks/convolutions.py --models mnist vgg --rounds 3 --output convolutions.json
    python benchmarks/convolutions.py --off                 the same with the rewriting off

Flax models as a tutorial writes them, batch 64, Adam. The contenders run in one process, in turns,
so that a busy moment of the machine hits all of them. Each trains for two lengths; the difference
of the medians over the difference of the lengths is the cost of a model-step: compiling, starting
and evaluating fall out.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax

jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))

import numpy as np  # noqa: E402
import optax  # noqa: E402
from flax import linen as nn  # noqa: E402

import lropt_jax  # noqa: E402
from lropt_jax import Task, adam, classification_task, fit, sweep  # noqa: E402

BATCH, LANES = 64, 4
RATES = [float(r) for r in np.geomspace(1e-4, 1e-2, LANES)]


class Mnist(nn.Module):
    """The net of many an MNIST tutorial."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        for width in (32, 64):
            x = nn.relu(nn.Conv(width, (3, 3), padding="VALID")(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
            x = nn.Dropout(0.25, deterministic=not train)(x)
        x = nn.relu(nn.Dense(256)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


class Sequence(nn.Module):
    """Three convolutions along a sequence, as for MNIST-1D."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for window in (5, 3, 3):
            x = nn.relu(nn.Conv(25, (window,), (2,), padding=1)(x))
        return nn.Dense(10)(x.reshape(len(x), -1))


class Separable(nn.Module):
    """Depthwise convolutions, each followed by one of 1 x 1."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Conv(16, (3, 3), (2, 2))(x))
        for width, stride in ((32, 1), (64, 2), (64, 1)):
            channels = x.shape[-1]
            x = nn.relu(
                nn.Conv(channels, (3, 3), (stride, stride), feature_group_count=channels)(x)
            )
            x = nn.relu(nn.Conv(width, (1, 1))(x))
        return nn.Dense(10)(x.mean((1, 2)))


class Residual(nn.Module):
    """Two residual blocks with batch-norm."""

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        def normed(features: int, window: int, stride: int, x: jax.Array) -> jax.Array:
            x = nn.Conv(features, (window, window), (stride, stride), use_bias=False)(x)
            return nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)

        x = nn.relu(normed(16, 3, 1, x))
        for features, stride in ((16, 1), (32, 2)):
            y = normed(features, 3, 1, nn.relu(normed(features, 3, stride, x)))
            x = nn.relu(y + (x if stride == 1 else normed(features, 1, stride, x)))
        return nn.Dense(10)(x.mean((1, 2)))


class Vgg(nn.Module):
    """Four convolutions, two poolings, two dense layers."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in (32, 64):
            x = nn.relu(nn.Conv(width, (3, 3))(x))
            x = nn.relu(nn.Conv(width, (3, 3))(x))
            x = nn.max_pool(x, (2, 2), (2, 2))
        x = nn.relu(nn.Dense(128)(x.reshape(len(x), -1)))
        return nn.Dense(10)(x)


# Each with the shape of its inputs and the two lengths that are timed.
MODELS: dict[str, tuple[nn.Module, tuple[int, ...], tuple[int, int]]] = {
    "mnist": (Mnist(), (28, 28, 1), (2, 12)),
    "sequence": (Sequence(), (40, 1), (20, 1020)),
    "separable": (Separable(), (28, 28, 1), (4, 24)),
    "residual": (Residual(), (32, 32, 3), (2, 8)),
    "vgg": (Vgg(), (32, 32, 3), (2, 6)),
}


def data(shape: tuple[int, ...]) -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    x = random.normal(size=(20 * BATCH, *shape)).astype(np.float32)
    return {"x": x, "y": random.integers(0, 10, len(x)).astype(np.int32)}


class Loop:
    """A Python loop over a jitted Optax step, its data on the device."""

    def __init__(self, task: Task):
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

    def __call__(self, steps: int) -> None:
        state = self.start(jax.random.key(0))
        keys = jax.random.split(jax.random.key(1), steps)
        value = None
        for i in range(steps):
            indices = np.arange(i * BATCH, (i + 1) * BATCH) % (20 * BATCH)
            *state, value = self.step(*state, self.data, indices, keys[i])
        jax.block_until_ready((state, value))


class Torch:
    """PyTorch, fused Adam."""

    def __init__(self, name: str, task: Task, threads: int):
        import torch

        self.torch, self.name, self.threads = torch, name, threads
        x = np.moveaxis(task.train["x"], -1, 1).copy()
        self.x, self.y = torch.from_numpy(x), torch.from_numpy(task.train["y"].astype(np.int64))
        self.model = torch_model(name, torch)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=1e-3, fused=True)

    def __call__(self, steps: int) -> None:
        torch = self.torch
        before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            for i in range(steps):
                indices = torch.arange(i * BATCH, (i + 1) * BATCH) % (20 * BATCH)
                self.optimizer.zero_grad(set_to_none=True)
                logits = self.model(self.x[indices])
                torch.nn.functional.cross_entropy(logits, self.y[indices]).backward()
                self.optimizer.step()
        finally:
            torch.set_num_threads(before)


def torch_model(name: str, torch: Any) -> Any:
    nn = torch.nn
    if name == "mnist":
        return nn.Sequential(
            nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
            nn.Flatten(), nn.Linear(1600, 256), nn.ReLU(), nn.Linear(256, 10),
        )  # fmt: skip
    if name == "sequence":
        layers = []
        for channels, window in ((1, 5), (25, 3), (25, 3)):
            layers += [nn.Conv1d(channels, 25, window, 2, padding=1), nn.ReLU()]
        return nn.Sequential(*layers, nn.Flatten(), nn.LazyLinear(10))
    if name == "separable":
        layers = [nn.Conv2d(1, 16, 3, 2, padding=1), nn.ReLU()]
        for channels, width, stride in ((16, 32, 1), (32, 64, 2), (64, 64, 1)):
            layers += [
                nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels), nn.ReLU(),
                nn.Conv2d(channels, width, 1), nn.ReLU(),
            ]  # fmt: skip
        return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    if name == "vgg":
        layers = []
        for channels, width in ((3, 32), (32, 64)):
            layers += [
                nn.Conv2d(channels, width, 3, padding=1), nn.ReLU(),
                nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
            ]  # fmt: skip
        return nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(4096, 128), nn.ReLU(), nn.Linear(128, 10)
        )

    def normed(channels: int, features: int, window: int, stride: int) -> Any:
        conv = nn.Conv2d(channels, features, window, stride, window // 2, bias=False)
        return nn.Sequential(conv, nn.BatchNorm2d(features))

    class Block(nn.Module):
        def __init__(self, channels: int, features: int, stride: int):
            super().__init__()
            self.one = normed(channels, features, 3, stride)
            self.two = normed(features, features, 3, 1)
            self.short = nn.Identity() if stride == 1 else normed(channels, features, 1, stride)

        def forward(self, x: Any) -> Any:
            return torch.relu(self.two(torch.relu(self.one(x))) + self.short(x))

    return nn.Sequential(
        normed(3, 16, 3, 1), nn.ReLU(), Block(16, 16, 1), Block(16, 32, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


def contenders(
    name: str, task: Task, with_torch: bool = True
) -> dict[str, tuple[Callable[[int], Any], int]]:
    """What is timed, each with the models that it trains."""
    rates = {"learning_rate": RATES}

    def swept(strategy: str) -> Callable[[int], Any]:
        return lambda steps: sweep(
            task, adam, rates, steps=steps, strategy=strategy, width=LANES, progress=False
        )

    found: dict[str, tuple[Callable[[int], Any], int]] = {
        "loop": (Loop(task), 1),
        "fit": (lambda steps: fit(task, adam(1e-3), steps=steps), 1),
        "sweep, vmap": (swept("vmap"), LANES),
        "sweep, map": (swept("map"), LANES),
    }
    if not with_torch or importlib.util.find_spec("torch") is None:
        return found
    for threads in (1, 2):
        words = f"PyTorch, {threads} thread{'s' * (threads > 1)}"
        found[words] = (Torch(name, task, threads), 1)
    return found


def measure(name: str, rounds: int, with_torch: bool = True) -> dict[str, list[float]]:
    """Milliseconds a model-step of each contender: of the clock, and of the process's CPU time."""
    model, shape, lengths = MODELS[name]
    task = classification_task(model, {"train": data(shape), "valid": None, "test": None}, BATCH)
    found = contenders(name, task, with_torch)
    times: dict[str, dict[int, list[Any]]] = {}
    for words, (run, _) in found.items():
        times[words] = {steps: [] for steps in lengths}
        for steps in lengths:  # compile, warm up
            run(steps)
    for _ in range(rounds):
        for words, (run, _) in found.items():
            for steps in lengths:
                began = time.perf_counter(), time.process_time()
                run(steps)
                ended = time.perf_counter(), time.process_time()
                times[words][steps].append(np.subtract(ended, began))
    cost = {}
    for words, (_, models) in found.items():
        short, long = (np.median(times[words][steps], axis=0) for steps in lengths)
        per_step = (long - short) / ((lengths[1] - lengths[0]) * models)
        cost[words] = [float(1e3 * seconds) for seconds in per_step]
    return cost


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--off", action="store_true", help="switch the rewriting off")
    parser.add_argument("--output", type=Path, help="a JSON file for the figures")
    arguments = parser.parse_args()
    lropt_jax.config.rewrite_convolutions = not arguments.off
    figures = {}
    for name in arguments.models:
        figures[name] = cost = measure(name, arguments.rounds)
        print(f"{name}: milliseconds a model-step, of the clock and of the CPUs")
        for words, (clock, cpu) in cost.items():
            ratio = f"{clock / cost['loop'][0]:6.2f} x loop"
            print(f"  {words:20s} {clock:8.2f} {cpu:8.2f} {ratio}", flush=True)
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
