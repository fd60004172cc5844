"""Pictures of the embedded run's page for the README, taken with headless Chromium.

    .venv/bin/python docs/take_pictures.py results/embedded/report/index.html

needs Debian's chromium and the packages of requirements-oracles.txt.
"""

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

PICTURES = Path(__file__).parent / "pictures"
SIZE = {"width": 1280, "height": 1040}
VIEWS = {"front": "front", "heads": "heads", "head": "head/ctcf/L0H0", "circuits": "circuits"}
"""Name of the picture, and the address of what it shows."""


def main(page_file: Path) -> None:
    """Take every picture."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("no chromium on this machine (apt-get install chromium)")
    PICTURES.mkdir(exist_ok=True)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light")
        for name, address in VIEWS.items():
            take(page, f"{page_file.resolve().as_uri()}#/{address}", PICTURES / f"{name}.png")
        browser.close()


def take(page: Page, address: str, path: Path) -> None:
    """One picture, of the screen's size."""
    page.goto(address)
    page.wait_for_selector("article.view")
    page.evaluate("drawAll()")
    page.evaluate("document.activeElement.blur()")
    page.wait_for_timeout(1500)  # tables lay themselves out after they are drawn
    Image.open(io.BytesIO(page.screenshot())).convert("RGB").save(path, optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
