"""How is it told? A sweep as one page: what ran, the best trials, figures, how to go on."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

STYLE = """
body { font: 16px/1.55 system-ui, sans-serif; max-width: 64rem; margin: 2.5rem auto;
       padding: 0 1rem; color: CanvasText; background: Canvas; }
:root { color-scheme: light dark; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .9rem; text-align: right; border-bottom: 1px solid #8886;
         white-space: nowrap; }
tbody tr:first-child { font-weight: 600; }
img { max-width: 100%; background: white; }
figcaption, .note { opacity: .75; font-size: .9rem; }
"""


def page_file(path: str | os.PathLike[str]) -> Path:
    """Where a page is written: a file that ends in .html, or report.html in a folder. Its folder is
    made if it does not exist."""
    path = Path(path).expanduser()
    if path.suffix not in (".html", ".htm"):
        path = path / "report.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def page(
    title: str,
    lines: Sequence[str],
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    figures: Mapping[str, Any],
) -> str:
    """A page that needs no other file.

    Args:
      title: its heading.
      lines: a paragraph each.
      headings: of the table.
      rows: of the table, the best first.
      figures: of matplotlib, by name.
    """
    body = [f"<h1>{escape(title)}</h1>", *(f"<p>{escape(line)}</p>" for line in lines)]
    body += ["<div class='scroll'><table><thead><tr>"]
    body += [f"<th>{escape(heading)}</th>" for heading in headings]
    body += ["</tr></thead><tbody>"]
    body += ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    body += ["</tbody></table></div>"]
    for name, figure in figures.items():
        drawn = io.BytesIO()
        figure.savefig(drawn, format="svg")
        data = base64.b64encode(drawn.getvalue()).decode()
        words = escape(name.replace("-", ": ").replace("_", " "))
        image = f"<img alt='{words}' src='data:image/svg+xml;base64,{data}'>"
        body.append(f"<figure>{image}<figcaption>{words}</figcaption></figure>")
    head = (
        "<meta charset='utf-8'><meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style>"
    )
    content = "\n".join(body)
    return (
        f"<!doctype html>\n<html lang='en'><head>{head}</head><body>\n{content}\n</body></html>\n"
    )
