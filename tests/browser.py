"""What a script finds in a page, in a browser; a test is skipped where there is none."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import pytest

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")


def answers(page, script, folder):
    """What `script`, the body of a function, returns in a page.

    Args:
      page: its text.
      script: in JavaScript.
      folder: an empty one.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no browser")
    said = (
        f"<script>{{const said = (() => {{{script}}})(), held = document.createElement('pre');"
        "held.id = 'said'; held.textContent = JSON.stringify(said);"
        "document.body.append(held);}</script></body>"
    )
    file = folder / "page.html"
    file.write_text(page.replace("</body>", said), encoding="utf-8")
    ran = subprocess.run(
        [program, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="said">(.*?)</pre>', ran.stdout, re.S)
    assert found, ran.stderr[-2000:]
    return json.loads(html.unescape(found.group(1)))
