"""Fits the weights of the finder's confidence, and says how honest they are.

``python -m benchmarks.confidence [FOLDER]`` reads what was seen of every address from
``confidence.csv`` (with FOLDER, labelled sites as in `benchmarks.finder`, and the made ones: writes
that file anew; it has levels of evidence and no addresses), fits, writes the finder's
``weights.json`` and the picture in the docs, and prints the figures.

The model is logistic. Each kind of evidence has levels in a fixed order; the weight of a level is
that of the level below and a step that is never negative, hence monotone. Steps are drawn towards
those set by hand (`HAND`), as a sample this small needs, and are at least half of them: the order
of a site's addresses hangs on steps that say little of whose an address is. What was left out as
somebody else's is in the sample too, with a weight of its own that is not kept.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np

from benchmarks.finder import Disk, Everybody
from benchmarks.made_sites import MadeSites
from benchmarks.report import Table
from benchmarks.sites_on_disk import Sites
from leads_pandas.finding.finder import Finder
from leads_pandas.finding.ranking import SUREST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parent.parent
ROWS = Path(__file__).parent / "confidence.csv"
KEPT = ROOT / "leads_pandas" / "finding" / "weights.json"
PICTURE = ROOT / "docs" / "img" / "confidence.png"
HAND: dict[str, dict[str, float]] = {
    "base": {"": -0.9},
    "domain": {
        "another domain": 0.0,
        "free mailbox, inside the site alone": 0.4,
        "the site has no domain to compare": 1.0,
        "free mailbox": 1.6,
        "free mailbox of the same name": 2.1,
        "domain of the same name": 2.1,
        "own domain": 2.4,
    },
    "published": {"meta": 0.0, "data": 0.5, "text": 0.6, "link": 0.8},
    "place": {
        "other_page": 0.0,
        "privacy_page": 0.1,
        "about_page": 0.4,
        "front_page": 0.7,
        "imprint": 0.7,
        "contact_page": 0.9,
    },
    "pages": {"one": 0.0, "several": 0.4},
    "mailbox": {"nobody reads it": -2.2, "special": -0.9, "named": 0.2, "general": 0.8},
    "takes mail": {"unknown": 0.0, "yes": 0.4},
}
KINDS = tuple(kind for kind in HAND if kind != "base")
# How far a step may be drawn from the one set by hand, and what a made site counts.
SPREAD, MADE_COUNTS = 0.8, 0.5
FOLDS, ROUNDS, RATE = 10, 4000, 0.01
BINS = (0.0, 0.6, 0.8, 0.9, 0.95, SUREST - 1e-9, 1.0)
AGAINST = -2.0


class Row(NamedTuple):
    """What was seen of one address: levels in the order of `KINDS`."""

    site: str
    made: bool
    levels: tuple[str, ...]
    given: bool
    right: bool


def look(folder: Path) -> Iterator[Row]:
    """Read the labelled sites, numbered, and the made ones."""
    real, made = Sites(folder), MadeSites()
    for number, name in enumerate(real.truth):
        yield from _rows(str(number), real, name, is_made=False)
    for name in made.truth:
        yield from _rows(name, made.only(name), name, is_made=True)


def _rows(site: str, sites: Sites | MadeSites, name: str, *, is_made: bool) -> Iterator[Row]:
    truth = sites.truth[name]
    right = {one.lower() for one in (*truth["want"], *truth["hard"])}
    neither = {one.lower() for one in truth["ok"]} - right
    finder = Finder(cast("Any", Disk(sites)), cast("Any", Everybody()), pause=0.0)
    for one in finder.explain(sites.start(name), time.monotonic() + 60):
        judged_otherwise = one.refused is not None and one.refused.startswith(("a p", "a slip"))
        if (
            judged_otherwise
            or one.address in neither
            or ("*" in neither and one.address not in right)
        ):
            continue  # placeholders, platforms and slips say nothing of the evidence
        levels = dict(evidence.split(": ", 1) for evidence, _ in one.evidence[1:])
        yield Row(
            site,
            is_made,
            tuple(levels[kind] for kind in KINDS),
            one.refused is None,
            one.address in right,
        )


def keep(rows: Sequence[Row]) -> None:
    """Write the rows down."""
    with ROWS.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("site", "made", *KINDS, "given", "right"))
        writer.writerows(
            (one.site, int(one.made), *one.levels, int(one.given), int(one.right)) for one in rows
        )


def kept() -> list[Row]:
    """The rows written down before."""
    with ROWS.open(newline="", encoding="utf-8") as file:
        return [
            Row(
                one["site"],
                one["made"] == "1",
                tuple(one[kind] for kind in KINDS),
                one["given"] == "1",
                one["right"] == "1",
            )
            for one in csv.DictReader(file)
        ]


def steps(weights: dict[str, dict[str, float]]) -> Any:
    """Base, a lowest level and steps for each kind, and what speaks against: the parameters."""
    values = [weights["base"][""]]
    for kind in KINDS:
        levels = list(weights[kind].values())
        values += [levels[0], *np.diff(levels)]
    return np.array([*values, AGAINST])


def design(rows: Sequence[Row]) -> Any:
    """The matrix that makes log-odds of parameters."""
    lines = []
    for row in rows:
        line = [1.0]
        for kind, level in zip(KINDS, row.levels, strict=True):
            names = list(HAND[kind])
            line += [1.0 if place <= names.index(level) else 0.0 for place in range(len(names))]
        lines.append([*line, 0.0 if row.given else 1.0])
    return np.array(lines)


def fit(rows: Sequence[Row]) -> Any:
    """The parameters that fit best: gradient descent, steps cut off at nothing."""
    matrix, right = design(rows), np.array([row.right for row in rows], float)
    counts = np.array([MADE_COUNTS if row.made else 1.0 for row in rows])
    start = steps(HAND)
    free = np.ones(len(start))
    place = 1
    for kind in KINDS:
        free[place] = 0.0  # the lowest level is where the kind begins; the base moves instead
        if kind == "takes mail":
            free[place : place + len(HAND[kind])] = 0.0  # the sites are read without a DNS
        place += len(HAND[kind])
    lowest = start / 2
    lowest[free == 0.0] = -np.inf
    lowest[[0, -1]] = -np.inf
    found = start.copy()
    for _ in range(ROUNDS):
        chance = 1 / (1 + np.exp(-(matrix @ found)))
        slope = matrix.T @ (counts * (chance - right)) + (found - start) / SPREAD**2
        found = np.maximum(found - RATE * free * slope, lowest)
    return found


def weights_of(parameters: Any) -> dict[str, dict[str, float]]:
    """Parameters as the finder's table."""
    weights = {"base": {"": round(float(parameters[0]), 2)}}
    place = 1
    for kind in KINDS:
        names = list(HAND[kind])
        sums = np.cumsum(parameters[place : place + len(names)])
        weights[kind] = {
            name: round(float(value), 2) for name, value in zip(names, sums, strict=True)
        }
        place += len(names)
    return weights


def chances(rows: Sequence[Row], parameters: Any) -> Any:
    """What the model says of the rows."""
    return 1 / (1 + np.exp(-(design(rows) @ parameters)))


def out_of_fold(rows: Sequence[Row]) -> Any:
    """What is said of each row by a model that has not seen its site, as the finder says it."""
    sites = sorted({row.site for row in rows})
    fold = {site: place % FOLDS for place, site in enumerate(sites)}
    said = np.zeros(len(rows))
    for one in range(FOLDS):
        inside = [place for place, row in enumerate(rows) if fold[row.site] == one]
        rest = [row for row in rows if fold[row.site] != one]
        said[inside] = chances([rows[place] for place in inside], fit(rest))
    return np.minimum(said, SUREST)


def wilson(right: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Between which shares the true one lies, in 95 of 100 samples."""
    share, spread = right / of, z * z / of
    middle = (share + spread / 2) / (1 + spread)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + spread)
    return middle - half, middle + half


def reliability(said: Any, right: Any) -> list[tuple[float, int, int]]:
    """By confidence: its mean, how many there are, how many of them are right."""
    place = np.clip(np.searchsorted(BINS, said, side="right") - 1, 0, len(BINS) - 2)
    return [
        (
            float(said[place == one].mean()),
            int((place == one).sum()),
            int(right[place == one].sum()),
        )
        for one in range(len(BINS) - 1)
        if (place == one).any()
    ]


def draw(groups: dict[str, list[tuple[float, int, int]]]) -> None:
    """The reliability plot."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.0, 4.6), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="#999999", linewidth=1, label="as sure as right")
    for (name, bins), colour, shift in zip(
        groups.items(), ("#1f6f5c", "#d98c3f"), (-0.004, 0.004), strict=True
    ):
        for place, (mean, of, right) in enumerate(bins):
            low, high = wilson(right, of)
            axes.plot([mean + shift] * 2, [low, high], color=colour, linewidth=1.6, alpha=0.7)
            axes.plot(
                mean + shift,
                right / of,
                "o",
                color=colour,
                markersize=4 + math.sqrt(of),
                label=None if place else name,
            )
    axes.set(
        title="Confidence of given addresses, each said by a model that has not seen the site",
        xlabel="confidence",
        ylabel="share that is the business's",
        xlim=(0.3, 1.02),
        ylim=(0.0, 1.04),
    )
    axes.title.set_fontsize(10)
    axes.grid(alpha=0.25)
    axes.legend(loc="upper left", frameon=False, labelspacing=0.9)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE)


def main(arguments: list[str] | None = None) -> int:
    """Fit, keep, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.confidence", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", help="truth.json and corpus/")
    options = parser.parse_args(arguments)
    if options.folder is not None:
        keep(list(look(options.folder)))
    rows = kept()
    parameters = fit(rows)
    KEPT.write_text(
        json.dumps(weights_of(parameters), indent=1, ensure_ascii=False) + "\n", "utf-8"
    )
    said = out_of_fold(rows)
    by_hand, right = chances(rows, steps(HAND)), np.array([row.right for row in rows], float)
    given = np.array([row.given for row in rows])
    made = np.array([row.made for row in rows])
    groups, table = {}, Table("sites|confidence|addresses|right|between (Wilson, 95 %)")
    for name, which in (("labelled sites", given & ~made), ("made sites", given & made)):
        groups[name] = reliability(said[which], right[which])
        for mean, of, good in groups[name]:
            low, high = wilson(good, of)
            table.add(name, f"{mean:.2f}", of, f"{good / of:.2f}", f"{low:.2f} - {high:.2f}")
    scores = Table("given addresses of both|log loss|Brier score")
    share = np.full(len(rows), right[given].mean())
    for name, told in (
        ("fitted, site not seen", said),
        ("set by hand", by_hand),
        ("always the mean", share),
    ):
        sure = np.clip(told[given], 1e-6, 1 - 1e-6)
        loss = -(right[given] * np.log(sure) + (1 - right[given]) * np.log(1 - sure)).mean()
        scores.add(name, f"{loss:.3f}", f"{((sure - right[given]) ** 2).mean():.3f}")
    print(
        table.text(),
        scores.text(),
        f"{len(rows)} addresses of {len({row.site for row in rows})} sites",
        sep="\n\n",
    )
    draw(groups)
    return 0


if __name__ == "__main__":
    sys.exit(main())
