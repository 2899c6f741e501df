"""What happens on a worker? A task arrives, runs on the worker's own devices, and goes back."""

from __future__ import annotations

import hashlib
import os
import pickle
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import jax

from lropt_jax.sweeps.planning.jobs import Job
from lropt_jax.sweeps.running.best import Holding
from lropt_jax.sweeps.running.pieces import Piece, Snapshot
from lropt_jax.sweeps.running.queue import run_piece
from lropt_jax.sweeps.running.strategy import Resolved
from lropt_jax.training.digests import set_settings, settings
from lropt_jax.training.layout import Layout


def on_worker(packed_job: bytes, task: Any, devices: int) -> tuple[str, Any, str]:
    """Runs a task where it arrives; its errors are returned, so that only a lost worker raises."""
    try:
        job, wanted = _unpacked(packed_job)
        if isinstance(task, bytes):
            import cloudpickle

            task = cloudpickle.loads(task)
        return "done", _with_settings(wanted, lambda: task(job, _own_devices(devices))), ""
    except Exception as error:
        words = traceback.format_exc()
        try:
            pickle.loads(pickle.dumps(error))
        except Exception:
            error = RuntimeError(f"{type(error).__name__}: {error}")
        return "error", error, words


def run_there(piece: Piece, resolved: Resolved, job: Job, devices: Sequence[Any]) -> Snapshot:
    """A piece, trained."""
    population = job.population(Layout(resolved.strategy, tuple(devices)), piece.numbers)
    if piece.best is None:
        return run_piece(job, piece, population)
    best = Holding(piece, piece.best)
    outcome = run_piece(job, piece, population, watch=best.watch)
    outcome.kept = best.kept
    return outcome


# Unpacked once on a worker, with the data of the task. The digest also tells when to let go.
_JOBS: dict[bytes, Any] = {}
_JOBS_KEPT = 4


def _unpacked(packed: bytes) -> Any:
    name = hashlib.blake2b(packed).digest()
    if name not in _JOBS:
        import cloudpickle

        while len(_JOBS) >= _JOBS_KEPT:
            _JOBS.pop(next(iter(_JOBS)))
        _JOBS[name] = cloudpickle.loads(packed)
    return _JOBS[name]


def _own_devices(count: int) -> list[Any]:
    """The first devices of this process; a fresh CPU process makes as many as it needs."""
    try:
        if jax.config.jax_num_cpu_devices < count:  # type: ignore[attr-defined]
            jax.config.update("jax_num_cpu_devices", count)  # type: ignore[no-untyped-call]
    except RuntimeError:  # a computation has run: the devices stay as they are
        pass
    devices = jax.local_devices()
    if len(devices) < count:
        raise ValueError(
            f"devices={count}, but the worker (process {os.getpid()}) has {len(devices)}"
        )
    return list(devices[:count])


def _with_settings(wanted: dict[str, Any], function: Callable[[], Any]) -> Any:
    """Runs under the settings of the calling process."""
    before = settings()
    changed = {k: v for k, v in wanted.items() if before[k] != v}
    try:
        set_settings(changed)
        return function()
    finally:
        set_settings({name: before[name] for name in changed})
