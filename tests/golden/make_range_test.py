"""Writes tests/golden/range_test.json: `python -m tests.golden.make_range_test` (parity extra)."""

from __future__ import annotations

import json
import pathlib
from importlib.metadata import version

from tests.golden import range_test_case as case
from tests.parity.range_test_reference import curve

PATH = pathlib.Path(__file__).with_name("range_test.json")


def main() -> None:
    data = case.data()
    batches = case.lane_order(case.SEED, case.EXAMPLES, case.BATCH_SIZE)(0, case.STEPS)
    stored = {
        "versions": {name: version(name) for name in ("torch", "torch-lr-finder", "numpy")},
        "first_batch": batches[0].tolist(),
    }
    for name in case.OPTIMIZERS:
        for split in ("train", "valid"):
            valid = {k: a[:50] for k, a in data.items()} if split == "valid" else None
            rates, losses = curve(case.weights(), data, batches, name, case.START, case.END, valid)
            stored[f"{name} {split}"] = {"rates": rates.tolist(), "losses": losses.tolist()}
    PATH.write_text(json.dumps(stored) + "\n")


if __name__ == "__main__":
    main()
