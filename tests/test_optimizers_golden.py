"""Our optimizers equal the stored trajectories of torch, timm, qhoptim and others, in float64."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest

from lropt_jax import OPTIMIZERS
from tests.golden.optimizer_cases import CASES, STORED, Case
from tests.optimizer_runs import trajectory

GOLDEN = np.load(pathlib.Path(__file__).parent / "golden" / "optimizers.npz")


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.id)
def test_equals_the_reference(case: Case) -> None:
    path = trajectory(case)
    ours = np.stack([np.concatenate([np.ravel(p) for p in path[s - 1]]) for s in STORED])
    np.testing.assert_allclose(ours, GOLDEN[case.id], rtol=0, atol=1e-10)


def test_every_optimizer_has_a_reference() -> None:
    # local_gains is a lecture's slide, without an implementation to compare with.
    assert set(OPTIMIZERS) - {c.name for c in CASES} == {"local_gains"}
