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


def answers(page, script, folder, width=None):
    """What `script`, the body of a function, returns in a page.

    Args:
      page: its text.
      script: in JavaScript.
      folder: an empty one.
      width: of the window, in pixels, down to a phone's; None for the browser's own.
    """
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("no browser")
    said = (
        f"<script>{{const said = (() => {{{script}}})(), held = document.createElement('pre');"
        "held.id = 'said'; held.textContent = JSON.stringify(said);"
        "top.document.body.append(held);}</script></body>"
    )
    shown = page.replace("</body>", said)
    if width is not None:
        look = f'style="border: 0; width: {width}px; height: 2000px"'
        shown = f'<body><iframe {look} srcdoc="{html.escape(shown)}"></iframe></body>'
    file = folder / "page.html"
    file.write_text(shown, encoding="utf-8")
    ran = subprocess.run(
        [program, *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom", file.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="said">(.*?)</pre>', ran.stdout, re.S)
    assert found, ran.stderr[-2000:]
    return json.loads(html.unescape(found.group(1)))
