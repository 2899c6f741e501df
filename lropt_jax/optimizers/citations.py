"""Whom to cite: BibTeX of each optimizer and schedule that has a paper, from `works.bib`."""

from __future__ import annotations

import functools
import importlib.resources

from lropt_jax.validation import instead


def citation(name: str) -> str:
    """BibTeX of the work behind an optimizer or a schedule, or of the Atlas.

    When to use:
      For the references of a paper that uses an optimizer or a schedule.

    Args:
      name: of the constructor, `"adamw"` for example; or "atlas".

    Raises:
      KeyError: for a name that has no paper, listing those that have.

    See also:
      `OPTIMIZERS`, `SCHEDULES`.

    Example:
      >>> from lropt_jax import citation
      >>> print(citation("swats"))
      @misc{keskar2017,
        title = {Improving generalization performance by switching from Adam to SGD},
        author = {Keskar, Nitish Shirish and Socher, Richard},
        year = {2017},
        eprint = {1712.07628},
        archiveprefix = {arXiv},
      }
    """
    entries = _entries()
    if not isinstance(name, str) or name not in entries:
        raise KeyError(f"no citation for {name!r}{instead(name, sorted(entries))}")
    return "\n\n".join(entries[name])


@functools.cache
def _entries() -> dict[str, list[str]]:
    """The works by the names here that they stand behind."""
    text = importlib.resources.files(__package__).joinpath("works.bib").read_text("utf-8")
    _, *works = text.strip().split("\n\n")
    found: dict[str, list[str]] = {}
    for work in works:
        names, entry = work.removeprefix("% ").split("\n", 1)
        for name in names.split(", "):
            found.setdefault(name, []).append(entry)
    return found
