"""What can be switched, for the whole process."""

from __future__ import annotations

import dataclasses
import os

VARIABLE = "LROPT_REWRITE_CONVOLUTIONS"


def _from_environment() -> bool:
    value = os.environ.get(VARIABLE, "1")
    if value not in ("0", "1"):
        raise ValueError(f"{VARIABLE} must be 0 or 1, got {value!r}")
    return value == "1"


@dataclasses.dataclass(slots=True)
class Config:
    """What can be switched, for the whole process: `lropt_jax.config`.

    Attributes:
      rewrite_convolutions: whether convolutions and poolings of a model take a form, on a CPU,
        that is fast inside the compiled loop that everything trains in; the results are equal but
        for rounding. True unless it is set, or the environment says
        `LROPT_REWRITE_CONVOLUTIONS=0`. It holds for what begins to train afterwards, and a sweep's
        directory goes on only under the setting that it was begun with.

    Example:
      >>> import lropt_jax
      >>> lropt_jax.config.rewrite_convolutions
      True
    """

    rewrite_convolutions: bool = dataclasses.field(default_factory=_from_environment)


config = Config()
