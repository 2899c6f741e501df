"""Runs notebooks anew, in place: `python notebooks/execute.py [NAME.ipynb ...]`, by default all.

Needs the extras `all` and `docs`. Figures are kept in 256 colours, a third of the bytes; nothing of
the machine is.
"""

from __future__ import annotations

import base64
import io
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

COLOURS = 256


def main(names: list[str]) -> None:
    """Runs these notebooks."""
    paths = [Path(name) for name in names] or sorted(Path(__file__).parent.glob("*.ipynb"))
    for path in paths:
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            NotebookClient(
                notebook,
                timeout=None,
                kernel_name="python3",
                resources={"metadata": {"path": folder}},
                coalesce_streams=True,
                record_timing=False,
            ).execute()
        for cell in notebook.cells:
            for output in cell.get("outputs", ()):
                if "image/png" in output.get("data", {}):
                    output.data["image/png"] = smaller(output.data["image/png"])
        notebook.metadata["language_info"] = {"name": "python"}
        nbformat.write(notebook, path)
        print(path.name)


def smaller(png: str) -> str:
    """A picture, in base64, by a palette."""
    drawn = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    saved = io.BytesIO()
    drawn.quantize(COLOURS, dither=Image.Dither.NONE).save(saved, "PNG", optimize=True)
    return base64.b64encode(saved.getvalue()).decode()


if __name__ == "__main__":
    main(sys.argv[1:])
