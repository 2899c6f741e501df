"""The code of a page of the documentation, run as its reader would, and what it prints."""

from __future__ import annotations

import contextlib
import io
import pathlib
import re
from typing import Any

import jax

DOCS = pathlib.Path(__file__).parents[1] / "docs"


def run(page: str, blocks: int, section: str | None = None) -> dict[str, Any]:
    """Runs the python blocks of a page, one after another, and gives what they define.

    What a block prints must stand below it.

    Args:
      page: its file's name.
      blocks: how many there are, lest none be found.
      section: the heading of the one that is run, after what stands before the first; or all.
    """
    text = (DOCS / page).read_text()
    if section is not None:
        before, *sections = re.split(r"^## ", text, flags=re.MULTILINE)
        text = before + next(s for s in sections if s.startswith(f"{section}\n"))
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert [language for language, _ in found].count("python") == blocks
    names: dict[str, Any] = {}
    for i, (language, code) in enumerate(found):
        if language != "python":
            continue
        out = io.StringIO()
        with jax.numpy_rank_promotion("allow"), contextlib.redirect_stdout(out):
            exec(compile(code, f"{page}, block {i + 1}", "exec"), names)
        if printed := out.getvalue():
            language, shown = found[i + 1] if i + 1 < len(found) else ("", "")
            assert language == "text", f"{page}: what block {i + 1} prints is not shown"
            assert alike(shown, printed), f"{page}: block {i + 1} prints\n{printed}"
    return names


def alike(shown: str, printed: str) -> bool:
    """Whether two outputs have the same words: numbers differ from machine to machine.

    So may what `tune` recommends; it begins with the same word.
    """
    ours, theirs = (_words(text) for text in (shown, printed))
    return ours == theirs or ours[0] == theirs[0] == "Use"


def _words(text: str) -> list[str]:
    text = re.sub(r"[▁-█×]+|-?\d[\d.]*(e[-+]?\d+)?", "#", text)  # curves are numbers, too
    return text.replace("[", "[ ").split()
