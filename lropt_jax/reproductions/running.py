"""`reproduce`: a claim put to the test, its data kept, its verdict written by code."""

from __future__ import annotations

import json
import os
import pathlib
import time
from typing import Any

import numpy as np

from lropt_jax.pages.surroundings import versions
from lropt_jax.progress import Progress
from lropt_jax.reproductions.bench import Bench
from lropt_jax.reproductions.catalogue import claim_named
from lropt_jax.reproductions.claim import Claim, Verdict

FORMAT = "lropt_jax reproduction 1"


def reproduce(
    name: str,
    quick: bool = False,
    output: str | os.PathLike[str] | None = None,
    progress: bool | Progress = True,
) -> Verdict:
    """Puts one of the field's claims to the test.

    Everything is tuned alike on validation data, and the criterion stands in the claim's file,
    with the date on which it was fixed. What was measured is written to `output` and read back
    from there: the verdict, the figure and the page come from these data alone.

    When to use:
      To see a claim of the literature tried, or to run it on your machine. `quick=True` shows
      the way, not the verdict.

    Args:
      name: of the claim, see `lropt list claims`.
      quick: a quick look, with few seeds and small grids. It decides nothing, unless the claim
        is exact, where there is nothing to cut.
      output: a folder; a run that was interrupted goes on from there when it is called again, and
        a finished one is read back. None keeps nothing.
      progress: whether to show a live line.

    Returns:
      A `Verdict`: `.holds` is True, False, or None where the interval straddles the criterion.

    Raises:
      ValueError: for an unknown name; it lists the known ones.

    See also:
      `compare`, `citation`.

    Example:
      >>> from lropt_jax import reproduce
      >>> verdict = reproduce("inclusion_exact", progress=False)
      >>> verdict.holds
      True
    """
    claim = claim_named(name)
    quick = quick and claim.kind == "statistical"
    folder = None if output is None else pathlib.Path(output).expanduser() / claim.name
    kept = None if folder is None else read(folder, claim, quick)
    if kept is not None:
        return kept
    work = None if folder is None else folder / ("work-quick" if quick else "work")
    before = _seconds_before(work)
    began = time.monotonic()
    try:
        data = _plain(claim.measure(Bench(quick, work, progress)))
    finally:
        seconds = before + time.monotonic() - began
        if work is not None and work.is_dir():
            (work / "seconds").write_text(f"{seconds:.1f}\n")
    verdict = Verdict.of(claim, data, quick, seconds, versions())
    if folder is not None:
        _write(folder, verdict)
    return verdict


def read(folder: pathlib.Path, claim: Claim, quick: bool) -> Verdict | None:
    """What a finished run of a claim has left in its folder, judged anew; None without one."""
    try:
        held = json.loads((folder / _file(quick)).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if held.get("format") != FORMAT or held.get("frozen") != claim.frozen:
        return None
    return Verdict.of(claim, held["data"], quick, held["seconds"], held["about"])


def _write(folder: pathlib.Path, verdict: Verdict) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    held = {
        "format": FORMAT,
        "name": verdict.claim.name,
        "frozen": verdict.claim.frozen,
        "seconds": round(verdict.seconds, 1),
        "about": dict(verdict.about),
        "data": verdict.data,
    }
    path = folder / _file(verdict.quick)
    beside = path.with_suffix(".writing")
    beside.write_text(json.dumps(held) + "\n", encoding="utf-8")
    os.replace(beside, path)


def _file(quick: bool) -> str:
    return "data-quick.json" if quick else "data.json"


def _seconds_before(work: pathlib.Path | None) -> float:
    """What runs that were interrupted have taken."""
    try:
        return 0.0 if work is None else float((work / "seconds").read_text())
    except (OSError, ValueError):
        return 0.0


def _plain(value: Any) -> Any:
    """Arrays as lists, NumPy's numbers as Python's: what JSON gives back unchanged."""
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if hasattr(value, "tolist"):
        return _plain(np.asarray(value).tolist())
    return value
