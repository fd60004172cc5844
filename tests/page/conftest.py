"""A browser for the page, where there is one; and results that it can be made of."""

import json
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from optional import CHROMIUM, WITHOUT_CHROMIUM, oracle

from mints.config import Config
from mints.report.page.build import build_page
from mints.report.page.saved import Saved

HOSTILE = 'evil"><script>window.hacked=1</script>'


@pytest.fixture(scope="session")
def browser():
    playwright = oracle("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip(WITHOUT_CHROMIUM)
    with playwright.sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


ARRIVE = """async (address) => {
    if (new URL(address, location).hash === location.hash) return show();
    const arrived = new Promise((tell) => addEventListener("hashchange", tell, { once: true }));
    location.hash = address;
    await arrived;
}"""
"""Goes to a chapter as a link does, and ends when the page has followed."""


def until(page, expression, seconds=15):
    """Wait for an expression to hold. It is asked from outside: the page lets nothing be evaluated within."""
    last = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < last, expression
        page.wait_for_timeout(20)


class Visit:
    """A page that is open, with everything that went wrong in it."""

    def __init__(self, page, address):
        self.page, self.address, self.wrong = page, address, []
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("console", lambda said: self.wrong.append(said.text) if said.type == "error" else None)
        page.on("request", self._local)

    def _local(self, request):
        if not request.url.startswith(("file:", "data:", "blob:")):
            self.wrong.append(request.url)

    def go(self, chapter="front"):
        """Open a chapter and wait until all of it is drawn."""
        if self.page.url.startswith(self.address):
            self.page.evaluate(ARRIVE, f"#/{chapter}")
        else:
            self.page.goto(f"{self.address}#/{chapter}")
        self.page.wait_for_selector(f"#view-{chapter.split('/')[0]}")
        self.page.evaluate("drawAll()")
        return self.page


@pytest.fixture
def visit(browser):
    """Open a file: `with visit(path) as seen:`; an error or a request to a network fails the test."""

    @contextmanager
    def opened(path, width=1280, height=900, **options):
        page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True, **options)
        seen = Visit(page, Path(path).resolve().as_uri())
        yield seen
        page.close()
        assert seen.wrong == []

    return opened


@pytest.fixture(scope="module")
def revisit(browser):
    """As `visit`, but a file is opened once for all tests of a module, which each begin at the front."""
    visits = {}

    @contextmanager
    def opened(path, width=1280, height=900):
        if (path, width, height) not in visits:
            page = browser.new_page(viewport={"width": width, "height": height}, accept_downloads=True)
            visits[path, width, height] = Visit(page, Path(path).resolve().as_uri())
        seen = visits[path, width, height]
        seen.wrong.clear()
        seen.go("front")
        yield seen
        assert seen.wrong == []

    yield opened
    for seen in visits.values():
        seen.page.close()


@pytest.fixture(scope="session")
def make_page(tmp_path_factory):
    """Page of a results folder with these artifacts: name → table, arrays or plain value."""

    def make(artifacts, configuration=None, makers=None, facts=None):
        results = tmp_path_factory.mktemp("results")
        account = {
            "profile": "embedded",
            "command": "main.py --profile embedded --overwrite",
            "configuration": Config(profile="embedded").model_dump(mode="json") | (configuration or {}),
            "host": {"cores": 2},
            "facts": {"linear_probes": {"device": "cpu", "precision": "fp32"}} | (facts or {}),
            "warnings": [f"probes: {HOSTILE}"],
        }
        (results / "pipeline_run.json").write_text(json.dumps(account))
        for name, value in artifacts.items():
            path = results / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(value, pd.DataFrame):
                value.to_csv(path, index=False)
            elif path.suffix == ".npz":
                np.savez(path, **value)
            else:
                path.write_text(json.dumps(value))
        page = results / "report" / "index.html"
        page.parent.mkdir()
        page.write_text(build_page(Saved(results, makers or {})), encoding="utf-8")
        return page

    return make
