"""The settings in which our optimizers are compared with their references, and the gradients.

Numbers only, so that the normal tests need no other framework: `make_optimizers.py` runs the
references and stores their trajectories, `tests/test_optimizers_golden.py` runs ours, and
`tests/parity/test_optimizers.py` runs both.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

STEPS = 50
STORED = (1, 2, 3, 10, 25, 50)  # the steps whose parameters the golden file has


@dataclasses.dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
      name: of the optimizer.
      reference: the key of the reference in `tests/parity/references.py`.
      learning_rate: at step 0.
      numbers: our further arguments.
      scheduled: whether the learning rate follows `rate`.
      leaves: how many leaves of the problem are used (references that work on one tensor: 1).
    """

    name: str
    reference: str
    learning_rate: float
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)
    scheduled: bool = False
    leaves: int = 3

    @property
    def id(self) -> str:
        numbers = "".join(f" {k}={v}" for k, v in self.numbers.items())
        schedule = " scheduled" if self.scheduled else ""
        return f"{self.name} {self.reference} {self.learning_rate}{numbers}{schedule}"


def rate(case: Case, step: int) -> float:
    """The learning rate of a scheduled case: up and down, so that its place in a buffer shows."""
    return case.learning_rate * 0.9**step * (3.0 if step % 7 == 3 else 1.0)


def start(leaves: int = 3) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    shapes = [(3, 4), (5,), ()][:leaves]
    return [np.asarray(rng.normal(size=shape)) for shape in shapes]


def noise(leaves: int = 3) -> list[list[np.ndarray]]:
    """What is added to the gradient at each step; a few entries make zero gradients."""
    rng = np.random.default_rng(2)
    return [[0.3 * rng.normal(size=np.shape(p)) for p in start(leaves)] for _ in range(STEPS)]


def gradient(params: Any, noise_now: Any) -> list[Any]:
    """Of a stiff quadratic plus noise; the first entry of the second leaf never has one."""
    out = []
    for i, (p, n) in enumerate(zip(params, noise_now, strict=True)):
        stiffness = np.linspace(0.2, 3.0, p.size).reshape(p.shape)
        g = stiffness * p + n
        if i == 1:
            g = g * np.array([0.0, 1.0, 1.0, 1.0, 1.0])
        out.append(g)
    return out


def _case(name: str, reference: str, learning_rate: float, **numbers: Any) -> list[Case]:
    constant = Case(name, reference, learning_rate, numbers)
    return [constant, dataclasses.replace(constant, scheduled=True)]


CASES: list[Case] = [
    *_case("sgd", "torch", 0.1),
    *_case("sgd", "torch", 0.1, l2=0.1),
    *_case("sgd", "torch", 0.05, momentum=0.9),
    *_case("sgd", "torch", 0.05, momentum=0.8, dampening=0.3, l2=0.05),
    *_case("sgd", "torch", 0.05, momentum=0.7, nesterov=True),
    *_case("sgdw", "timm", 0.05, momentum=0.9, weight_decay=0.1),
    *_case("sgdw", "timm", 0.05, momentum=0.7, weight_decay=0.02, nesterov=True),
    *_case("adagrad", "torch", 0.3),
    *_case("adagrad", "torch", 0.1, eps=1e-2, initial_accumulator_value=0.2, l2=0.1),
    *_case("adadelta", "torch", 1.0),
    *_case("adadelta", "torch", 0.7, rho=0.8, eps=1e-3, l2=0.1),
    *_case("rmsprop", "torch", 0.02),
    *_case("rmsprop", "torch", 0.02, decay=0.9, eps=1e-3, momentum=0.8, l2=0.1),
    *_case("rmsprop", "torch", 0.02, decay=0.95, momentum=0.6, centered=True),
    *_case("rmsprop", "torch", 0.02, decay=0.8, eps=1e-4, centered=True),
    *_case("adam", "torch", 0.1),
    *_case("adam", "torch", 0.1, b1=0.7, b2=0.95, eps=1e-3, l2=0.1),
    *_case("adamw", "torch", 0.1),
    *_case("adamw", "torch", 0.05, b1=0.95, b2=0.9, eps=1e-4, weight_decay=0.3),
    *_case("amsgrad", "torch", 0.1),
    *_case("amsgrad", "torch", 0.1, b1=0.6, b2=0.8, eps=1e-3, l2=0.1),
    *_case("amsgrad", "torch", 0.1, b2=0.8, weight_decay=0.1),
    *_case("nadam", "torch", 0.1),
    *_case("nadam", "torch", 0.1, b1=0.8, b2=0.95, eps=1e-3, momentum_decay=0.1, l2=0.1),
    *_case("nadamw", "torch", 0.1),
    *_case("nadamw", "torch", 0.05, b1=0.8, momentum_decay=0.0, weight_decay=0.2),
    *_case("adamax", "torch", 0.1),
    *_case("adamax", "torch", 0.1, b1=0.8, b2=0.9, eps=1e-3, l2=0.1),
    *_case("adabelief", "adabelief_pytorch", 0.1),
    *_case("adabelief", "adabelief_pytorch", 0.1, b1=0.8, b2=0.95, eps=1e-4, weight_decay=0.1),
    *_case("adabelief", "adabelief_pytorch", 0.1, eps=1e-8, l2=0.05),
    *_case("qhm", "qhoptim", 0.5),
    *_case("qhm", "qhoptim", 0.3, momentum=0.9, nu=0.4, l2=0.1),
    *_case("qhm", "qhoptim", 0.3, momentum=0.8, nu=1.0, weight_decay=0.1),
    *_case("qhadam", "qhoptim", 0.1),
    *_case("qhadam", "qhoptim", 0.1, b1=0.9, b2=0.95, nu1=0.5, nu2=0.6, eps=1e-3, l2=0.1),
    *_case("qhadamw", "qhoptim", 0.1),
    *_case("qhadamw", "qhoptim", 0.05, nu1=0.8, nu2=0.9, weight_decay=0.3),
    Case("lars", "timm", 1.0, {}),
    Case("lars", "timm", 5.0, {"weight_decay": 0.1, "trust_coefficient": 0.01}),
    Case("lars", "timm", 2.0, {"momentum": 0.7, "eps": 1e-3, "nesterov": True}),
    *_case("lars", "torch_sgd_on_scaled", 5.0, weight_decay=0.1, trust_coefficient=0.01),
    *_case("lamb", "timm", 0.05),
    *_case("lamb", "timm", 0.05, b1=0.8, b2=0.95, eps=1e-3, weight_decay=0.1),
    *_case("rprop", "torch", 0.05),
    *_case("rprop", "torch", 0.05, eta_minus=0.4, eta_plus=1.5, min_step=1e-2, max_step=0.2),
    Case("swats", "pytorch_optimizer", 0.05, {"switch_atol": 1e-8}, leaves=1),
    Case(
        "swats",
        "pytorch_optimizer",
        0.05,
        {"b1": 0.8, "b2": 0.95, "eps": 1e-2, "switch_atol": 1e-8, "switch_rtol": 1e-2},
        leaves=1,
    ),
]
