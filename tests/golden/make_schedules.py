"""Writes `schedules.json`: what PyTorch's schedulers do. Run with the extra `parity` installed."""

from __future__ import annotations

import json
import math
import pathlib
import warnings

import torch
from schedule_cases import CASES, OBSERVED, PLATEAUS, STEPS

schedulers = torch.optim.lr_scheduler
warnings.simplefilter("ignore")


def optimizer(learning_rate):
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], learning_rate, momentum=0.5)


def values(case):
    sgd = optimizer(case.init_value)
    scheduler = getattr(schedulers, case.reference)(sgd, **case.settings)
    found = []
    for t in range(STEPS):
        found.append(sgd.param_groups[0][case.key])
        if t < STEPS - 1:  # OneCycleLR must not be stepped past its end
            sgd.step()
            scheduler.step()
    return found


def after_observations(settings):
    sgd = optimizer(0.3)
    renamed = {{"min_value": "min_lr"}.get(k, k): v for k, v in settings.items()}
    scheduler = schedulers.ReduceLROnPlateau(sgd, **renamed)
    found = []
    for value in OBSERVED:
        scheduler.step(value)
        found.append(sgd.param_groups[0]["lr"])
    return found


if __name__ == "__main__":
    golden = {
        "versions": {"torch": torch.__version__},
        "schedules": [values(case) for case in CASES],
        "plateaus": [after_observations(settings) for settings in PLATEAUS],
    }
    assert all(math.isfinite(x) for row in golden["schedules"] for x in row)
    path = pathlib.Path(__file__).with_name("schedules.json")
    rows = json.dumps(golden).replace("], [", "],\n[")
    path.write_text(rows + "\n")
