"""The made websites of ``made_sites.txt``, served from memory with their labels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.sites_on_disk import Served

FILE = Path(__file__).parent / "made_sites.txt"
PARTS = {
    "menu": "".join(
        f"<a href=/{name}>{name.title()}</a>" for name in ("kontakt", "impressum", "datenschutz")
    ),
    "words": "word " * 500,
}


class MadeSites:
    """Made sites by name; the same doors as `benchmarks.sites_on_disk.Sites`."""

    def __init__(self) -> None:
        self.truth: dict[str, Any] = {}
        self._pages: dict[str, dict[str, str]] = {}
        for block in re.split(r"^= ", FILE.read_text("utf-8"), flags=re.MULTILINE)[1:]:
            name, *lines = block.strip().splitlines()
            site: dict[str, Any] = {"want": [], "ok": [], "hard": []}
            pages = self._pages[name] = {}
            for line in lines:
                key, _, value = line.partition(" ")
                if key.startswith("/"):
                    pages[key] = re.sub(r"<<(.+?)>>", _written_out, value)
                else:
                    site[key] = value if key == "host" else value.split()
            self.truth[name] = site

    def only(self, name: str) -> MadeSites:
        """One of the sites: several share a host."""
        one = object.__new__(MadeSites)
        one.truth, one._pages = {name: self.truth[name]}, {name: self._pages[name]}
        return one

    def start(self, name: str) -> str:
        """Where a site begins."""
        return f"http://{self.truth[name]['host']}/"

    def get(self, url: str) -> Served | None:
        """The answer of the only site's server; None where there is no such host."""
        ((name, pages),) = self._pages.items()
        parts = urlsplit(url)
        if (parts.hostname or "").removeprefix("www.") != self.truth[name]["host"]:
            return None
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if path not in pages:
            return Served(url, 404, "text/html", b"not found")
        kind = "application/xml" if path.endswith(".xml") else "text/html"
        return Served(url, 200, kind, pages[path].encode())


def _written_out(found: re.Match[str]) -> str:
    said = found[1]
    if said.startswith("links "):
        return "".join(f"<li><a href='/p/{n}'>Item {n}</a></li>" for n in range(int(said[6:])))
    return PARTS.get(said, f"<a href='mailto:{said}'>{said}</a>")
