"""Whether a wheel holds all that the package has in git, and nothing else: `wheel.py FILE`."""

import pathlib
import subprocess
import sys
import zipfile

root = pathlib.Path(__file__).parents[1]
command = ["git", "-C", str(root), "ls-files", "lropt_jax"]
ours = set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())
names = set(zipfile.ZipFile(sys.argv[1]).namelist())
held = {name for name in names if ".dist-info/" not in name}
if ours != held:
    sys.exit(f"{sys.argv[1]} lacks {sorted(ours - held)} and should not hold {sorted(held - ours)}")
