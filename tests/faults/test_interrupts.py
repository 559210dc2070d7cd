"""Ctrl-C and SIGTERM at every phase: fast, one line, a right journal, and the signal goes on."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import leads_pandas as lp
from leads_pandas.money.purchase import Purchase
from tests.support.harness import (
    assert_never_twice,
    frame,
    lead_ids,
    make_client,
    rows,
    until_done,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.harness import Script, Vendor

    Scripts = Callable[..., Script]

pytestmark = pytest.mark.faults

N = 40

# What the vendor does at the moment of the signal, and whether a run is under way by then. Each
# holds its answer back for longer than any test waits, so that only the signal can end the call.
PHASES: dict[str, tuple[dict[str, Any], bool]] = {
    "pricing": ({"on": "preview"}, False),
    "start on its way": ({"on": "start"}, True),
    "start answered by silence": ({"on": "start", "when": "after"}, True),
    "polling": ({"on": "status", "nth": 1}, True),
    "reading": ({"on": "lead", "nth": 3, "times": -1}, True),
}

LINE = "out = leads_pandas.enrich(df, client=client, progress=False)\nprint('done')\n"

# What is asked hangs, and the call's own time is long: without the signal no test here would end.
FOREVER = 3600.0


def _interrupt(vendor: Vendor, one: Script, number: int) -> tuple[int, str, str]:
    vendor.wait(lambda counts: any(counts["fired"]))
    os.kill(one.pid, number)
    return one.end()


def _lines(text: str) -> list[str]:
    """The lines that say how to go on; those of a traceback are the interpreter's."""
    return [one for one in text.splitlines() if "leads_pandas.resume(" in one]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("phase", PHASES)
def test_a_signal_ends_the_call_at_once_and_the_same_line_goes_on(
    phase: str, number: int, vendor: Vendor, script: Scripts
) -> None:
    rule, started = PHASES[phase]
    vendor.reset(N, job_seconds=0.3)
    vendor.rules({"do": "hang", "seconds": FOREVER} | rule)
    # A start that nobody has seen could be taken as long as its own time lasts: that is waited for.
    patience = 10.0 if phase == "start on its way" else FOREVER
    one = script(lead_ids(N), LINE, TEST_TIMEOUT=str(patience))
    code, out, err = _interrupt(vendor, one, number)
    assert code == -number
    assert "done" not in out
    assert len(_lines(out + err)) == (1 if started else 0), out + err
    if number == signal.SIGTERM:
        assert "Traceback" not in err
    vendor.rules()
    client = make_client(vendor)
    result = until_done(lambda: lp.enrich(frame(lead_ids(N)), progress=False, client=client))
    assert rows(result) == whole(lead_ids(N))
    counts = vendor.counts
    assert set(counts["charges"].values()) == {1}
    assert counts["starts"] == (2 if phase == "start on its way" else 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_between_two_polls_ends_the_wait_at_once(
    number: int, vendor: Vendor, script: Scripts
) -> None:
    vendor.reset(N, job_seconds=None)
    one = script(lead_ids(N), LINE)
    vendor.wait(lambda counts: counts["requests"].get("status", 0) >= 2)
    os.kill(one.pid, number)
    code, out, err = one.end()
    assert code == -number
    assert len(_lines(out + err)) == 1, out + err


WRITING = """
import os
import pyarrow.parquet as pq
write = pq.write_table
def struck(table, where, **options):
    write(table, where, **options)
    if isinstance(where, str):
        os.kill(os.getpid(), {number})
pq.write_table = struck
leads_pandas.enrich(df, {path!r}, client=client, progress=False)
print('done')
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_file_is_written_leaves_the_old_one_and_every_result(
    number: int, vendor: Vendor, script: Scripts, tmp_path: Path
) -> None:
    vendor.reset(N)
    path = tmp_path / "files" / "out.parquet"
    path.parent.mkdir()
    path.write_bytes(b"an earlier file")
    one = script(lead_ids(N), WRITING.format(number=int(number), path=str(path)))
    code, out, err = one.end()
    assert (code, "done" in out) == (-number, False), err
    assert len(_lines(out + err)) == 1, out + err
    assert list(path.parent.iterdir()) == [path]
    assert path.read_bytes() == b"an earlier file"
    total = vendor.counts["total"]
    result = lp.enrich(frame(lead_ids(N)), path, progress=False, client=make_client(vendor))
    assert rows(result) == whole(lead_ids(N))
    assert vendor.counts["total"] == total


def test_the_first_process_of_a_container_ends_by_sigterm_too(
    vendor: Vendor, script: Scripts
) -> None:
    vendor.reset(N, job_seconds=None)
    # To the first process of a container, the kernel does not deliver what it has no handler for.
    one = script(lead_ids(N), "import signal\nsignal.raise_signal = lambda number: None\n" + LINE)
    vendor.wait(lambda counts: counts["requests"].get("status", 0) >= 2)
    os.kill(one.pid, signal.SIGTERM)
    code, out, err = one.end()
    assert code == 128 + signal.SIGTERM
    assert "done" not in out
    assert "Traceback" not in err
    assert len(_lines(out + err)) == 1, out + err


CELLS = """
import signal
handler = signal.getsignal(signal.SIGTERM)
try:
    leads_pandas.enrich(df, client=client, progress=False)
except KeyboardInterrupt:
    print("interrupted", flush=True)
assert signal.getsignal(signal.SIGTERM) is handler
sys.stdin.readline()
out = leads_pandas.enrich(df, client=client, progress=False)
print(out["enrichment_status"].isin(["found", "not_found"]).all(), flush=True)
"""


def test_an_interrupted_cell_leaves_a_kernel_that_runs_the_cell_again(
    vendor: Vendor, script: Scripts
) -> None:
    vendor.reset(N, job_seconds=None)
    one = script(lead_ids(N), CELLS)
    vendor.wait(lambda counts: counts["requests"].get("status", 0) >= 2)
    os.kill(one.pid, signal.SIGINT)
    said = [one.line()]
    while said[-1] not in ("interrupted", ""):
        said.append(one.line())
    assert said[-1] == "interrupted"
    vendor.act(advance=1)
    assert one.process.stdin is not None
    one.process.stdin.write("\n")
    one.process.stdin.flush()
    code, out, err = one.end()
    assert (code, out.split()[-1:]) == (0, ["True"]), err
    assert assert_never_twice(vendor)["starts"] == 1


OWN_HANDLER = """
import signal
def handler(number, frame):
    print("mine", flush=True)
    raise SystemExit(7)
signal.signal(signal.SIGTERM, handler)
leads_pandas.enrich(df, client=client, progress=False)
"""


def test_a_handler_of_the_users_own_still_runs(vendor: Vendor, script: Scripts) -> None:
    vendor.reset(N, job_seconds=None)
    one = script(lead_ids(N), OWN_HANDLER)
    vendor.wait(lambda counts: counts["requests"].get("status", 0) >= 2)
    os.kill(one.pid, signal.SIGTERM)
    code, out, err = one.end()
    assert code == 7, err
    assert "mine" in out


def test_no_handler_is_left_behind(vendor: Vendor) -> None:
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
    lp.enrich(frame(lead_ids(5)), progress=False, client=make_client(vendor))
    assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_thread_that_is_not_the_main_one_can_enrich(vendor: Vendor) -> None:
    got: list[Any] = []

    def work() -> None:
        out = lp.enrich(frame(lead_ids(5)), progress=False, client=make_client(vendor))
        got.append(rows(out))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert got == [whole(lead_ids(5))]


def test_no_thread_is_left_behind(vendor: Vendor) -> None:
    before = set(threading.enumerate())
    lp.enrich(frame(lead_ids(30)), progress=False, client=make_client(vendor))
    left = set(threading.enumerate()) - before
    for one in left:
        one.join()
    assert [one for one in left if one.is_alive()] == []


def test_ctrl_c_in_a_progress_callback_goes_through_with_nothing_lost(vendor: Vendor) -> None:
    vendor.reset(N, job_seconds=0.3)

    def impatient(status: lp.RunStatus) -> None:
        if status.read >= 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lp.enrich(frame(lead_ids(N)), progress=impatient, client=make_client(vendor))
    read = lp.results(frame(lead_ids(N)), client=make_client(vendor))
    assert (read["enrichment_status"] != "not_enriched").sum() >= 5
    out = lp.enrich(frame(lead_ids(N)), progress=False, client=make_client(vendor))
    assert rows(out) == whole(lead_ids(N))
    counts = vendor.counts
    assert counts["starts"] == 1
    # The interrupted call loses the answers that were on their way, one per connection at most.
    assert sum(counts["reads"].values()) <= N * 1.1 + 32


def test_ctrl_c_right_after_the_answer_does_not_say_that_nothing_was_started(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = Purchase._answered

    def interrupted(*arguments: Any) -> None:
        answered(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(Purchase, "_answered", interrupted)
    with pytest.raises(KeyboardInterrupt) as caught:
        lp.enrich(frame(lead_ids(N)), progress=False, client=make_client(vendor))
    assert vars(caught.value)["farewell"].meaning == "job enrich_1 goes on and nothing is lost"
