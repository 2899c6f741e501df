"""How long the claims took on two processor cores: what a plan says before they run.

Each is the time that the published data of `docs/reproductions` say.
"""

from __future__ import annotations

SECONDS: dict[str, float] = {
    "does_adam_need_decay": 368,
    "linear_scaling": 497,
    "generalization_gap": 191,
    "tuning_budget": 530,
    "choi": 962,
    "stability": 64,
    "linear_to_zero": 489,
    "adamw": 525,
    "one_cycle": 247,
    "warmup_sensitivity": 196,
    "edge_of_stability": 481,
    "rotation": 776,
    "muon": 290,
    "noisy_quadratic": 82,
    "lecture_tie": 352,
    "fixed_rates": 406,
    "smith": 296,
    "lamb_large_batch": 628,
    "mup": 55,
    "adamw_propositions": 3,
    "heavy_tails": 264,
    "swats": 167,
    "qhadam_early": 95,
    "wilson": 50,
    "inclusion_exact": 6,
    "reddi": 56,
}
