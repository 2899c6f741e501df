"""The code of a page of the documentation, run as its reader would."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import jax

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def run(page: str, blocks: int, names: dict[str, Any] | None = None) -> dict[str, Any]:
    """Runs the python blocks of a page, one after another, and gives what they define.

    Args:
      page: its file's name.
      blocks: how many there are, lest none be found.
      names: what is defined before.
    """
    names = dict(names or {})
    code = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert len(code) == blocks
    with jax.numpy_rank_promotion("allow"):
        exec(compile("\n".join(code), page, "exec"), names)
    return names
