"""What can be switched, for the whole process."""

from __future__ import annotations

import os

VARIABLE = "LROPT_REWRITE_CONVOLUTIONS"


class Config:
    """What can be switched, for the whole process: `lropt_jax.config`.

    Attributes:
      rewrite_convolutions: whether convolutions and poolings of a model take a form, on a CPU,
        that is fast inside the compiled loop that everything trains in; the results are equal but
        for rounding. True unless it is set, or the environment says
        `LROPT_REWRITE_CONVOLUTIONS=0`. It holds for what begins to train afterwards, and a sweep's
        directory goes on only under the setting that it was begun with.

    Raises:
      ValueError: for a value that is no bool; for another value than 0 and 1 in the environment,
        when it is first asked for.

    Example:
      >>> import lropt_jax
      >>> lropt_jax.config.rewrite_convolutions
      True
    """

    __slots__ = ("_rewrite_convolutions",)

    def __init__(self) -> None:
        self._rewrite_convolutions: bool | None = None

    def __repr__(self) -> str:
        return f"Config({', '.join(f'{k}={v}' for k, v in self.values().items())})"

    def values(self) -> dict[str, bool]:
        """All that can be switched, by name."""
        return {"rewrite_convolutions": self.rewrite_convolutions}

    @property
    def rewrite_convolutions(self) -> bool:
        """See `Config`."""
        if self._rewrite_convolutions is None:
            value = os.environ.get(VARIABLE, "1")
            if value not in ("0", "1"):
                raise ValueError(f"{VARIABLE} must be 0 or 1, got {value!r}")
            self._rewrite_convolutions = value == "1"
        return self._rewrite_convolutions

    @rewrite_convolutions.setter
    def rewrite_convolutions(self, value: bool) -> None:
        if not isinstance(value, bool):
            raise ValueError(f"rewrite_convolutions must be True or False, got {value!r}")
        self._rewrite_convolutions = value


config = Config()
