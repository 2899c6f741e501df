"""docs/command.md says of every command what its parser says."""

from __future__ import annotations

from tests import command_page


def test_the_page_of_the_command_is_up_to_date():
    written = command_page.PAGE.read_text(encoding="utf-8")
    assert written == command_page.page(), "python -m tests.command_page writes it anew"


def test_every_command_has_its_part():
    text = command_page.page()
    for name in command_page.DOCUMENTS:
        assert f"## lropt {name}\n" in text
    assert "`--json`" in text
    assert "SUPPRESS" not in text
