"""The guides whose blocks are meant to be pasted run, block after block."""

from __future__ import annotations

import pathlib
import re

import pytest

from tests import guides

PASTED = {
    "quick_start.md": 4,
    "examples.md": 11,
    "if_you_have_met.md": 15,
    "range_test.md": 2,
    "watching.md": 1,
}


@pytest.mark.slow
@pytest.mark.parametrize("page", PASTED)
def test_a_guide_runs(page: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    guides.run(page, PASTED[page])


def test_each_complaint_has_the_lines_that_solve_it() -> None:
    text = (guides.DOCS / "if_you_have_met.md").read_text()
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    assert len(sections) >= 12
    assert [s.splitlines()[0] for s in sections if "```python" not in s] == []
