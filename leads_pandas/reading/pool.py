"""Threads that request for the collector: they decide nothing and touch no store."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from leads_pandas.leadsapi.client import LeadsClient
    from leads_pandas.models import CostPreview, JobStatus, LeadEnrichment
    from leads_pandas.reading.scout import Look
    from leads_pandas.reading.source import Source


@dataclass(frozen=True, slots=True)
class Task:
    """One request.

    Attributes:
        kind: a job's status, a lead, or how many of some leads are enriched.
        keys: the job, the lead, or the leads.
        source: for what it is asked.
        guess: the lead's place, where it may be too early.
        look: the question, where it is one.
    """

    kind: Literal["poll", "read", "look"]
    keys: list[str]
    source: Source
    guess: int | None = None
    look: Look | None = None

    def send(self, api: LeadsClient) -> JobStatus | LeadEnrichment | CostPreview:
        """Ask, and wait for the answer."""
        match self.kind:
            case "poll":
                return api.status(self.keys[0])
            case "read":
                return api.lead(self.keys[0])
            case _:
                return api.preview(self.keys)


@dataclass(frozen=True, slots=True)
class Event:
    """What came of a request."""

    task: Task
    value: JobStatus | LeadEnrichment | CostPreview | None
    error: Exception | None


class Pool:
    """Daemon threads that request: Ctrl-C never waits for them."""

    def __init__(self, api: LeadsClient, stop: threading.Event) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._api = api
        self._stop = stop
        self._threads = 0
        self.busy = 0

    def submit(self, task: Task) -> None:
        """Have a request sent by the next thread that is free, or by a new one."""
        self.busy += 1
        if self.busy > self._threads:
            self._threads += 1
            threading.Thread(
                target=self._work, name=f"leads_pandas-{self._threads}", daemon=True
            ).start()
        self._tasks.put(task)

    def close(self) -> None:
        """Let the threads end; nothing more is sent."""
        self._stop.set()
        for _ in range(self._threads):
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            value, error = None, None
            try:
                value = task.send(self._api)
            except Exception as caught:  # noqa: BLE001 - handed to the loop, which decides
                error = caught
            self.events.put(Event(task, value, error))
