"""The code of a page of the documentation, run as its reader would."""

from __future__ import annotations

import pathlib
import re
from typing import Any

import jax

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def run(page: str, blocks: int, section: str | None = None) -> dict[str, Any]:
    """Runs the python blocks of a page, one after another, and gives what they define.

    Args:
      page: its file's name.
      blocks: how many there are, lest none be found.
      section: the heading of the one that is run, after what stands before the first; or all.
    """
    text = (DOCS / page).read_text()
    if section is not None:
        before, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
        text = before + next(s for s in sections if s.startswith(f"{section}\n"))
    code = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(code) == blocks
    names: dict[str, Any] = {}
    with jax.numpy_rank_promotion("allow"):
        exec(compile("\n".join(code), page, "exec"), names)
    return names
