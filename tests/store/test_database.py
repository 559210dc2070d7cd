"""The journal and the results: private, durable, shared by processes, and never trusted blindly."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from leads_pandas.errors import LeadsError, StoreError
from leads_pandas.models import Email, LeadResult
from leads_pandas.store import Store
from leads_pandas.store import database as stores
from leads_pandas.store.database import Database
from leads_pandas.store.journal import CLOSED, OPEN, OpState

if TYPE_CHECKING:
    from collections.abc import Iterator

FOUND = LeadResult("found", (Email("a@b.example", 0.5, "website"), Email("c@d", None, None)), 17)
FIXTURES = Path(__file__).parent / "stores"


@pytest.fixture(autouse=True)
def _closed_in_the_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close every store that a test opens: from Python 3.13 on, an open one is a warning."""
    made: list[Database] = []
    prepare = Database._open

    def remembered(store: Database) -> sqlite3.Connection:
        db = prepare(store)
        made.append(store)
        return db

    monkeypatch.setattr(Database, "_open", remembered)
    yield
    for one in made:
        one.close()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path, "leads.example", "account")


def plan(store: Store, op_id: str, ids: list[str], run_id: str = "run") -> bool:
    if not store.journal.runs(run_id):
        store.journal.add_run(run_id, ids, partial=False, preview=None)
    return store.journal.claim(run_id, op_id, ids, to_enrich=len(ids), estimate=len(ids))


def test_a_lead_has_one_claim(store: Store) -> None:
    assert plan(store, "one", ["a", "b"])
    assert not plan(store, "two", ["b", "c"])
    assert store.journal.claims_on(["a", "b", "c"]) == {"one": ["a", "b"]}
    assert store.journal.op("two") is None


@pytest.mark.parametrize("state", CLOSED)
def test_closing_an_op_releases_its_claims(store: Store, state: OpState) -> None:
    plan(store, "one", ["a", "b"])
    assert store.journal.move("one", ("planned",), state)
    assert store.journal.claims_on(["a", "b"]) == {}
    assert plan(store, "two", ["a", "b"])


def test_a_lead_that_has_been_read_is_not_claimed(store: Store) -> None:
    store.results.save([("a", FOUND), ("u", LeadResult("unknown_lead"))])
    assert not plan(store, "one", ["a", "b"])
    assert plan(store, "two", ["b", "u"])


def test_an_op_keeps_what_it_is_told(store: Store) -> None:
    plan(store, "one", ["a", "b"])
    seen, seen_jobs = {"transaction": "t1"}, {"may be": {"j2": 3}}
    store.journal.note("one", jobs_before=["j1"], candidates=seen_jobs, evidence=seen)
    assert store.journal.move("one", ("planned",), "sending", sent_at=9, timeout=130.0)
    op = store.journal.op("one")
    assert op is not None
    assert (op.state, op.jobs_before, op.candidates) == ("sending", ["j1"], seen_jobs)
    assert (op.sent_at, op.timeout, op.evidence) == (9, 130.0, seen)
    assert (op.lead_count, op.stake, store.journal.lead_ids("one")) == (2, 2, ["a", "b"])


STATES = (*OPEN, *CLOSED)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("came_from", STATES)
def test_a_state_is_left_only_from_where_it_is_said_to_be(
    store: Store, state: OpState, came_from: OpState
) -> None:
    plan(store, "one", ["a", "b"])
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE ops SET state = ?", (state,))
    db.close()
    moved = store.journal.move("one", (came_from,), "unknown", note="moved")
    op = store.journal.op("one")
    assert op is not None
    assert moved == (state == came_from)
    assert (op.state, op.note) == (("unknown", "moved") if moved else (state, ""))


def test_a_start_whose_claims_are_gone_is_not_marked_as_sent(store: Store) -> None:
    plan(store, "one", ["a", "b"])
    with sqlite3.connect(store.path) as db:
        db.execute("DELETE FROM claims WHERE lead_id = 'b'")
    db.close()
    assert not store.journal.move("one", ("planned",), "sending", sent_at=9)
    assert [(op.state, op.sent_at) for op in store.journal.open_ops()] == [("planned", None)]


def test_a_start_that_was_settled_is_not_sent_though_its_lock_file_is_gone(store: Store) -> None:
    plan(store, "one", ["a", "b"])
    lock = store.journal.op_lock("one")
    assert lock.take()
    for file in (store.path.parent / "locks").iterdir():
        file.unlink()
    other = store.journal.op_lock("one")
    assert store.journal.move("one", ("planned",), "rejected")
    assert not store.journal.move("one", ("planned",), "sending")
    other.release()
    lock.release()


def test_starts_whose_leads_have_all_been_read_are_known_as_finished(store: Store) -> None:
    plan(store, "one", ["a", "b"])
    plan(store, "two", ["c"], run_id="other")
    for op_id in ("one", "two"):
        store.journal.move(op_id, ("planned",), "sending", sent_at=1)
        store.journal.move(op_id, ("sending",), "started", job_id=f"job-{op_id}")
    store.results.save([("a", FOUND), ("c", FOUND)])
    assert store.journal.finished_ops() == ["two"]
    store.results.save([("b", LeadResult("unknown_lead"))])
    assert store.journal.finished_ops() == ["one", "two"]


def test_a_lead_that_was_unknown_has_not_been_read_whatever_the_clock_says(store: Store) -> None:
    store.results.save([("a", LeadResult("unknown_lead"))])
    plan(store, "one", ["a"])
    store.journal.move("one", ("planned",), "sending", sent_at=1)  # the clock was set back
    store.journal.move("one", ("sending",), "started", job_id="job")
    assert store.journal.finished_ops() == []


def test_only_jobs_that_answered_a_start_are_this_stores_own(store: Store) -> None:
    plan(store, "one", ["a"])
    plan(store, "two", ["b"], run_id="other")
    for op_id, sure in (("one", True), ("two", False)):
        store.journal.move(
            op_id, ("planned",), "started", job_id=op_id, provisional=not sure, credits_reserved=3
        )
    assert store.journal.answered() == {"one"}


def test_jobs_that_came_up_after_a_start_are_known_whoever_was_looked_for(store: Store) -> None:
    plan(store, "two", ["b"], run_id="other")
    plan(store, "one", ["a"])
    # Neither the order of the claims nor a clock that is set back tells which was sent first.
    for at, op_id in ((2, "one"), (1, "two")):
        jobs = {"may be": {f"small-{op_id}": 1}, "cannot be": {f"big-{op_id}": 9}, "closed": {}}
        store.journal.move(op_id, ("planned",), "sending", sent_at=at)
        store.journal.note(op_id, candidates=jobs)
    first = store.journal.op("one")
    assert first is not None
    late = {"small-two": 1, "big-two": 9}
    assert store.journal.seen(first.number) == late
    assert store.journal.seen(0) == late | {"small-one": 1, "big-one": 9}


def test_a_run_is_written_down_with_its_label_and_what_came_of_it(store: Store) -> None:
    store.journal.add_run("run", ["a"], partial=True, preview={"x": 1}, label="nightly")
    store.journal.end_run("run", found=3, not_found=1)
    run = store.journal.runs("run")[0]
    assert (run.label, run.partial, run.preview) == ("nightly", True, {"x": 1})
    assert (run.found, run.not_found, run.ended_at is not None) == (3, 1, True)
    assert store.journal.runs("no such run") == []


def test_the_version_moves_when_another_connection_writes(tmp_path: Path, store: Store) -> None:
    before = store.journal.version()
    plan(store, "one", ["a"])
    assert store.journal.version() == before
    with Store(tmp_path, "leads.example", "account") as other:
        other.results.save([("z", FOUND)])
    assert store.journal.version() != before


def test_an_interrupt_between_two_statements_leaves_the_store_as_it_was(store: Store) -> None:
    def strike() -> None:
        with store._file.transaction() as db:
            db.execute("INSERT INTO results VALUES ('x', 'found', '[]', 1, 1)")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        strike()
    assert store.results.known(["x"]) == {}
    store.results.save([("x", FOUND)])


def test_hundreds_of_thousands_of_ids_are_no_special_case(store: Store) -> None:
    ids = [f"lead{n}" for n in range(60_000)]
    store.results.save([(one, LeadResult("not_found", (), 1)) for one in ids[::2]])
    assert len(store.results.known(ids)) == 30_000
    statuses = store.results.answers(ids)["enrichment_status"]
    assert statuses.to_pylist().count("not_found") == 30_000


def test_only_its_user_can_read_it(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with Store(tmp_path / "home", "leads.example", "account") as store:
            store.results.save([("a", FOUND)])
            files = [one for one in (tmp_path / "home").rglob("*") if one.is_file()]
            modes = {stat.S_IMODE(one.stat().st_mode) for one in files}
            assert len(files) >= 2
            assert modes == {0o600}
            assert stat.S_IMODE((tmp_path / "home").stat().st_mode) == 0o700
    finally:
        os.umask(old)


def test_accounts_and_hosts_share_nothing(tmp_path: Path) -> None:
    Store(tmp_path, "one.example", "a").results.save([("x", FOUND)])
    assert Store(tmp_path, "one.example", "b").results.known(["x"]) == {}
    assert Store(tmp_path, "two.example", "a").results.known(["x"]) == {}
    assert Store(tmp_path, "one.example", "a").results.known(["x"]) == {"x": "found"}


def test_what_is_forgotten_stands_nowhere_in_the_files(store: Store) -> None:
    secret = "someone@private.example"
    store.results.save(
        [("a", LeadResult("found", (Email(secret, 1.0, "website"),), 1)), ("b", FOUND)]
    )
    assert store.results.forget(["a", "zzz"]) == 1
    assert store.results.known(["a", "b"]) == {"b": "found"}
    everything = b"".join(one.read_bytes() for one in store.path.parent.rglob("*") if one.is_file())
    assert secret.encode() not in everything
    assert store.results.forget(None) == 1


def test_forgetting_keeps_the_journal_of_money(store: Store) -> None:
    plan(store, "one", ["a"])
    store.journal.move("one", ("planned",), "done", credits_reserved=1)
    store.results.forget(None)
    assert [op.credits_reserved for op in store.journal.run_ops("run")] == [1]


def test_a_garbage_file_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = Store(tmp_path, "h", "a").path
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)
    path.write_bytes(b"this is no database " * 500)
    with pytest.raises(StoreError, match="move it away"):
        Store(tmp_path, "h", "a")
    assert path.read_bytes().startswith(b"this is no database")


def test_a_database_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = Store(tmp_path, "h", "a").path
    path.unlink()
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    db.close()
    with pytest.raises(StoreError, match="not a store"):
        Store(tmp_path, "h", "a")


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path, "h", "a")
    store.close()
    with sqlite3.connect(store.path) as db:
        db.execute(f"PRAGMA user_version = {stores.VERSION + 1}")
    db.close()
    with pytest.raises(StoreError, match="newer"):
        Store(tmp_path, "h", "a")


@pytest.mark.parametrize("version", range(1, stores.VERSION + 1))
def test_a_store_of_every_version_opens_with_all_it_holds(tmp_path: Path, version: int) -> None:
    with Store(tmp_path, "h", "a") as fresh:
        path = fresh.path
    for name in (path, Path(f"{path}-wal"), Path(f"{path}-shm")):
        name.unlink(missing_ok=True)
    with sqlite3.connect(path) as db:
        db.executescript((FIXTURES / f"version{version}.sql").read_text(encoding="utf-8"))
    db.close()
    with Store(tmp_path, "h", "a") as store:
        assert store.results.known(["lead1", "lead2", "lead3"]) == {
            "lead1": "found",
            "lead2": "not_found",
        }
        assert [op.state for op in store.journal.open_ops()] == ["started"]
        assert store.journal.claims_on(["lead3"]) == {"op1": ["lead3"]}
        assert [run.id for run in store.journal.runs()] == ["run1"]


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("in the way")
    with pytest.raises(StoreError, match="LEADS_PANDAS_HOME"):
        Store(tmp_path / "home", "h", "a")


def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    folder.mkdir()
    folder.chmod(0o555)
    # In a process of its own, which gives up root's right to write anywhere.
    code = f"""
import os, pathlib
from leads_pandas.errors import LeadsError, StoreError
from leads_pandas.store import Store
if os.getuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    Store(pathlib.Path({str(folder)!r}), "h", "a")
except StoreError as error:
    print("refused:", error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "refused: the store's folder" in done.stdout, done.stderr
    assert "nothing was requested" in done.stdout


def test_a_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("leads_pandas.home._filesystem", lambda path: "nfs4")
    with pytest.raises(StoreError, match="network"):
        Store(tmp_path, "h", "a")


def test_a_full_disk_is_said_and_nothing_is_half_written(
    store: Store,
) -> None:
    store.results.save([("a", FOUND)])
    pages = store._file._db.execute("PRAGMA page_count").fetchone()[0]
    store._file._db.execute(f"PRAGMA max_page_count = {pages}")
    many = [(f"lead{n}", FOUND) for n in range(5000)]
    with pytest.raises(StoreError, match="free or fix the disk"):
        store.results.save(many)
    assert store.results.known(["a", "lead0", "lead4999"]) == {"a": "found"}
    store._file._db.execute("PRAGMA max_page_count = 1000000")
    store.results.save(many)
    assert len(store.results.known([one for one, _ in many])) == 5000


def test_a_second_look_into_it_takes_no_lock_from_the_first(store: Store) -> None:
    home = store.path.parent.parent
    with Store(home, "leads.example", "account"):
        pass
    code = f"""
import pathlib
from leads_pandas.store import Store
with Store(pathlib.Path({str(home)!r}), "leads.example", "account") as store:
    print(store.journal.claims_on(["a"]))
"""
    seen = []
    for op_id in ("", "one"):
        if op_id:
            assert plan(store, op_id, ["a"])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        seen.append(done.stdout.decode().strip())
    assert seen == ["{}", "{'one': ['a']}"]


@pytest.mark.parametrize("instead", [False, True])
def test_nothing_is_written_into_a_store_that_is_not_there_any_more(
    store: Store, instead: bool
) -> None:
    assert plan(store, "one", ["a"])
    store.path.parent.rename(store.path.parent.with_name("old"))
    if instead:
        assert Store(store.path.parent.parent, "leads.example", "account").path == store.path
    with pytest.raises(StoreError, match=r"replaced .*jobs"):
        store.journal.move("one", ("planned",), "sending", sent_at=1)


def test_sixteen_processes_may_open_it_first(tmp_path: Path) -> None:
    code = f"""
import pathlib, sys
sys.stdin.readline()
from leads_pandas.store import Store
Store(pathlib.Path({str(tmp_path)!r}), "h", "a").journal.add_run(
    sys.argv[1], ["x"], partial=False, preview=None)
"""
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"run{n}"], stdin=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for n in range(16)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write(b"go\n")
        child.stdin.flush()
    for child in children:
        _, errors = child.communicate()
        assert child.returncode == 0, errors.decode()
    assert len(Store(tmp_path, "h", "a").journal.runs()) == 16


def test_a_lock_goes_with_its_process(store: Store) -> None:
    code = f"""
import pathlib
from leads_pandas.store import Store
home = pathlib.Path({str(store.path.parent.parent)!r})
lock = Store(home, "leads.example", "account").journal.op_lock("x")
assert lock.take()
print("held", flush=True)
input()
"""
    child = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == b"held\n"
    lock = store.journal.op_lock("x")
    assert not lock.take()
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()
    assert lock.take()
    lock.release()


def test_two_threads_of_a_process_exclude_each_other(store: Store) -> None:
    mine = store.journal.op_lock("x")
    assert mine.take()
    seen: list[bool] = []

    def other() -> None:
        seen.append(store.journal.op_lock("x").take())

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    mine.release()
    assert seen == [False]


def test_a_thread_that_asks_for_its_own_lock_is_told_so(store: Store) -> None:
    mine = store.journal.op_lock("x")
    assert mine.take()
    with pytest.raises(LeadsError, match="would wait for itself"):
        store.journal.op_lock("x").take()
    mine.release()
    again = store.journal.op_lock("x")
    assert again.take()
    again.release()
