"""The oldest releases that pyproject.toml allows, as pip's constraints: `name==least` a line.

The Atlas's packages are left out: only files of theirs are read, and they ask for a later SciPy.
"""

import pathlib
import re
import tomllib

text = (pathlib.Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8")
project = tomllib.loads(text)["project"]
extras = project["optional-dependencies"]
kept = set(extras) - {"atlas", "all", "test", "parity", "docs", "dev"}
lines = {*project["dependencies"], *(line for extra in kept for line in extras[extra])}
for line in sorted(lines):
    name, least = re.fullmatch(r"([\w-]+)>=([\w.]+)", line).groups()
    print(f"{name}=={least}")
    if name == "jax":
        print(f"jaxlib=={least}")
