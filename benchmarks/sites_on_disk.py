"""Labelled websites kept as files: ``truth.json`` and ``corpus/NAME/...``; standard library alone.

Of each site the truth says: ``host``, ``front``, what must be given (``want``), what may (``ok``,
``hard``), and what may come first (``best``). Everything else that is given is wrong.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

INDEXES = ("index.html", "index.htm", "Index.html", "index.php", "default.htm")
TYPES = {".txt": "text/plain", ".xml": "application/xml"}


class Served(NamedTuple):
    """What a web server would answer; `url` is where it ends up."""

    url: str
    status: int
    content_type: str
    body: bytes


class Sites:
    """The sites of a folder, by host."""

    def __init__(self, folder: Path) -> None:
        self.truth: dict[str, Any] = json.loads((folder / "truth.json").read_text("utf-8"))
        self._roots = {
            site["host"].removeprefix("www."): folder / "corpus" / name
            for name, site in self.truth.items()
        }

    def start(self, name: str) -> str:
        """Where a site begins."""
        site = self.truth[name]
        return f"http://{site['host']}{site.get('front', '/')}"

    def get(self, url: str) -> Served | None:
        """The answer of a site's server; None where there is no such host."""
        parts = urlsplit(url)
        root = self._roots.get((parts.hostname or "").removeprefix("www."))
        if root is None:
            return None
        path = unquote(parts.path) or "/"
        file = root / path.lstrip("/")
        if file.is_dir() and not path.endswith("/"):
            url = url.replace(parts.path, parts.path + "/", 1)
        tries = [file / name for name in INDEXES] if file.is_dir() else [file, Path(f"{file}.html")]
        for one in tries:
            if one.is_file() and one.resolve().is_relative_to(root.resolve()):
                return Served(url, 200, TYPES.get(one.suffix, "text/html"), one.read_bytes())
        return Served(url, 404, "text/html", b"not found")


class Score(NamedTuple):
    """How what was given compares with the truth."""

    found: int
    wanted: int
    wrong: int
    on_top: int
    ranked: int
    sites: int


def score(truth: dict[str, Any], given: dict[str, list[str]]) -> Score:
    """Compare; an address counts once per site, in any case."""
    found = wanted = wrong = top = ranked = 0
    for name, site in truth.items():
        got = list(dict.fromkeys(one.lower() for one in given.get(name, [])))
        want, best = {one.lower() for one in site["want"]}, {one.lower() for one in site["best"]}
        allowed = want | {one.lower() for one in (*site["ok"], *site["hard"])}
        found += len(want & set(got))
        wanted += len(want)
        wrong += len(set(got) - allowed)
        if best or not (want or site["hard"]):
            ranked += 1
            top += (got[:1] != [] and got[0] in best) if best else not got
    return Score(found, wanted, wrong, top, ranked, len(truth))
