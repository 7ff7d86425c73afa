"""A page in a real browser: what it fetches, says on the console, and how it is laid out."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Elements that reach beyond the screen, but for those in a table that scrolls within itself.
_BEYOND = """() => [...document.querySelectorAll('body *')]
  .filter(each => !each.closest('.scroll *') && !each.closest('.skip'))
  .filter(each => each.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map(each => `${each.tagName}.${each.getAttribute('class')}: ${each.textContent.slice(0, 40)}`)
"""

Scheme = Literal["light", "dark"]


@dataclass
class Opened:
    """A page that was opened, and what became known of it meanwhile."""

    page: Page
    requests: list[str] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def width(self, pixels: int) -> None:
        """Make the screen so wide."""
        self.page.set_viewport_size({"width": pixels, "height": 900})

    def open_details(self) -> None:
        """Show every table."""
        self.page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")

    def pale(self) -> list[str]:
        """Text that axe finds too close in colour to its ground."""
        options = {"runOnly": ["color-contrast"]}
        found: list[dict[str, Any]] = Axe().run(self.page, options=options).response["violations"]
        return [node["html"][:200] for each in found for node in each["nodes"]]

    def too_wide(self) -> list[str]:
        """Elements that reach beyond the screen; the document itself, if it scrolls sideways."""
        found: list[str] = self.page.evaluate(_BEYOND)
        root = "document.documentElement"
        if self.page.evaluate(f"{root}.scrollWidth > {root}.clientWidth"):
            found.append("the document")
        return found

    def violations(self, *, contrast: bool) -> list[str]:
        """What axe finds wrong, by all its rules or, which is faster, by all but of contrast."""
        options = {"rules": {"color-contrast": {"enabled": contrast}}}
        found: list[dict[str, Any]] = Axe().run(self.page, options=options).response["violations"]
        return [f"{each['id']}: {each['nodes'][0]['html'][:200]}" for each in found]


@contextmanager
def chromium() -> Iterator[Browser]:
    """One browser: it is slow to start."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, file: Path, scheme: Scheme = "light") -> Iterator[Opened]:
    """A file, in a browser without a history, on a screen of 800 pixels."""
    context = browser.new_context(color_scheme=scheme, viewport={"width": 800, "height": 900})
    found = Opened(context.new_page())
    found.page.on("request", lambda request: found.requests.append(request.url))
    found.page.on("console", lambda message: found.messages.append(message.text))
    found.page.on("pageerror", lambda error: found.messages.append(str(error)))
    found.page.goto(file.as_uri())
    yield found
    context.close()
