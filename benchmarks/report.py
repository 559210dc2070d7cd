"""How results look: which machine, tables for people, and `results.md` to keep."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGES = ("leads_pandas", "pandas", "pyarrow", "numpy", "requests", "pyrate-limiter")


@dataclass
class Table:
    """Cells under headings (given as one string, parted by bars)."""

    heads: str
    rows: list[Sequence[str]] = field(default_factory=list)
    title: str = ""

    def add(self, *cells: object) -> None:
        """Add a row."""
        self.rows.append([str(cell) for cell in cells])

    def text(self) -> str:
        """Aligned columns, which are Markdown as well."""
        lines = [self.heads.split("|"), *map(list, self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
        out = [
            "| "
            + " | ".join(
                cell.ljust(width) if n == 0 else cell.rjust(width)
                for n, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            + " |"
            for line in (lines[0], rule, *lines[1:])
        ]
        return "\n".join([*([self.title, ""] if self.title else []), *out])


@dataclass
class Section:
    """What one part of the benchmarks found.

    Attributes:
        title: heading.
        tables: the figures.
        notes: how they came about.
        missed: targets that were not reached, each with its figure.
    """

    title: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)
    verdict: str = "There are no targets here."

    def require(self, what: str, value: float, most: float) -> str:
        """Hold a figure to its target; ``ok`` or ``MISSED`` comes back."""
        self.verdict = "All targets are met."
        if value <= most:
            return "ok"
        self.missed.append(f"{what}: {value:.6g}, target at most {most:.6g}")
        return "MISSED"

    def text(self) -> str:
        """Everything, as Markdown."""
        missed = [f"- **missed** {one}" for one in self.missed] or [self.verdict]
        parts = [f"## {self.title}", *(one.text() for one in self.tables)]
        return "\n\n".join([*parts, *self.notes, "\n".join(missed)])


def machine(moment: datetime | None = None) -> str:
    """The machine, the versions and the date, in one line."""
    moment = moment or datetime.now(UTC)
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"model name\s*:\s*(.+)", info.read_text())
        cpu = found.group(1).strip() if found else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    packages = [f"{name} {_version(name)}" for name in PACKAGES]
    return (
        f"{moment:%Y-%m-%d %H:%M} UTC; {cores} cores of {cpu}, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release().split('-')[0]}; "
        f"Python {platform.python_version()}, {', '.join(packages)}."
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def keep(path: Path, sections: Sequence[Section], made: str) -> None:
    """Put sections into the file of results, in the place of earlier ones of the same title."""
    text = path.read_text("utf-8") if path.exists() else ""
    kept = {part.split("\n", 1)[0]: part for part in re.split(r"(?m)^## ", text)[1:]}
    for section in sections:
        body = section.text().removeprefix("## ")
        title, rest = body.split("\n", 1)
        kept[title] = f"{title}\n\n{made}\n{rest}\n"
    head = (
        "# Results\n\nWritten by `python -m benchmarks all --write`. Each section says when and "
        "where it was measured;\nthe figures of every ratio are of the same run.\n"
    )
    path.write_text(
        head + "".join(f"\n## {part.rstrip()}\n" for part in kept.values()), encoding="utf-8"
    )
