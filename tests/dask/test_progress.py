"""One bar from the caller over what Dask does, what is bought and what is read."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import dask
import dask.dataframe as dd
import pytest

from leads_pandas.dask.passes import computed
from tests.support.engines import leads

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from distributed import Client

    import leads_pandas as lp
    from tests.support.harness import Vendor

    Make = Callable[..., lp.LeadsClient]


@pytest.mark.parametrize("place", ["here", "workers"])
def test_one_bar_goes_over_the_passes_and_the_purchase_and_one_line_stays(  # noqa: PLR0917 - fixtures
    vendor: Vendor,
    client: Make,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    place: str,
) -> None:
    request.getfixturevalue(place)
    ddf = dd.from_pandas(leads(), npartitions=3)
    ddf.leads.enrich(tmp_path / "out", progress=True, client=client())
    bar, line, _ = capsys.readouterr().err.split("\n")
    stages = re.findall(r"([a-z ]+): +(\d+)%", bar.replace("\r", "\n"))
    names = list(dict.fromkeys(name for name, _ in stages))
    assert (names[0], names[-1]) == ("collecting", "joining and writing")
    assert "done" in names  # of the purchase, whose other phases may be too short to be seen
    assert {("collecting", "100"), ("joining and writing", "100")} <= set(stages)
    assert re.fullmatch(r"8 leads enriched, 6 emails found, .* 8 credits, .* → .*/out", line)


def test_where_nobody_watches_the_passes_are_log_lines_and_a_callable_hears_of_the_run(
    client: Make, here: None, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    ddf = dd.from_pandas(leads(), npartitions=3)
    with caplog.at_level(logging.INFO, logger="leads_pandas"):
        ddf.leads.enrich(client=client())
    assert caplog.messages[0].startswith("collecting: ")
    assert "collecting: 100%" in [one.strip() for one in caplog.messages]
    assert caplog.messages[-1].startswith("8 leads enriched")
    assert sum("leads enriched" in one for one in caplog.messages) == 1
    seen: list[lp.RunStatus] = []
    ddf.leads.enrich(tmp_path / "out", refresh=True, progress=seen.append, client=client())
    assert seen[-1].phase == "done"


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_a_pass_tells_of_every_task_and_gives_what_was_wanted(scheduler: str) -> None:
    parts = [dask.delayed(pow)(2, one) for one in range(6)]
    told: list[tuple[int, int]] = []
    with dask.config.set(scheduler=scheduler):
        wanted = computed(parts, dask.delayed(sum)(parts), lambda *seen: told.append(seen))
    assert wanted == 63
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert told[-1] == (len(told), len(told))


def test_a_pass_over_a_cluster_tells_of_every_partition_and_ends_where_one_fails(
    workers: Client,
) -> None:
    def odd(one: int) -> int:
        if one == 3:
            raise LookupError("three")
        return one

    told: list[Any] = []
    parts = [dask.delayed(odd)(one) for one in range(3)]
    assert computed(parts, dask.delayed(sum)(parts), lambda *seen: told.append(seen)) == 3
    assert told == [(1, 3), (2, 3), (3, 3)]
    parts = [dask.delayed(odd)(one) for one in range(5)]
    with pytest.raises(LookupError, match="three"):
        computed(parts, dask.delayed(sum)(parts), lambda *_: None)
