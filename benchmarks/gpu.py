"""What an accelerator brings: populations, updates, convolutions and bfloat16, on one GPU.

    python benchmarks/gpu.py --output gpu.json             on a GPU
    python benchmarks/gpu.py --platform cpu --short        the same code, tried where there is none

A population of 256 small nets must cost at most a twentieth of a Python loop over a jitted step,
a model-step; the exit status says whether it does. All contenders run on the same device in turns;
PyTorch is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import convolutions
import jax
import jax.numpy as jnp
import optimizers
import population

from lropt_jax import adam, classification_task, fit
from lropt_jax.tasks.models import mlp

AT_LEAST = 20  # times the loop's speed
LANES = 256


def populations(short: bool) -> dict[str, Any]:
    """Microseconds a model-step: 256 lanes of small nets, fewer of larger ones."""
    found = {}
    for name, lanes in {"small": LANES, "default": LANES, "large": 64, "conv": 16}.items():
        setting = population.SETTINGS[name]
        if short:
            if name != "small":
                continue
            setting = dataclasses.replace(setting, steps=(10, 60), loop_steps=(10, 110))
        setting = dataclasses.replace(setting, lanes=lanes)
        found[name] = population.measure(setting, 2 if short else 5, with_torch=False)
        print(population.markdown({name: found[name]}), flush=True)
    return found


def updates(short: bool) -> list[dict[str, Any]]:
    """Ours beside Optax's."""
    rows = []
    for model in ["cache"] if short else ["cache", "leaves", "large"]:
        for name in ["sgd", "adamw"] if short else optimizers.PAIRS:
            rows.append(optimizers.measure(name, model, 2 if short else 15, with_torch=False))
            print(optimizers.show(rows[-1]), flush=True)
    return rows


def convolving(short: bool) -> dict[str, Any]:
    """Milliseconds a model-step of users' convolutional nets, which nothing rewrites here."""
    found = {}
    for name in ["sequence"] if short else convolutions.MODELS:
        found[name] = convolutions.measure(name, 2 if short else 5, with_torch=False)
        print(name, {words: round(cost[0], 3) for words, cost in found[name].items()}, flush=True)
    return found


def precisions(short: bool) -> dict[str, float]:
    """Milliseconds an update of a wide net, computed in float32 and in bfloat16."""
    setting = population.Setting((784, 2048, 2048, 10), 512, 1, (5, 25), (5, 25))
    if short:
        setting = dataclasses.replace(setting, layers=(784, 64, 10), batch=64)
    data = {"train": setting.data(), "valid": None, "test": None}
    assert setting.layers is not None
    runs: dict[str, Callable[[int], Any]] = {}
    for name, dtype in {"float32": None, "bfloat16": jnp.bfloat16}.items():
        task = classification_task(mlp(setting.layers[1:]), data, setting.batch, dtype=dtype)
        runs[name] = lambda steps, task=task: fit(task, adam(1e-3), steps=steps)
    times = {name: {steps: [] for steps in setting.steps} for name in runs}
    for again in range(1 + (2 if short else 7)):
        for name, run in runs.items():
            for steps in setting.steps:
                seconds = optimizers.seconds_of(lambda run=run, steps=steps: run(steps))
                if again:  # the first compiles
                    times[name][steps].append(seconds)
    fewer, more = setting.steps
    found = {
        name: 1e3 * (sorted(t[more])[len(t[more]) // 2] - sorted(t[fewer])[len(t[fewer]) // 2])
        / (more - fewer)
        for name, t in times.items()
    }  # fmt: skip
    print(found)
    return found


def main() -> int:
    """Measures, prints, and says whether what was promised holds."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--platform", default="gpu", choices=["gpu", "cpu", "tpu"])
    parser.add_argument("--short", action="store_true", help="tries all of it in a minute or two")
    parser.add_argument("--output", type=Path, help="a JSON file")
    options = parser.parse_args()
    if options.platform == "cpu":
        jax.config.update("jax_platforms", "cpu")
    try:
        device = jax.devices(options.platform)[0]
    except RuntimeError:
        print(f"there is no {options.platform}: nothing measured", file=sys.stderr)
        return 2
    jax.config.update("jax_default_device", device)
    population.strategies.TRIALS_SHARE = 1e9  # "auto" tries all strategies
    parts = {"updates": updates, "convolutions": convolving, "precisions": precisions}
    results: dict[str, Any] = {"population": populations(options.short)}
    results |= {name: part(options.short) for name, part in parts.items()}
    cost = results["population"]["small"]["microseconds"]
    ratio = cost["python loop"][0] / cost["sweep"][0]
    print(f"{device.device_kind}: {LANES} small nets against the jitted loop: {ratio:.1f} times")
    if options.output is not None:
        about = {"device": device.device_kind, "platform": device.platform, "ratio": ratio}
        options.output.write_text(json.dumps({"about": about, "results": results}, indent=1) + "\n")
    return 0 if ratio >= AT_LEAST or device.platform == "cpu" else 1


if __name__ == "__main__":
    sys.exit(main())
