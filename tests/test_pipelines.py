"""Where pipelines call from: chains, event loops, threads, forked and spawned workers."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import leads_pandas as lp
from tests.support.harness import frame, lead_ids, rows, whole

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.harness import Script, Vendor

    Client = Callable[..., lp.LeadsClient]

N = 40
SEARCHED = {"PYTHONPATH": str(Path(__file__).parents[1])}

# Two workers, whose frames overlap; each answers with its leads' emails and statuses.
WORKERS = """
import multiprocessing, json, time
from tests.support.harness import rows, frame

def work(ids):
    return rows(leads_pandas.enrich(frame(ids), progress=False))

def pooled(method):
    ids = df["lead_id"].tolist()
    with multiprocessing.get_context(method).Pool(2) as pool:
        return pool.map(work, [ids[:30], ids[10:]])
"""


def once_each(vendor: Vendor, leads: int) -> None:
    """Every lead was charged once, and nobody read what was read already."""
    counts = vendor.counts
    assert set(counts["charges"].values()) == {1}
    assert len(counts["charges"]) == leads
    assert not counts["unexpected"]


def test_a_chain_of_transformations(vendor: Vendor, client: Client) -> None:
    out = (
        frame(lead_ids(8))
        .assign(country="DE")
        .pipe(lp.enrich, progress=False, client=client())
        .query("enrichment_status == 'found'")
        .set_index("lead_id")
    )
    assert out.index.tolist() == [one for one, (email, _) in whole(lead_ids(8)).items() if email]
    assert out["country"].eq("DE").all()


def test_inside_a_running_event_loop(vendor: Vendor, client: Client) -> None:
    async def main() -> dict[str, list[str | None]]:
        return rows(lp.enrich(frame(lead_ids(8)), progress=False, client=client()))

    assert asyncio.run(main()) == whole(lead_ids(8))


def test_beside_an_event_loop_that_goes_on(vendor: Vendor, client: Client) -> None:
    vendor.reset(8, job_seconds=0.5)
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    async def main() -> dict[str, list[str | None]]:
        counting = asyncio.create_task(count())
        df = frame(lead_ids(8))
        out = await asyncio.to_thread(lp.enrich, df, progress=False, client=client())
        counting.cancel()
        return rows(out)

    assert asyncio.run(main()) == whole(lead_ids(8))
    assert turns > 10


def test_what_a_progress_callback_raises_ends_the_call_and_keeps_everything(
    vendor: Vendor, client: Client
) -> None:
    class StopHereError(Exception):
        """What the pipeline raises."""

    def stop(status: lp.RunStatus) -> None:
        if status.read:
            raise StopHereError

    df = frame(lead_ids(N))
    with pytest.raises(StopHereError):
        lp.enrich(df, progress=stop, client=client())
    kept = lp.results(df, client=client())["enrichment_status"].ne("not_enriched").sum()
    assert kept >= 1
    assert rows(lp.enrich(df, progress=False, client=client())) == whole(lead_ids(N))
    once_each(vendor, N)


def test_threads_that_share_a_client(vendor: Vendor, client: Client) -> None:
    shared = client()
    ids = lead_ids(N)
    found: dict[str, Any] = {}

    def work(name: str, part: list[str]) -> None:
        found[name] = rows(lp.enrich(frame(part), progress=False, client=shared))

    parts = {"one": ids[:30], "other": ids[10:], "all": ids}
    threads = [threading.Thread(target=work, args=part) for part in parts.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.close()
    assert found == {name: whole(part) for name, part in parts.items()}
    once_each(vendor, N)


def brought_back(script: Script) -> Any:
    """What a script's last line says, of one that ended well and complained of nothing."""
    code, out, err = script.end()
    assert (code, err) == (0, ""), err
    return json.loads(out.splitlines()[-1])


def test_forked_workers_use_the_client_that_their_parent_has_set(
    vendor: Vendor, script: Callable[..., Script]
) -> None:
    ids = lead_ids(N)
    body = """
leads_pandas.set_default_client(client)
client.balance()  # the parent's connection, which no child may talk on
print(json.dumps(pooled("fork")))
client.balance()
"""
    assert brought_back(script(ids, WORKERS + body, **SEARCHED)) == [
        whole(ids[:30]),
        whole(ids[10:]),
    ]
    once_each(vendor, N)


def test_workers_forked_in_the_middle_of_a_run_are_refused_and_the_run_goes_on(
    vendor: Vendor, script: Callable[..., Script]
) -> None:
    vendor.reset(60, job_seconds=1.0)
    ids = lead_ids(N)
    body = """
import threading
leads_pandas.set_default_client(client)
theirs = []
begun = threading.Event()
thread = threading.Thread(
    target=lambda: theirs.append(
        rows(leads_pandas.enrich(df, progress=lambda status: begun.set()))
    )
)
thread.start()
begun.wait()
try:
    pooled("fork")
except leads_pandas.StoreError as error:
    print(error)
thread.join()
print(json.dumps(theirs))
"""
    # Newer Pythons warn of what is tested here: a fork beside threads.
    quiet = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
    code, out, err = script(ids, WORKERS + body, **SEARCHED, **quiet).end()
    assert (code, err) == (0, "")
    said, theirs = out.splitlines()
    assert "forked while a run of the same account was under way in its parent" in said
    assert json.loads(theirs) == [whole(ids)]
    once_each(vendor, N)


def test_a_run_that_is_forked_itself_goes_on_in_the_parent_alone(
    vendor: Vendor, script: Callable[..., Script]
) -> None:
    vendor.reset(60, job_seconds=3.0)
    ids = lead_ids(N)
    body = """
child = None

def fork_once(status):
    global child
    if child is None:
        child = os.fork()

try:
    out = leads_pandas.enrich(df, client=client, progress=fork_once)
except leads_pandas.StoreError as error:
    os._exit(7 if "forked while a run" in str(error) else 8)
_, status = os.waitpid(child, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), rows(out)]))
"""
    quiet = {"PYTHONWARNINGS": "ignore::DeprecationWarning"}
    assert brought_back(script(ids, WORKERS + body, **SEARCHED, **quiet)) == [7, whole(ids)]
    once_each(vendor, N)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_spawned_workers_find_the_account_in_the_environment(
    method: str, vendor: Vendor, script: Callable[..., Script], tmp_path: Path
) -> None:
    # A spawned worker imports what it runs by name.
    (tmp_path / "work_of_a_worker.py").write_text(
        "import leads_pandas\nfrom tests.support.harness import frame, rows\n\n\n"
        "def work(ids):\n    return rows(leads_pandas.enrich(frame(ids), progress=False))\n"
    )
    ids = lead_ids(N)
    body = f"""
import json, multiprocessing
from work_of_a_worker import work
ids = df["lead_id"].tolist()
with multiprocessing.get_context("{method}").Pool(2) as pool:
    print(json.dumps(pool.map(work, [ids[:30], ids[10:]])))
"""
    account = {
        "LOCALLEADS_API_KEY": vendor.key,
        "LOCALLEADS_BASE_URL": vendor.base_url,
        "LOCALLEADS_REQUESTS_PER_MINUTE": "0",
        "PYTHONPATH": f"{tmp_path}:{SEARCHED['PYTHONPATH']}",
    }
    assert brought_back(script(ids, body, **account)) == [whole(ids[:30]), whole(ids[10:])]
    once_each(vendor, N)


def test_a_client_is_not_sent_to_workers_but_a_run_is(vendor: Vendor, client: Client) -> None:
    api = client()
    with pytest.raises(TypeError, match="make one where it is needed"):
        pickle.dumps(api)
    run = lp.start(frame(lead_ids(4)), progress=False, client=api)
    assert vendor.key.encode() not in pickle.dumps(run)


def test_features_are_a_step_of_a_scikit_learn_pipeline_that_pickles(
    vendor: Vendor, client: Client
) -> None:
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    out = lp.enrich(frame(lead_ids(8)), progress=False, client=client())
    out["website"] = "https://lead000.example"
    step = make_pipeline(FunctionTransformer(lp.features)).fit(out)
    again = pickle.loads(pickle.dumps(step))  # noqa: S301 - our own bytes
    columns = ["has_email", "confidence", "is_role_address"]
    assert again.transform(out)[columns].equals(lp.features(out)[columns])
