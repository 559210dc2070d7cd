from __future__ import annotations

import time
from typing import Any, cast

import pytest

from benchmarks.finder import Disk, Everybody
from benchmarks.made_sites import MadeSites
from leads_pandas.finding.finder import Finder

SITES = MadeSites()
CLEAR = [name for name in SITES.truth if not name.startswith("unclear")]


@pytest.mark.parametrize("name", CLEAR)
def test_a_site_gives_its_own_addresses_the_best_first_and_nobody_else_s(name: str) -> None:
    truth = SITES.truth[name]
    disk = Disk(cast("Any", SITES.only(name)))
    finder = Finder(cast("Any", disk), cast("Any", Everybody()), pause=0.0)
    said = finder.explain(SITES.start(name), time.monotonic() + 60)
    given = [one.address for one in said if one.refused is None]
    assert given[:1] == truth["best"]
    assert set(truth["want"]) <= set(given)
    assert "*" in truth["ok"] or set(given) <= {*truth["want"], *truth["ok"]}
