"""The page of a run of reference size: what it weighs, how long it takes to make, and to open chapter by chapter.

    python benchmarks/page_size.py [--results results/embedded] [--layers 12] [--heads 12] [--questions 5] [--edges N]

Every table and array that stands by layer, by head or by question in the results of an embedded run is repeated until
it has the size that is asked for, and every figure is changed at random by a fifth: equal copies would pack too well.
The results themselves stay as they are. Opening is timed in headless Chromium (`make test` brings the driver): from
the address to the chapter on the screen, each chapter in a page of its own; making it, in processor time.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.random import Generator

from mints.studies.genomic.study import FINDINGS
from mints.studies.shared.report import is_shown, makers_of, page_of

CHANGE = 0.2
BY_QUESTION = ("head_examples", "qk_alignment", "patching", "motif_scoring")
"""Folders whose artifacts begin with the name of a question."""

BY_LAYER = ("linear_probe_metrics", "_components", "_windows")
"""Ends of the names of tables with a row per layer and no head."""

EDGES = "tables/feature_circuit_edges.csv"
CHAPTER = re.compile(r'<script type="text/plain" id="blocks-([^"]+)">([^<]*)</script>')


def main() -> None:
    """Print the sizes and the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=Path("results/embedded"))
    for name, size in (("layers", 12), ("heads", 12), ("questions", 5), ("edges", 2000)):
        parser.add_argument(f"--{name}", type=int, default=size)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        rng = np.random.default_rng(0)
        enlarge(wanted.results, results, wanted, rng)
        started = time.process_time()
        page = page_of(results, makers_of(FINDINGS))
        print(f"made in {time.process_time() - started:.1f} s: {len(page.encode()) / 1e6:.2f} MB")
        for anchor, packed in CHAPTER.findall(page):
            print(f"  {anchor}: {len(packed) / 1e6:.2f} MB")
        file = Path(folder) / "index.html"
        file.write_text(page, encoding="utf-8")
        for anchor, seconds in opened(file, [anchor for anchor, _ in CHAPTER.findall(page)]):
            print(f"  {anchor} opens in {seconds:.2f} s")


def enlarge(results: Path, enlarged: Path, wanted: argparse.Namespace, rng: Generator) -> None:
    """A copy of what the page looks at, of the size that is asked for."""
    for path in sorted(each for each in results.rglob("*") if each.is_file()):
        name = path.relative_to(results).as_posix()
        if is_shown(name) and path.stat().st_size < 20_000_000 and not name.startswith("figures/"):
            (enlarged / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, enlarged / name)
    account = json.loads((enlarged / "pipeline_run.json").read_text())
    asked = account["configuration"]["motif_questions"]
    more_questions(enlarged, asked, wanted.questions)
    (enlarged / "pipeline_run.json").write_text(json.dumps(account))
    for path in sorted(enlarged.rglob("*.csv")):
        table = pd.read_csv(path)
        by_layer = "head" in table or path.stem.endswith(BY_LAYER)
        larger = varied(repeated(table, wanted.layers, wanted.heads) if by_layer else table, rng)
        larger.to_csv(path, index=False)
    for path in sorted(enlarged.rglob("*.npz")):
        with np.load(path) as found:
            arrays = {key: array(key, found[key], wanted, found) for key in found.files}
        np.savez(path, **{key: noisy(value, rng) for key, value in arrays.items()})
    more_edges(enlarged, wanted.edges, rng)


def more_questions(enlarged: Path, asked: list[dict[str, Any]], count: int) -> None:
    """Copies of the first question under new names, in the configuration, in files and in tables."""
    first = asked[0]["name"]
    for number in range(len(asked), count):
        name = f"question_{number}"
        asked.append(asked[0] | {"name": name})
        for folder in BY_QUESTION:
            for path in sorted((enlarged / folder).glob(f"{first}_*")):
                shutil.copy(path, path.with_name(path.name.replace(first, name, 1)))
        for path in sorted((enlarged / "tables").glob("*.csv")):
            table = pd.read_csv(path)
            if "question" in table:
                own = table[table["question"] == first].assign(question=name)
                pd.concat([table, own]).to_csv(path, index=False)


def repeated(table: pd.DataFrame, layers: int, heads: int) -> pd.DataFrame:
    """Rows of a table by layer, or by layer and head, for so many of them."""
    for column, count in (("head", heads), ("layer", layers)):
        if column in table and len(table):
            known = sorted(table[column].unique())
            parts = {value: table[table[column] == value] for value in known}
            table = pd.concat(
                [parts[known[n % len(known)]].assign(**{column: n}) for n in range(count)], ignore_index=True
            )
    return table


def varied(table: pd.DataFrame, rng: Generator) -> pd.DataFrame:
    """Every fraction changed at random; whole numbers, names and thresholds stay."""
    fractions = table.select_dtypes("float").columns.difference(
        ["strength", "k", "seed", "dose", "penalty", "expansion"]
    )
    return table.assign(**{name: noisy(table[name].to_numpy(), rng) for name in fractions})


def noisy(values: np.ndarray, rng: Generator) -> np.ndarray:
    """The values, each times about 1."""
    if values.dtype.kind not in "fc" or not values.ndim:
        return values
    return (values * (1 + CHANGE * rng.normal(size=values.shape))).astype(values.dtype)


def array(key: str, values: np.ndarray, wanted: argparse.Namespace, beside: Any) -> np.ndarray:
    """An array by layer and head, or by token and head, for so many heads."""
    if key.startswith(("qk_", "ov_")) and values.ndim > 2:
        return values[np.ix_(np.arange(wanted.layers) % len(values), np.arange(wanted.heads) % values.shape[1])]
    if key == "key_scores" or key.startswith("received_"):
        return values[:, np.arange(wanted.layers * wanted.heads) % values.shape[1]]
    return values


def more_edges(enlarged: Path, count: int, rng: Generator) -> None:
    """Edges between latents of the graph's two sites, added to its table until there are so many."""
    table = pd.read_csv(enlarged / EDGES)
    between = table[table["kind"] == "feat->feat"]
    more = between.sample(max(0, count - len(table)), replace=True, random_state=0)
    latents = {end: rng.integers(0, 1000, len(more)) for end in ("source", "target")}
    pd.concat([table, varied(more.assign(**latents), rng)]).to_csv(enlarged / EDGES, index=False)


def opened(page: Path, anchors: list[str], repeats: int = 3) -> Iterator[tuple[str, float]]:
    """Median seconds that each chapter takes from its address to its figures."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for anchor in anchors:
            yield anchor, statistics.median(shown_after(browser, f"{page.as_uri()}#/{anchor}") for _ in range(repeats))
        browser.close()


def shown_after(browser: Any, address: str) -> float:
    """Seconds until a chapter is on the screen of a fresh page."""
    tab = browser.new_page()
    started = time.perf_counter()
    tab.goto(address)
    tab.wait_for_selector(f"#view-{address.rpartition('/')[2]}")
    tab.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    taken = time.perf_counter() - started
    tab.close()
    return taken


if __name__ == "__main__":
    main()
