"""A page out of a template: the base, the parts and the look are here, the rest beside its wing."""

from __future__ import annotations

import functools
import importlib.resources
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from lropt_jax.plotting.style import for_phones
from lropt_jax.plotting.vector import inline_svg, variables


class Picture(NamedTuple):
    """A figure of a page, drawn for a wide window and for a phone; with a caption."""

    wide: str
    phone: str
    caption: str


def page_file(path: str | os.PathLike[str]) -> pathlib.Path:
    """Where a page is written: a file that ends in .html, or report.html in a folder. Its folder is
    made if it does not exist."""
    path = pathlib.Path(path).expanduser()
    if path.suffix not in (".html", ".htm"):
        path = path / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def render(package: str, template: str, **values: Any) -> str:
    """A page that needs no other file.

    Args:
      package: where the template lies; it extends `pages/base.html`.
      template: its name.
      values: what it shows.
    """
    import jinja2

    here = jinja2.PackageLoader("lropt_jax.pages", ".")
    loader = jinja2.ChoiceLoader(
        [jinja2.PrefixLoader({"pages": here}), jinja2.PackageLoader(package, ".")]
    )
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found = environment.get_template(template)
    return str(found.render(css=style_sheet(), script=_text("page.js"), **values))


def pictures(
    draw: Callable[[], Mapping[str, tuple[Any, str]]], folder: pathlib.Path | None = None
) -> list[Picture]:
    """Figures for a page.

    Args:
      draw: returns figures with their captions, by name; called once for each width.
      folder: where they are kept as PNG, too.
    """
    wide = draw()
    with for_phones():
        phone = draw()
    found = []
    for name, (figure, caption) in wide.items():
        if folder is not None:
            figure.savefig(folder / f"{name}.png", format="png")
        words = name.replace("-", ": ").replace("_", " ")
        words = f"{words[:1].upper()}{words[1:]}"
        label = f"{words}. {caption}" if caption else words
        narrow = inline_svg(phone[name][0], f"{name}-phone", label)
        found.append(Picture(inline_svg(figure, name, label), narrow, caption or words))
    return found


@functools.cache
def style_sheet() -> str:
    """The look of every page, with the colours of the figures."""
    dark = f"@media (prefers-color-scheme: dark) {{ :root {{ {variables(dark=True)} }} }}"
    return f"{_text('page.css')}:root {{ {variables(dark=False)} }}\n{dark}\n"


def _text(name: str) -> str:
    return importlib.resources.files("lropt_jax.pages").joinpath(name).read_text("utf-8")
