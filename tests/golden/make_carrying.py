"""Writes carrying.json: state_dicts of torch after three steps, and parameters after six.

Run from the root of the repository: python -m tests.golden.make_carrying
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import numpy as np
import torch

from tests.golden.carrying_cases import CASES

STEPS = 3


def plain(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        return x.tolist()
    if isinstance(x, dict):
        return {str(k): plain(v) for k, v in x.items()}
    return [plain(v) for v in x] if isinstance(x, (list, tuple)) else x


def main() -> None:
    torch.set_default_dtype(torch.float64)
    rng = np.random.default_rng(0)
    start = [rng.normal(size=(3, 2)).round(3), rng.normal(size=3).round(3)]
    gradients = [
        [rng.normal(size=(3, 2)).round(3), rng.normal(size=3).round(3)] for _ in range(2 * STEPS)
    ]
    written: dict[str, Any] = {
        "torch": torch.__version__.split("+")[0],
        "gradients": [[g.tolist() for g in both] for both in gradients],
    }
    for name, case in CASES.items():
        params = [torch.nn.Parameter(torch.tensor(x)) for x in start]
        optimizer = getattr(torch.optim, case.torch)(params, **case.arguments)
        for step, both in enumerate(gradients):
            if step == STEPS:
                written[name] = {
                    "state_dict": plain(optimizer.state_dict()),
                    "params": plain(params),
                }
            for p, g in zip(params, both, strict=True):
                p.grad = torch.tensor(g)
            optimizer.step()
        written[name]["end"] = plain(params)
    path = pathlib.Path(__file__).parent / "carrying.json"
    path.write_text(json.dumps(written, indent=None, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
