"""The cost of an update: ours beside Optax's and PyTorch's fused ones.

    python benchmarks/optimizers.py [--rounds 15] [--models cache leaves large] [--json FILE]

For each optimizer and model: milliseconds an update (update and application together), seconds to
trace and compile it, and megabytes of state and of scratch memory. Rounds are interleaved, so that
a noise hits all; medians are shown, and the ratio to Optax is the median of the ratios within a
round; "injected" is the ratio to Optax's with `optax.inject_hyperparams`. The file has the CPU
time of the process, too, which says more on a busy machine. Models:

- cache: the 784-100-10 net, whose weights sit in cache; 100 updates a call, in a loop on the
  device, since the dispatch of one costs more than the update.
- leaves: 400 leaves of 16 x 16, where the number of operations shows.
- large: 25 million parameters in 12 leaves, where only bytes count.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import lropt_jax

SHAPES: dict[str, list[tuple[int, ...]]] = {
    "cache": [(784, 100), (100,), (100, 10), (10,)],
    "leaves": [(16, 16)] * 400,
    "large": [(1024, 2048)] * 11 + [(1024, 1900)],
}
UPDATES_A_CALL = {"cache": 100, "leaves": 10, "large": 1}

# Ours and Optax's at equal memory; where the algorithms differ the cost is still comparable.
# Optax's are also measured with their numbers in the state, where all of ours have them.
PAIRS: dict[str, tuple[Callable[[], Any], Callable[..., Any], dict[str, float | bool]]] = {
    "sgd": (lambda: lropt_jax.sgd(1e-3), optax.sgd, {}),
    "momentum": (lambda: lropt_jax.sgd(1e-3, 0.9), optax.sgd, {"momentum": 0.9}),
    "adam": (lambda: lropt_jax.adam(1e-3), optax.adam, {}),
    "adamw": (lambda: lropt_jax.adamw(1e-3), optax.adamw, {"weight_decay": 1e-2}),
    "amsgrad": (lambda: lropt_jax.amsgrad(1e-3), optax.amsgrad, {}),
    "nadam": (lambda: lropt_jax.nadam(1e-3), optax.nadam, {}),
    "adabelief": (lambda: lropt_jax.adabelief(1e-3), optax.adabelief, {}),
    "adamax": (lambda: lropt_jax.adamax(1e-3), optax.adamax, {}),
    "adagrad": (lambda: lropt_jax.adagrad(1e-3), optax.adagrad, {}),
    "adadelta": (lambda: lropt_jax.adadelta(1e-3), optax.adadelta, {}),
    "rmsprop": (
        lambda: lropt_jax.rmsprop(1e-3),
        optax.rmsprop,
        {"decay": 0.99, "eps_in_sqrt": False},
    ),
    "lamb": (lambda: lropt_jax.lamb(1e-3), optax.lamb, {}),
    "lars": (lambda: lropt_jax.lars(1e-3), optax.lars, {}),
    "rprop": (lambda: lropt_jax.rprop(1e-3), optax.rprop, {}),
}
FUSED = {
    "sgd": ("SGD", {}),
    "momentum": ("SGD", {"momentum": 0.9}),
    "adam": ("Adam", {}),
    "adamw": ("AdamW", {}),
    "amsgrad": ("Adam", {"amsgrad": True}),
    "adagrad": ("Adagrad", {}),
}


class Built(NamedTuple):
    run: Callable[[], None]
    compile_seconds: float
    state_megabytes: float
    scratch_megabytes: float


def megabytes(tree: Any) -> float:
    return sum(x.nbytes for x in jax.tree.leaves(tree)) / 1e6


def build(tx: Any, model: str) -> Built:
    """A closure that makes one call of the compiled updates, its arrays donated."""
    rng = np.random.default_rng(0)
    params = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in SHAPES[model]]
    noise = [jnp.asarray(rng.normal(size=s), jnp.float32) for s in SHAPES[model]]

    def one(params: Any, state: Any, noise: Any) -> Any:
        # In a loop gradients change with the parameters, so that nothing can be hoisted out of it.
        gradients = noise
        if UPDATES_A_CALL[model] > 1:
            gradients = jax.tree.map(lambda n, p: n + 0.01 * p, noise, params)
        updates, state = tx.update(gradients, state, params)
        return optax.apply_updates(params, updates), state

    def many(params: Any, state: Any, noise: Any) -> Any:
        updates = UPDATES_A_CALL[model]
        if updates == 1:
            return one(params, state, noise)
        return jax.lax.fori_loop(0, updates, lambda _, c: one(*c, noise), (params, state))

    state = jax.jit(tx.init)(params)
    size = megabytes(state)
    begin = time.perf_counter()
    compiled = jax.jit(many, donate_argnums=(0, 1)).lower(params, state, noise).compile()
    seconds = time.perf_counter() - begin
    scratch = compiled.memory_analysis().temp_size_in_bytes / 1e6
    carry = [params, state]

    def run() -> None:
        carry[:] = jax.block_until_ready(compiled(*carry, noise))

    return Built(run, seconds, size, scratch)


def build_torch(name: str, model: str, threads: int) -> Callable[[], None] | None:
    try:
        import torch
    except ImportError:
        return None
    kind, numbers = FUSED[name]
    params = [torch.randn(s, requires_grad=True) for s in SHAPES[model]]
    noise = [torch.randn(s) for s in SHAPES[model]]
    optimizer = getattr(torch.optim, kind)(params, lr=1e-3, fused=True, **numbers)

    def run() -> None:
        torch.set_num_threads(threads)
        for _ in range(UPDATES_A_CALL[model]):
            for p, n in zip(params, noise, strict=True):
                p.grad = n
            optimizer.step()

    return run


def seconds_of(run: Callable[[], None]) -> float:
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def measure(name: str, model: str, rounds: int, with_torch: bool = True) -> dict[str, Any]:
    make, factory, numbers = PAIRS[name]
    ours, theirs = build(make(), model), build(factory(1e-3, **numbers), model)
    runs = {"ours": ours.run, "optax": theirs.run}
    if name != "rprop":  # whose numbers cannot be traced
        injected = optax.inject_hyperparams(factory)(1e-3, **numbers)
        runs["injected"] = build(injected, model).run
    if with_torch and name in FUSED:
        for threads in sorted({1, os.cpu_count() or 1}):  # the better of one and all
            fused = build_torch(name, model, threads)
            if fused is not None:
                runs[f"torch {threads}"] = fused
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {key: [] for key in runs}
    cpu: dict[str, list[float]] = {key: [] for key in runs}
    for _ in range(rounds):
        for key, run in runs.items():
            run()  # each finds the cache as it left it, not as the one before did
            began = time.process_time()
            times[key].append(seconds_of(run) / UPDATES_A_CALL[model] * 1e3)
            cpu[key].append((time.process_time() - began) / UPDATES_A_CALL[model] * 1e3)
    median = {key: statistics.median(values) for key, values in times.items()}
    torches = [value for key, value in median.items() if key.startswith("torch")]
    return {
        "model": model,
        "optimizer": name,
        "ours_ms": median["ours"],
        "optax_ms": median["optax"],
        "torch_ms": min(torches) if torches else None,
        "cpu_ms": {key: statistics.median(values) for key, values in cpu.items()},
        "ratio": _ratio(times, "optax"),
        "injected_ratio": _ratio(times, "injected"),
        "ours_compile_s": ours.compile_seconds,
        "optax_compile_s": theirs.compile_seconds,
        "ours_state_mb": ours.state_megabytes,
        "optax_state_mb": theirs.state_megabytes,
        "ours_scratch_mb": ours.scratch_megabytes,
        "optax_scratch_mb": theirs.scratch_megabytes,
    }


def _ratio(times: dict[str, list[float]], peer: str) -> float | None:
    """The median of our time over the peer's within a round."""
    if peer not in times:
        return None
    return statistics.median(a / b for a, b in zip(times["ours"], times[peer], strict=True))


def show(row: dict[str, Any]) -> str:
    torch = "" if row["torch_ms"] is None else f"{row['torch_ms']:.3f}"
    injected = "" if row["injected_ratio"] is None else f"{row['injected_ratio']:.2f}"
    return (
        f"| {row['model']} | {row['optimizer']} | {row['ours_ms']:.3f} | {row['optax_ms']:.3f} "
        f"| {row['ratio']:.2f} | {injected} | {torch} | {row['ours_compile_s']:.2f} / "
        f"{row['optax_compile_s']:.2f} | {row['ours_state_mb']:.2f} / {row['optax_state_mb']:.2f} "
        f"| {row['ours_scratch_mb']:.2f} / {row['optax_scratch_mb']:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--optimizers", nargs="+", choices=PAIRS, default=list(PAIRS))
    parser.add_argument("--json", type=pathlib.Path)
    options = parser.parse_args()
    print(f"jax {jax.__version__}, optax {optax.__version__}, {os.cpu_count()} cores")
    print("ours / Optax; compile in s, memory in MB")
    print(
        "| model | optimizer | ours ms | optax ms | ratio | injected | torch ms | compile | state "
        "| scratch |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    rows = []
    for model in options.models:
        for name in options.optimizers:
            rows.append(measure(name, model, options.rounds))
            print(show(rows[-1]), flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
