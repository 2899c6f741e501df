"""How long does a new process wait for a model's first two updates? `fit` and a loop by hand.

    python benchmarks/first_call.py
    python benchmarks/first_call.py --problems mnist1d_mlp --rounds 1

Each call has a process of its own, in which nothing is compiled yet; packages are imported and
data are loaded before the clock starts. The loop is what Flax's and Optax's pages write: weights by
`model.init`, a jitted step, a jitted evaluation of the validation split.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

PROBLEMS = "mnist1d_mlp,mnist1d_conv,mnist1d_gru,docs_transformer"
CONTENDERS = ("fit", "loop")


def first_call(name: str, contender: str) -> float:
    """Seconds, in this process."""
    import jax
    import jax.numpy as jnp
    import optax

    from lropt_jax import adam, fit, problem

    task = problem(name)
    jax.random.key(0)
    began = time.perf_counter()
    if contender == "fit":
        fit(task, adam(1e-3), 2, eval_every=2)
        return time.perf_counter() - began

    tx = optax.adam(1e-3)
    params, state = task.init(jax.random.key(0))
    opt_state = tx.init(params)

    @jax.jit
    def step(params, state, opt_state, batch, key):
        loss = jax.value_and_grad(task.loss, has_aux=True)
        (_, (state, _)), gradient = loss(params, state, batch, key)
        updates, opt_state = tx.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), state, opt_state

    for i in range(2):
        rows = slice(i * task.batch_size, (i + 1) * task.batch_size)
        batch = jax.tree.map(lambda a, rows=rows: jnp.asarray(a[rows]), task.train)
        params, state, opt_state = step(params, state, opt_state, batch, jax.random.key(i))
    jax.block_until_ready(jax.jit(task.evaluate)(params, state, task.valid))
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--problems", default=PROBLEMS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(first_call(*args.one))
        return
    for name in args.problems.split(","):
        seconds: dict[str, list[float]] = {contender: [] for contender in CONTENDERS}
        for _ in range(args.rounds):
            for contender in CONTENDERS:
                line = [sys.executable, __file__, "--one", name, contender]
                done = subprocess.run(line, check=True, capture_output=True, text=True)
                seconds[contender].append(float(done.stdout))
        ours, theirs = (statistics.median(seconds[contender]) for contender in CONTENDERS)
        print(
            json.dumps(
                {
                    "problem": name,
                    "fit_seconds": round(ours, 2),
                    "loop_seconds": round(theirs, 2),
                    "ratio": round(ours / theirs, 2),
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
