"""The run: part by part, anywhere, going on from wherever it was stopped."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import multiprocessing
import os
import pathlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from lropt_jax.atlas.design import VERSION, Design
from lropt_jax.atlas.entries import FROZEN, Entry
from lropt_jax.atlas.part import trained_part
from lropt_jax.training.digests import digest, versions
from lropt_jax.training.remembered import keep_programs
from lropt_jax.validation import require

PARTS, WORK = "parts", "work"


def run_atlas(
    design: Design,
    output: str | os.PathLike[str],
    executor: Any = None,
    say: Callable[[str], None] = lambda words: None,
) -> list[pathlib.Path]:
    """Trains what is not there yet.

    Each part is a file, written as a whole when it is finished; within a part, the sweeps keep
    their own progress when it runs here.

    Args:
      design: what is trained.
      output: a folder. Called again with the same, it goes on from there.
      executor: any `concurrent.futures.Executor` (a process pool, Dask's, submitit's): trains each
        part as one task. None trains here, one part after another.
      say: is told a line for each part.

    Returns:
      The files of all parts, in the design's order.

    Raises:
      ValueError: for a folder that holds another design's parts; it says what differs.
    """
    require("the Atlas", "atlas", "pandas", "pyarrow", "scipy")
    folder = pathlib.Path(output).expanduser().absolute()
    _claim(folder, design)
    waiting = [(p, e) for p, e in design.parts if not _file(folder, p, e).exists()]
    began, left = time.monotonic(), sum(design.seconds(p, e) for p, e in waiting)
    todo = left
    for number, (problem, entry, rows) in enumerate(_trained(design, waiting, folder, executor)):
        _write(_file(folder, problem, entry), rows)
        shutil.rmtree(_work(folder, problem, entry), ignore_errors=True)
        left -= design.seconds(problem, entry)
        minutes = (time.monotonic() - began) / (todo - left) * max(0.0, left) / 60
        say(f"{problem} {entry.name}: {number + 1} of {len(waiting)}, {minutes:.0f} min left")
    return [_file(folder, p, e) for p, e in design.parts]


@contextlib.contextmanager
def own_pool(workers: int) -> Iterator[Any]:
    """A process a core, each with one device; none is left behind, however this one ends."""
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    pool = concurrent.futures.ProcessPoolExecutor(workers, context, initializer=_begin)
    try:
        yield pool
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()  # else the pool waits for what they are training
        raise
    pool.shutdown()


def _begin() -> None:
    import signal

    keep_programs()

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent's to answer
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _trained(
    design: Design, waiting: list[tuple[str, Entry]], folder: pathlib.Path, executor: Any
) -> Iterator[tuple[str, Entry, bytes]]:
    if executor is None:
        for problem, entry in waiting:
            yield (
                problem,
                entry,
                trained_part(design, problem, entry, _work(folder, problem, entry)),
            )
        return
    require("an executor", "sweeps", "cloudpickle")
    import cloudpickle

    # A worker of this machine keeps its progress beside the parts.
    local = isinstance(executor, concurrent.futures.ProcessPoolExecutor)
    running = {}
    for problem, entry in waiting:
        work = _work(folder, problem, entry) if local else None
        job = cloudpickle.dumps((design, problem, entry, work))
        running[executor.submit(_from_bytes, job)] = problem, entry
    try:
        while running:
            for future in [f for f in running if f.done()]:
                problem, entry = running.pop(future)
                yield problem, entry, future.result()
            time.sleep(0.05)  # not every executor's futures are such that `wait` knows them
    finally:
        for future in running:
            future.cancel()


def _from_bytes(job: bytes) -> bytes:
    import cloudpickle

    design, problem, entry, work = cloudpickle.loads(job)
    return trained_part(design, problem, entry, work)


def identity(design: Design) -> dict[str, Any]:
    """What the rows depend on, but for which parts there are."""
    return {
        "atlas": VERSION,
        "spaces frozen": FROZEN,
        "quick": design.quick,
        "configurations": design.configurations,
        "few": design.few,
        "rates": design.rates,
        "seeds": design.seeds,
        "target seeds": design.target_seeds,
        "updates": {p: design.steps(p) for p in design.problems},
        "optimizers": {
            e.name: digest(
                [sorted(map(str, e.space.items())), sorted(e.default.items()), e.factory]
            )
            for e in design.entries
        },
        "versions": versions(),
    }


def _claim(folder: pathlib.Path, design: Design) -> None:
    """Makes the folder this design's, or finds that it is; problems and optimizers may be added."""
    path = folder / "design.json"
    wanted = identity(design)
    if path.exists():
        held = json.loads(path.read_text(encoding="utf-8"))
        for name, value in wanted.items():
            there = held.get(name)
            grows = isinstance(value, dict) and isinstance(there, dict)
            same = all(there.get(k, v) == v for k, v in value.items()) if grows else there == value
            if not same:
                raise ValueError(
                    f"{folder} holds another Atlas: its {name} is {there!r}, not {value!r}. "
                    "Give another --output"
                )
            if grows:
                wanted[name] = {**there, **value}
    _write(path, (json.dumps(wanted, indent=1) + "\n").encode())


def _file(folder: pathlib.Path, problem: str, entry: Entry) -> pathlib.Path:
    return folder / PARTS / problem / f"{entry.name}.parquet"


def _work(folder: pathlib.Path, problem: str, entry: Entry) -> pathlib.Path:
    return folder / WORK / problem / entry.name


def _write(path: pathlib.Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".writing")
    beside.write_bytes(content)
    os.replace(beside, path)
