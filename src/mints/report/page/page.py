"""One HTML file from views: data as JSON, scripts and styles inlined, libraries from the packages that bring them."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, NamedTuple

from mints.report.page.blocks import View, Widget, plain

SCRIPTS = (
    "theme.js",
    "charts.js",
    "tables.js",
    "print.js",
    "widgets.js",
    "logo.js",
    "attended.js",
    "head.js",
    "sequences.js",
    "circuit_graph.js",
    "circuit_details.js",
    "circuit.js",
    "latents.js",
    "methods.js",
    "page.js",
)
"""Scripts of the page itself, in the order in which they build on each other."""


class Libraries(NamedTuple):
    """Scripts and styles of other packages."""

    plotly: str
    tables: str
    tables_style: str


def libraries() -> Libraries:
    """Plotly's and DataTables' scripts from the installed packages `plotly` and `itables`."""
    plotly = files("plotly") / "package_data" / "plotly.min.js"
    script, style = (files("itables") / "html" / name for name in ("dt_bundle.js", "dt_bundle.css"))
    return Libraries(*(path.read_text(encoding="utf-8") for path in (plotly, script, style)))


def render(title: str, facts: dict[str, Any], views: Sequence[View], library: Libraries | None = None) -> str:
    """The page.

    facts: of the run, shown on the front and at the head of every view. library: default the installed packages'.
    """
    library = library or libraries()
    content = {"title": title, "facts": plain(facts), "views": [_heading(view) for view in views]}
    content["dashboards"] = _dashboards(views)
    assets = files("mints.report.page") / "assets"
    own = "\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS)
    style = (assets / "page.css").read_text(encoding="utf-8")
    shell = (assets / "page.html").read_text(encoding="utf-8")
    parts = {
        "TITLE": html.escape(title),
        "STYLE": library.tables_style + "\n" + style,
        "PLOTLY": _inside_script(library.plotly),
        # A module whose exports are wanted: the page imports it from these bytes.
        "TABLES": base64.b64encode(library.tables.encode()).decode("ascii"),
        "SCRIPT": _inside_script(own),
        "DATA": _inside_script(_json(content)),
        # A chapter is unpacked when it is first opened: those of a large model are tens of megabytes of JSON.
        "CHAPTERS": "\n".join(_packed(view) for view in views),
    }
    head, *pieces = shell.split("<!--@")
    return head + "".join(parts[name] + rest for name, _, rest in (piece.partition("@-->") for piece in pieces))


def _heading(view: View) -> dict[str, Any]:
    return {
        "anchor": view.anchor,
        "title": view.title,
        "question": view.question,
        "chapter": view.chapter or view.title,
        "claims": [claim._asdict() for claim in view.claims],
    }


def _dashboards(views: Sequence[View]) -> dict[str, list[int]]:
    """Latents that have a page of their own, by site: every chapter may lead there."""
    widgets = [
        block for view in views for block in view.blocks if isinstance(block, Widget) and block.kind == "latents"
    ]
    sites = [site for widget in widgets for site in widget.content["sites"]]
    return {site["site"]: [latent["latent"] for latent in site["latents"]] for site in sites}


def chapter_json(view: View) -> str:
    """What a chapter shows."""
    return _json(plain(view.blocks))


def _packed(view: View) -> str:
    """A chapter as an element of the page: JSON, gzip, base64."""
    content = base64.b64encode(gzip.compress(chapter_json(view).encode(), mtime=0)).decode("ascii")
    return f'<script type="text/plain" id="blocks-{html.escape(view.anchor)}">{content}</script>'


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _inside_script(text: str) -> str:
    """Text in which nothing ends a script element or opens a comment; it means the same in JSON and in strings."""
    return re.sub(r"<(?=/script|!--)", r"\\u003c", text, flags=re.IGNORECASE)
