"""Two worker processes that are killed and come back, and this process as another place."""

from __future__ import annotations

import multiprocessing
import os
from multiprocessing import forkserver
from typing import TYPE_CHECKING

import dask
import distributed.utils
import pytest
from distributed import Client, LocalCluster

from tests.support.engines import Guard

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = {
    # A worker is forked from a process that has imported everything, instead of starting from
    # nothing: killed ones are back in a moment.
    "distributed.worker.multiprocessing-method": "forkserver",
    "distributed.worker.profile.enabled": False,
    "distributed.admin.tick.limit": "60s",
    # A cluster gives a worker up for good that is not back after 15 seconds, which on a busy
    # machine it may not be.
    "distributed.deploy.lost-worker-timeout": "10 minutes",
}


@pytest.fixture(scope="session")
def cluster() -> Iterator[Client]:
    """Two worker processes that have no store to open, no key to show and no way out."""
    with dask.config.set(SETTINGS):
        distributed.utils.get_mp_context()  # has a list of its own of what to import
    # A process has one server to fork from, and another test's may have imported more.
    forkserver._forkserver._stop()  # type: ignore[attr-defined] # it has no other name
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(["distributed", "dask.dataframe", "leads_pandas.dask"])
    with (
        dask.config.set(SETTINGS),
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            dashboard_address=":0",
            env={"LEADS_PANDAS_HOME": os.devnull},
        ) as made,
        Client(made, set_as_default=False) as client,
    ):
        client.register_plugin(Guard())
        yield client


@pytest.fixture
def workers(cluster: Client) -> Iterator[Client]:
    """The cluster, as the place where this test computes."""
    # Not by ``dask.config.set(scheduler=…)``: a nanny hands the configuration on to the worker that
    # takes a dead one's place, and a client in it cannot be pickled, so that none would.
    with cluster.as_current():
        yield cluster


@pytest.fixture
def here() -> Iterator[None]:
    """This process, as the place where this test computes."""
    with dask.config.set(scheduler="synchronous"):
        yield
