"""Our optimizers equal the living references, at every step, in float64."""

from __future__ import annotations

import importlib.metadata

import numpy as np
import pytest

from tests.golden.optimizer_cases import CASES, Case
from tests.optimizer_runs import trajectory as ours

pytest.importorskip("torch")
for package in ("qhoptim", "adabelief_pytorch", "pytorch_optimizer"):
    pytest.importorskip(package)
try:
    importlib.metadata.version("timm")
except importlib.metadata.PackageNotFoundError:
    pytest.skip("timm is not installed", allow_module_level=True)

from tests.parity import references  # noqa: E402


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_equals_the_reference(case: Case) -> None:
    for step, (mine, theirs) in enumerate(
        zip(ours(case), references.trajectory(case), strict=True)
    ):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-10, err_msg=f"at step {step}")
