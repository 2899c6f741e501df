"""A program that hears Ctrl-C also where the tests themselves run in the background."""

from __future__ import annotations

import signal
import subprocess


def interruptible(arguments, **options):
    """`subprocess.Popen`, without the deafness to SIGINT that a shell gives to what it starts in
    the background, and that children inherit."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(arguments, **options)
    finally:
        signal.signal(signal.SIGINT, before)
