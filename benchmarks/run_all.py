"""Runs every benchmark in turn and writes `RESULTS.md` from what they measured.

    python benchmarks/run_all.py                 what has not been measured yet; goes on if stopped
    python benchmarks/run_all.py --again         another run of each, beside the former
    python benchmarks/run_all.py --short         a try of each in minutes, kept apart
    python benchmarks/run_all.py --only optimizers-large gpu
    python benchmarks/run_all.py --page          only the page

Each benchmark is a process of its own. What it measured lies in `results/NAME.json`, one entry a
run, with the date, the machine, the versions, the load before it and the command. Nothing in
`RESULTS.md` is written by hand.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import results_page

HERE = Path(__file__).parent
PACKAGES = ("lropt-jax", "jax", "jaxlib", "optax", "flax", "torch", "numpy")


class Benchmark(NamedTuple):
    """A script, its words for a whole and for a short run, and its option for a JSON file."""

    script: str
    whole: str = ""
    short: str = ""
    json: str | None = "--output"


BENCHMARKS = {
    **{
        f"population-{name}": Benchmark(
            "population.py", f"--settings {name} --rounds 5", f"--settings {name} --rounds 1"
        )
        for name in ("small", "default", "large", "conv")
    },
    "population-scaling": Benchmark("population.py", "--scaling", "--scaling --rounds 1"),
    **{
        f"convolutions-{name}": Benchmark(
            "convolutions.py", f"--models {name} --rounds 5", f"--models {name} --rounds 1"
        )
        for name in ("mnist", "sequence", "separable", "residual", "vgg")
    },
    **{
        f"optimizers-{name}": Benchmark(
            "optimizers.py",
            f"--models {name} --rounds 15",
            f"--models {name} --rounds 2 --optimizers sgd adamw",
            "--json",
        )
        for name in ("cache", "leaves", "large")
    },
    "optimizers-adamw": Benchmark(
        "optimizers.py",
        "--models large --optimizers adamw --rounds 7",
        "--models large --optimizers adamw --rounds 1",
        "--json",
    ),
    "first_call": Benchmark("first_call.py", "", "--problems mnist1d_mlp --rounds 1", None),
    "host_data": Benchmark("host_data.py", "", "--quick"),
    "range_test": Benchmark("range_test.py", "", "--tests 16 --repeats 1"),
    **{
        f"strategies-{name}": Benchmark(
            "strategies.py", f"--nets {name}", f"--nets {name} --steps 100 --rounds 1"
        )
        for name in ("small", "default", "large", "gru")
    },
    # Of 5,000 updates, a twentieth here, it takes half an hour.
    "strategies-conv": Benchmark(
        "strategies.py", "--nets conv --steps 200,1000", "--nets conv --steps 40 --rounds 1"
    ),
    "range_test_rules": Benchmark("range_test_rules.py", "--fresh", "--quick", None),
    "expected_best": Benchmark("expected_best.py", "", "--searches 50", None),
    # Eight hours where `results/tune` is empty; else the table of what is there.
    "tune": Benchmark(
        "tune.py", "--output benchmarks/results/tune", "--repeats 1 --minutes 2", None
    ),
    "gpu": Benchmark("gpu.py", "", "--platform cpu --short"),
}


def machine() -> str:
    """What it is, in words."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(":")[2].strip() if models else name
    return f"{name}, {len(os.sched_getaffinity(0))} cores"


def versions() -> dict[str, str]:
    """Of Python and of the packages that are there."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def run(benchmark: Benchmark, short: bool) -> dict[str, Any] | None:
    """One run, or None where it could not measure; it says why on its own."""
    words = shlex.split(benchmark.short if short else benchmark.whole)
    shown = shlex.join(["python", f"benchmarks/{benchmark.script}", *words])
    print(f"+ {shown}", flush=True)
    entry: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(),
        "load": round(os.getloadavg()[0], 2),
        "command": shown,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        command = [sys.executable, str(HERE / benchmark.script), *words]
        if benchmark.json is not None:
            command += [benchmark.json, str(file)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode and not file.exists():
            print(f"  exit status {done.returncode}: nothing kept", flush=True)
            return None
        entry["printed"] = done.stdout.strip()
        entry["figures"] = json.loads(file.read_text()) if file.exists() else None
    return entry


def main() -> int:
    """Runs what is asked for, keeps it at once, and writes the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=BENCHMARKS, default=list(BENCHMARKS))
    parser.add_argument("--again", action="store_true", help="also what has been measured")
    parser.add_argument("--short", action="store_true", help="into runs/benchmarks, no page")
    parser.add_argument("--page", action="store_true", help="run nothing")
    options = parser.parse_args()
    folder = Path("runs/benchmarks") if options.short else HERE / "results"
    folder.mkdir(parents=True, exist_ok=True)
    failed = []
    for name in [] if options.page else options.only:
        file = folder / f"{name}.json"
        entries = json.loads(file.read_text()) if file.exists() else []
        if entries and not options.again:
            continue
        entry = run(BENCHMARKS[name], options.short)
        if entry is None:
            failed.append(name)
            continue
        written = file.with_suffix(".new")
        written.write_text(json.dumps([*entries, entry], indent=1) + "\n")
        written.replace(file)  # whole, or not at all
    if not options.short:
        commands = {name: f"python benchmarks/run_all.py --only {name}" for name in BENCHMARKS}
        results_page.write(HERE / "RESULTS.md", folder, commands)
    if failed:
        print(f"nothing measured: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
