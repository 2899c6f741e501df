"""Two processes under `jax.distributed` on the loopback: each trains its share, both know all."""

from __future__ import annotations

import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from lropt_jax import log_grid, successive_halving
from tests.sweep_problems import run

PROGRAM = """
import sys, jax
port, index, folder, directory = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
jax.distributed.initialize(f"127.0.0.1:{port}", 2, index, heartbeat_timeout_seconds=20)
import numpy as np
from lropt_jax import log_grid, successive_halving
from lropt_jax.training.population import Population
from tests.sweep_problems import run
trained = []
real = Population.run
def counting(self, lanes, feed, updates):
    trained.append(int(np.max(updates)))
    return real(self, lanes, feed, updates)
Population.run = counting
space = {"learning_rate": log_grid(0.003, 1.0, 12)}
plain = run(space, devices=1, directory=directory)
share = sum(trained)
pruned = run(space, devices=1, prune=successive_halving(eta=3, min_steps=5))
np.savez(f"{folder}/{index}.npz", share=share, plain=plain.values["valid_loss"],
         pruned=pruned.values["valid_loss"], status=pruned.status.astype(str))
"""


@pytest.mark.slow
def test_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder, directory = str(tmp_path), str(tmp_path / "kept")
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(port), str(i), folder, directory],
            cwd=pathlib.Path(__file__).parents[1],
            env=environment,
            stderr=subprocess.PIPE,
            text=True,
        )
        for i in range(2)
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=240)
            assert process.returncode == 0, errors[-2000:]
    finally:
        for process in processes:
            process.kill()
    space = {"learning_rate": log_grid(0.003, 1.0, 12)}
    plain = run(space, devices=1)
    pruned = run(space, devices=1, prune=successive_halving(eta=3, min_steps=5))
    shares = []
    for i in range(2):
        with np.load(tmp_path / f"{i}.npz") as found:
            shares.append(int(found["share"]))
            np.testing.assert_array_equal(found["plain"], plain.values["valid_loss"])
            np.testing.assert_array_equal(found["pruned"], pruned.values["valid_loss"])
            np.testing.assert_array_equal(found["status"], pruned.status.astype(str))
    assert shares == [40, 20]  # three chunks of twenty updates, two here and one there
    assert (tmp_path / "kept" / "results.parquet").exists()
    assert (tmp_path / "kept-process1" / "sweep.json").exists()
