"""A figure as vector graphics inside of a page, in the page's own colours, light or dark."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

import numpy as np

from lropt_jax.plotting.style import DIVERGED, FIXED, ON_DARK, PALETTE

SVG, XLINK = "http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"
LARGER = 1.3  # of its size in points at most, so that letters are those of the page
MOST_POINTS = 40  # of a line that say their values
MOST_CELLS = 400  # of a picture
REACH = 6.0  # of a point, in points

# The colours that figures are drawn in, by the page's names for them, light and dark.
VARIABLES = {
    **{f"--c{i}": colours for i, colours in enumerate(zip(PALETTE, ON_DARK, strict=True))},
    "--diverged": DIVERGED,
}
_NAMED = {colours[0].lower(): name for name, colours in VARIABLES.items()}


def variables(dark: bool) -> str:
    """The declarations of a figure's colours in a style sheet."""
    return " ".join(f"{name}: {colours[dark]};" for name, colours in VARIABLES.items())


def inline_svg(figure: Any, name: str, label: str) -> str:
    """A figure as an `<svg>` element to stand in a page.

    Letters and frames have the colour of the text around, greys lie between it and the paper, the
    palette's colours are CSS variables with themselves for a page that has none (`variables`); what
    has a `gid` that begins with `FIXED` keeps its colours, as letters on a coloured cell must.
    Points of labelled lines, scattered points and cells of pictures say their values under the
    pointer.

    Args:
      figure: of matplotlib.
      name: begins all ids, so that several figures can stand in one page.
      label: what a reader hears who does not see it.
    """
    import matplotlib

    text = io.StringIO()
    # Without dates and random names the same figure gives the same bytes.
    look: Any = {"svg.fonttype": "none", "svg.hashsalt": name, "savefig.bbox": None}
    with matplotlib.rc_context(look), warnings.catch_warnings():
        # Its letters are text, which the browser has a font for.
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    drawn = ElementTree.fromstring(text.getvalue())
    for tag in ("metadata", "defs"):  # matplotlib's name, and rules for the whole page
        for child in drawn.findall(f"{{{SVG}}}{tag}"):
            if child.find(f"{{{SVG}}}style") is not None or tag == "metadata":
                drawn.remove(child)
    _themed(drawn, fixed=False)
    _with_own_ids(drawn, name)
    _, _, width, height = map(float, drawn.attrib["viewBox"].split())
    hits = ElementTree.SubElement(drawn, f"{{{SVG}}}g", {"class": "hits", "fill": "transparent"})
    scale = 72 / figure.dpi
    for shape, words in _values(figure, scale, height):
        ElementTree.SubElement(
            ElementTree.SubElement(hits, f"{{{SVG}}}{shape['tag']}", shape["at"]),
            f"{{{SVG}}}title",
        ).text = words
    drawn.attrib = {
        "viewBox": drawn.attrib["viewBox"], "role": "img", "aria-label": label,
        "fill": "currentColor", "stroke-linejoin": "round",
        "style": f"width: 100%; max-width: {LARGER * width:.0f}px; height: auto",
    }  # fmt: skip
    return _plain(drawn)


def _themed(node: Any, fixed: bool) -> None:
    """The page's colours instead of black, white, grey and the palette's."""
    for child in node:
        stays = fixed or child.attrib.get("id", "").startswith(FIXED)
        if stays and not fixed:
            child.attrib["fill"] = "#000000"
        style = child.attrib.get("style")
        if style is not None:
            style = re.sub(r"font-family: [^;]+;? ?", "", style)
            if not stays:
                style = re.sub(r"(fill|stroke): (#[0-9a-f]{6})", _colour, style)
            child.attrib["style"] = style
        _themed(child, stays)


def _colour(found: re.Match[str]) -> str:
    what, colour = found.groups()
    if colour in _NAMED:
        return f"{what}: var({_NAMED[colour]}, {colour})"
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    if not red == green == blue:
        return found[0]
    if red in (0, 255):
        return f"{what}: " + ("currentColor" if red == 0 else "var(--paper, #ffffff)")
    ink = round(100 * (1 - red / 255))
    return f"{what}: color-mix(in srgb, currentColor {ink}%, var(--paper, #ffffff))"


def _with_own_ids(drawn: Any, name: str) -> None:
    """Ids that no other figure of the page has, and only those that something refers to."""
    link = f"{{{XLINK}}}href"
    for node in drawn.iter():
        if link in node.attrib:
            node.attrib["href"] = node.attrib.pop(link)
    used = set()
    for node in drawn.iter():
        for value in node.attrib.values():
            used.update(re.findall(r"url\(#([^)]+)\)", value))
        used.add(node.attrib.get("href", "").removeprefix("#"))
    for node in drawn.iter():
        if node.attrib.get("id") not in used:
            node.attrib.pop("id", None)
        for key, value in node.attrib.items():
            if key == "id":
                node.attrib[key] = f"{name}-{value}"
            elif key == "href" and value.startswith("#"):
                node.attrib[key] = f"#{name}-{value[1:]}"
            else:
                node.attrib[key] = re.sub(r"url\(#", f"url(#{name}-", value)


def _values(figure: Any, scale: float, height: float) -> Iterator[tuple[dict[str, Any], str]]:
    """What says its values: a shape in the figure's points from the top, and the words."""
    for axes in figure.axes:
        box = axes.get_window_extent()
        if not axes.get_visible():
            continue

        def place(x: float, y: float, axes: Any = axes, box: Any = box) -> tuple[float, float]:
            across, up = axes.transData.transform((x, y))
            inside = box.padded(1).contains(across, up)
            return (across * scale, height - up * scale) if inside else (np.nan, np.nan)

        for label, x, y, extra in _points(axes):
            across, up = place(x, y)
            if np.isfinite(across) and np.isfinite(up):
                words = [w for w in (*_place_said(axes, x, y), *extra) if w]
                at = {"cx": f"{across:.1f}", "cy": f"{up:.1f}", "r": f"{REACH:g}"}
                yield (
                    {"tag": "circle", "at": at},
                    ": ".join(filter(None, [label, ", ".join(words)])),
                )
        for image in axes.images:
            cells: Any = np.ma.filled(np.ma.asarray(image.get_array(), float), np.nan)
            if cells.ndim != 2 or cells.size > MOST_CELLS:
                continue
            columns = [t.get_text() for t in axes.get_xticklabels()]
            rows = [t.get_text() for t in axes.get_yticklabels()]
            if (len(rows), len(columns)) != cells.shape:
                continue
            for (row, column), value in np.ndenumerate(cells):
                corner = axes.transData.transform([(column - 0.5, row - 0.5)])[0]
                other = axes.transData.transform([(column + 0.5, row + 0.5)])[0]
                (left, low), (right, high) = corner * scale, other * scale
                at = {"x": left, "y": height - high, "width": right - left, "height": high - low}
                said = "none" if np.isnan(value) else f"{value:.4g}"
                words = [f"{_axis(axes, 'x')} {columns[column]}", f"{_axis(axes, 'y')} {rows[row]}"]
                shape = {"tag": "rect", "at": {k: f"{v:.1f}" for k, v in at.items()}}
                yield shape, f"{', '.join(words)}: {said}"


def _points(axes: Any) -> Iterator[tuple[str, float, float, list[str]]]:
    """Of labelled lines, and of scattered points, the coloured ones with their value."""
    for line in axes.lines:
        label = str(line.get_label())
        x, y = (np.asarray(v, float) for v in (line.get_xdata(), line.get_ydata()))
        if label.startswith("_") or line.get_transform() != axes.transData or not len(x):
            continue
        every = -(-len(x) // MOST_POINTS)
        for i in range((len(x) - 1) % every, len(x), every):  # the last one among them
            yield label, float(x[i]), float(y[i]), []
    for points in axes.collections:
        shades = points.get_array()
        if not hasattr(points, "get_sizes") or shades is None:
            continue
        for (x, y), value in zip(points.get_offsets(), np.asarray(shades, float), strict=True):
            bar = points.colorbar
            what = f"{bar.ax.get_ylabel()} " if bar is not None else ""
            yield "", float(x), float(y), [f"{what}{value:.4g}"]


def _axis(axes: Any, which: str) -> str:
    """What an axis says, or the figure in its place."""
    own = getattr(axes, f"get_{which}label")()
    said = own or getattr(axes.figure, f"get_sup{which}label")() or which
    return str(said).replace("\n", " ")


def _place_said(axes: Any, x: float, y: float) -> list[str]:
    """A place in the words of the axes, or in the figure's own where it has set `format_coord`."""
    own = vars(axes).get("format_coord")
    if own is not None:
        return [str(own(x, y))]
    return [f"{_axis(axes, which)} {_said(axes, which, at)}" for which, at in (("x", x), ("y", y))]


def _said(axes: Any, which: str, value: float) -> str:
    form = getattr(axes, f"fmt_{which}data")
    return str(form(value)) if form is not None else f"{value:.4g}"


def _plain(drawn: Any) -> str:
    """The element without namespaces, which HTML does not need, and without idle white space."""
    for node in drawn.iter():
        node.tag = node.tag.removeprefix(f"{{{SVG}}}")
        if not node.tag.startswith("t"):  # title, text, tspan
            node.text = None
        node.tail = None
        for key in ("d", "points"):
            if key in node.attrib:
                rounded = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{float(m[0]):.2f}", node.attrib[key])
                node.attrib[key] = " ".join(rounded.split())
    return ElementTree.tostring(drawn, encoding="unicode", short_empty_elements=False)
