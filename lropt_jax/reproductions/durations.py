"""How long the claims took on two processor cores: what a plan says before they run."""

from __future__ import annotations

SECONDS: dict[str, float] = {
    "inclusion_exact": 6,
    "adamw_propositions": 3,
    "wilson": 50,
    "reddi": 56,
    "stability": 64,
    "noisy_quadratic": 82,
    "rotation": 776,
    "heavy_tails": 3542,
    "generalization_gap": 191,
    "swats": 167,
    "lecture_tie": 352,
    "does_adam_need_decay": 368,
    "linear_to_zero": 489,
    "qhadam_early": 95,
    "warmup_sensitivity": 196,
    "mup": 55,
    "muon": 290,
}
