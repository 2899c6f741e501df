"""A lane's loss curve is torch-lr-finder's, which was stored by `tests.golden.make_range_test`."""

from __future__ import annotations

import json
import pathlib

import numpy as np
import pytest

from lropt_jax import adam, lr_range_test, sgd
from tests.golden import range_test_case as case

STORED = json.loads((pathlib.Path(__file__).parent / "golden" / "range_test.json").read_text())
TASK = case.task()


@pytest.mark.parametrize("split", ["train", "valid"])
@pytest.mark.parametrize("name", case.OPTIMIZERS)
def test_the_curve_is_torch_lr_finders(name, split):
    batches = case.lane_order(case.SEED, case.EXAMPLES, case.BATCH_SIZE)(0, 1)
    assert batches[0].tolist() == STORED["first_batch"], "other batches than those stored"
    test = lr_range_test(
        TASK,
        adam if name == "adam" else sgd,
        case.START,
        case.END,
        case.STEPS,
        seeds=[case.SEED],
        split=split,
        **case.OPTIMIZERS[name],
    )
    expected = STORED[f"{name} {split}"]
    shared = len(expected["losses"])  # torch-lr-finder stops when it diverges
    if test.diverged_at[0] >= 0:
        shared = min(shared, test.diverged_at[0])
    assert shared > 50
    np.testing.assert_allclose(test.learning_rates[:shared], expected["rates"][:shared], rtol=1e-6)
    np.testing.assert_allclose(
        test.losses[0, :shared], expected["losses"][:shared], rtol=1e-4, atol=1e-4
    )
