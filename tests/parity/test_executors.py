"""Sweeps on the executors of other packages: submitit's jobs, and MPI's processes."""

from __future__ import annotations

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

from lropt_jax import adam, log_grid, successive_halving
from tests.sweep_problems import assert_same, run

ROOT = pathlib.Path(__file__).parents[2]
SPACE = {"learning_rate": log_grid(0.003, 1.0, 12)}


@pytest.mark.slow
def test_submitit_with_a_job_killed_in_the_middle(tmp_path, monkeypatch):
    submitit = pytest.importorskip("submitit")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    caller, mark = os.getpid(), tmp_path / "killed"

    def optimizer(learning_rate):
        if os.getpid() != caller and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return adam(learning_rate)

    executor = submitit.AutoExecutor(tmp_path / "logs", cluster="local")
    executor.update_parameters(timeout_min=5)
    result = run(SPACE, optimizer, executor=executor, directory=tmp_path / "kept")
    assert mark.exists()
    assert_same(run(SPACE, optimizer, devices=1), result)


PROGRAM = """
import sys
from mpi4py.futures import MPIPoolExecutor
from lropt_jax import log_grid, successive_halving
from tests.sweep_problems import run

if __name__ == "__main__":
    space = {"learning_rate": log_grid(0.003, 1.0, 12)}
    with MPIPoolExecutor() as executor:
        run(space, executor=executor, directory=sys.argv[1])
        pruning = successive_halving(eta=3, min_steps=5)
        run(space, executor=executor, prune=pruning, directory=sys.argv[2])
"""


@pytest.mark.slow
def test_mpi(tmp_path):
    pytest.importorskip("mpi4py")
    pd = pytest.importorskip("pandas")
    beside = pathlib.Path(sys.executable).with_name("mpiexec")
    mpiexec = str(beside) if beside.exists() else shutil.which("mpiexec")
    if mpiexec is None:
        pytest.skip("no mpiexec")
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    folders = [str(tmp_path / "all"), str(tmp_path / "pruned")]
    subprocess.run(
        [mpiexec, "-n", "3", sys.executable, "-m", "mpi4py.futures", str(program), *folders],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=300,
    )
    for folder, prune in zip(folders, [None, successive_halving(eta=3, min_steps=5)], strict=True):
        there = pd.read_parquet(pathlib.Path(folder) / "results.parquet")
        pd.testing.assert_frame_equal(there, run(SPACE, devices=1, prune=prune).to_pandas())
