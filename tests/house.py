"""Draws the wings on their floors, from the code's imports: `python -m tests.house` writes it down.

CONTRIBUTING.md holds the drawing; `test_architecture` fails where it is not up to date.
"""

from __future__ import annotations

import pathlib

from tests.test_architecture import FLOORS, MODULES, _imports, _wing

PAGE = pathlib.Path(__file__).parents[1] / "CONTRIBUTING.md"
BEGIN, END = "<!-- the house -->\n", "<!-- end of the house -->"


def picture():
    """Each floor's wings with the wings below that they use, the highest floor first."""
    uses = {}
    for module, path in MODULES.items():
        for name in _imports(path):
            if name.startswith("lropt_jax.") and _wing(name) != _wing(module):
                uses.setdefault(_wing(module), set()).add(_wing(name))
    wings = [w for wings in FLOORS for w in sorted(wings) if any(_wing(m) == w for m in MODULES)]
    width = max(map(len, wings))
    lines = []
    for floor, there in reversed(list(enumerate(FLOORS))):
        for wing in sorted(there & set(wings)):
            below = " ".join(w for w in reversed(wings) if w in uses.get(wing, ()))
            lines.append(f"{floor}  {wing:<{width}}  {'← ' + below if below else ''}".rstrip())
    return "```text\n" + "\n".join(lines) + "\n```\n"


def written():
    """What the page has now."""
    text = PAGE.read_text()
    return text[text.index(BEGIN) + len(BEGIN) : text.index(END)]


if __name__ == "__main__":
    text = PAGE.read_text()
    head, tail = text[: text.index(BEGIN) + len(BEGIN)], text[text.index(END) :]
    PAGE.write_text(head + picture() + tail)
