"""Writes tests/golden/optimizers.npz: `python -m tests.golden.make_optimizers` (parity extra)."""

from __future__ import annotations

import json
import pathlib

import numpy as np

from tests.golden.optimizer_cases import CASES, STORED
from tests.parity.references import trajectory, versions

PATH = pathlib.Path(__file__).with_name("optimizers.npz")


def main() -> None:
    arrays = {}
    for case in CASES:
        path = trajectory(case)
        flat = [np.concatenate([np.ravel(p) for p in path[step - 1]]) for step in STORED]
        arrays[case.id] = np.stack(flat)
    np.savez_compressed(PATH, **arrays)
    PATH.with_suffix(".json").write_text(json.dumps(versions(), indent=2) + "\n")


if __name__ == "__main__":
    main()
