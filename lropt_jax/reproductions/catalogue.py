"""The claims by their names, in the order in which they are told."""

from __future__ import annotations

import importlib

from lropt_jax.reproductions.claim import Claim
from lropt_jax.validation import check_name

# One module a claim, each with its `CLAIM`; what is of most use to whoever trains comes first.
WINGS = {
    "does_adam_need_decay": "statistical",
    "linear_scaling": "statistical",
    "generalization_gap": "statistical",
    "tuning_budget": "statistical",
    "choi": "statistical",
    "stability": "exact",
    "linear_to_zero": "statistical",
    "adamw": "statistical",
    "one_cycle": "statistical",
    "warmup_sensitivity": "statistical",
    "edge_of_stability": "statistical",
    "rotation": "exact",
    "muon": "statistical",
    "noisy_quadratic": "exact",
    "lecture_tie": "statistical",
    "fixed_rates": "statistical",
    "smith": "statistical",
    "lamb_large_batch": "statistical",
    "mup": "statistical",
    "adamw_propositions": "exact",
    "heavy_tails": "exact",
    "swats": "statistical",
    "qhadam_early": "statistical",
    "wilson": "exact",
    "inclusion_exact": "exact",
    "reddi": "exact",
}
# Claims that are named like a public function, which no module is.
FILES = {
    "adamw": "decoupled_decay",
    "swats": "adam_then_sgd",
    "one_cycle": "super_convergence",
}
CLAIMS: dict[str, str] = {
    name: f"lropt_jax.reproductions.{wing}.{FILES.get(name, name)}" for name, wing in WINGS.items()
}


def claim_named(name: str) -> Claim:
    """A claim by its name.

    Raises:
      ValueError: for an unknown name; it lists the known ones and the nearest.
    """
    check_name("claim", name, CLAIMS)
    found: Claim = importlib.import_module(CLAIMS[name]).CLAIM
    return found
