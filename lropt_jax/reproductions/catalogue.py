"""The claims by their names, in the order in which they are told."""

from __future__ import annotations

import importlib

from lropt_jax.reproductions.claim import Claim
from lropt_jax.validation import unknown

# One module a claim, each with its `CLAIM`; the quickest first.
MODULES = {
    "exact": (
        "inclusion_exact",
        "adamw_propositions",
        "wilson",
        "reddi",
        "stability",
        "noisy_quadratic",
        "rotation",
        "heavy_tails",
    ),
    "statistical": (
        "generalization_gap",
        "fixed_rates",
        "adamw",
        "swats",
        "smith",
        "linear_scaling",
        "lecture_tie",
        "choi",
        "edge_of_stability",
        "does_adam_need_decay",
        "linear_to_zero",
        "one_cycle",
        "qhadam_early",
        "lamb_large_batch",
        "warmup_sensitivity",
        "tuning_budget",
        "mup",
        "muon",
    ),
}
# Claims that are named like a public function, which no module is.
FILES = {
    "adamw": "decoupled_decay",
    "swats": "adam_then_sgd",
    "one_cycle": "super_convergence",
}
CLAIMS: dict[str, str] = {
    name: f"lropt_jax.reproductions.{wing}.{FILES.get(name, name)}"
    for wing, names in MODULES.items()
    for name in names
}


def claim_named(name: str) -> Claim:
    """A claim by its name.

    Raises:
      ValueError: for an unknown name; it lists the known ones and the nearest.
    """
    if name not in CLAIMS:
        raise ValueError(unknown("claim", name, CLAIMS))
    found: Claim = importlib.import_module(CLAIMS[name]).CLAIM
    return found
