"""The review page in a real browser: Chromium without a window, its WebGL computed in software.

Run by ``make test-page``; it needs Chromium on the PATH, or where the variable CHROMIUM says.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.review.conftest import head, results, run_of_two, served, tiny_weights
from tests.review.serving import Served

__all__ = ["head", "results", "run_of_two", "served", "tiny_weights"]

ARGUMENTS = (
    *("--no-sandbox", "--disable-dev-shm-usage", "--disable-background-networking"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)
WAIT = 60_000  # milliseconds, for a machine that does other things too


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.fail("The page is tested in Chromium, which is not there: apt-get install chromium, or set CHROMIUM.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture
def opened(browser: Browser, served: Served) -> Iterator[Callable[..., Page]]:
    """Opens the page; afterwards, nothing may have gone wrong in it, nor anything been asked of another server."""
    faults: list[str] = []
    pages: list[Page] = []

    def asked(url: str) -> None:
        if not url.startswith((f"http://127.0.0.1:{served.port}/", "data:", "blob:")):
            faults.append(f"asked {url}")

    def noted(error: str) -> None:
        # the browser tells of this answer, too, which the page has a sentence for
        if "409 (Conflict)" not in error:
            faults.append(error)

    def open_page(width: int = 1280, height: int = 720, case: str = "") -> Page:
        page = browser.new_context(viewport={"width": width, "height": height}).new_page()
        page.set_default_timeout(WAIT)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda message: noted(message.text) if message.type == "error" else None)
        page.on("request", lambda request: asked(request.url))
        page.goto(served.address)
        page.wait_for_selector("#place:not(:empty)")
        if case:
            page.click(f'tr[data-id="{served.id_of(case)}"]')
            page.wait_for_selector(f'tr[data-id="{served.id_of(case)}"][aria-current="true"]')
        idle(page)
        pages.append(page)
        return page

    yield open_page
    for page in pages:
        page.context.close()
    assert faults == []


def idle(page: Page) -> None:
    """Wait until the page computes no more."""
    page.wait_for_selector("body:not([data-busy='1'])")


def answered(page: Page, version: int) -> None:
    """Wait until a version is saved."""
    page.wait_for_selector(f'#saved:text-is("Saved, version {version}")')
    idle(page)
