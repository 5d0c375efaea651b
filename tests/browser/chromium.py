"""The browser of the tests: Chromium, found on this machine or installed. ``make test`` runs this file first.

Debian's package is tried first where apt-get may be used; elsewhere playwright's own download is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from playwright.sync_api import Browser, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
"""It asks nothing of the network but the pages that it is sent to."""
_APT = (["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "--no-install-recommends", "chromium"])
_INSTALL_SECONDS = 600


def launch(playwright: Playwright) -> Browser:
    """A headless browser; raises playwright's Error where there is none."""
    return playwright.chromium.launch(executable_path=_found(), args=list(ARGUMENTS))


def _found() -> str | None:
    """The machine's own Chromium; None where playwright's shall be used."""
    return next((path for path in map(shutil.which, NAMES) if path is not None), None)


def install() -> int:
    """Make sure that ``launch`` works; the exit status."""
    if _found() is None and not (_may_use_apt() and all(map(_run, _APT))):
        _run([sys.executable, "-m", "playwright", "install", "chromium"])
    with sync_playwright() as playwright:
        launch(playwright).close()
    return 0


def _may_use_apt() -> bool:
    return os.geteuid() == 0 and shutil.which("apt-get") is not None


def _run(command: list[str]) -> bool:
    return subprocess.run(command, timeout=_INSTALL_SECONDS, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(install())
