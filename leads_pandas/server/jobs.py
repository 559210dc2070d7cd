"""The service's work: threads that take leads from the running jobs and enrich them.

Jobs take turns, lead by lead, so that a small one does not wait for a large one; within a job the
leads go in the order sent. What is unfinished when the service ends goes on at its next start.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from leads_pandas.finding.fetch import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from leads_pandas.models import Email
    from leads_pandas.server.db import Database, Task

    Find = Callable[[str | None], Sequence[Email]]

log = logging.getLogger("leads_pandas.server")

_BATCH = 500
_RETRY_SECONDS = 1.0


@dataclass(slots=True)
class _Queue:
    """What is left of one job: some leads at hand, the others in the database."""

    job: int
    at_hand: deque[Task] = field(default_factory=deque)
    place: int = 0
    begun: bool = False


class Worker:
    """Runs the jobs of a database.

    Args:
        database: holds the jobs and takes the results.
        find: returns a website's addresses; raises `Stopped` once the service is ending.
        concurrency: how many sites are read at once.
    """

    def __init__(self, database: Database, find: Find, *, concurrency: int) -> None:
        self._database = database
        self._find = find
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._queues: deque[_Queue] = deque()
        self._known: set[int] = set()
        self._threads = [
            threading.Thread(target=self._work, name=f"leads-pandas-worker-{n}", daemon=True)
            for n in range(concurrency)
        ]

    def start(self) -> None:
        """Take up the unfinished jobs and wait for more."""
        self.look()
        for thread in self._threads:
            thread.start()

    def look(self) -> None:
        """Take up the jobs that have been started since."""
        with self._changed:
            for job in self._database.unfinished():
                if job not in self._known:
                    self._known.add(job)
                    self._queues.append(_Queue(job))
            self._changed.notify_all()

    def wait(self, job_id: str, timeout: float) -> bool:
        """Wait until a job has ended; False where it has not within `timeout` seconds."""

        def ended() -> bool:
            status = self._database.status(job_id)
            return status is not None and status.finished

        with self._changed:
            return self._changed.wait_for(ended, timeout)

    def stop(self, timeout: float) -> bool:
        """Stop taking leads and wait for the threads; False where one is still busy then."""
        self._stopping.set()
        with self._changed:
            self._changed.notify_all()
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(deadline - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (task := self._take()) is not None:
            emails: Sequence[Email] | None = None
            try:
                emails = self._find(task.website)
            except Stopped:
                return
            except Exception:
                # The job goes on without it, ends as FAILED, and refunds this lead.
                log.exception("a website could not be processed: %r", task.website)
            self._keep(task, emails)

    def _keep(self, task: Task, emails: Sequence[Email] | None) -> None:
        """Record a result, and wait for the disk where it does not take it."""
        while not self._stopping.is_set():
            try:
                ended = self._database.finish(task, emails)
            except sqlite3.Error as error:
                log.error("a result cannot be kept, trying again: %s", error)  # noqa: TRY400 - one line a second is enough
                self._stopping.wait(_RETRY_SECONDS)
                continue
            if ended:
                with self._changed:
                    self._known.discard(task.job)
                    self._changed.notify_all()
            return

    def _take(self) -> Task | None:
        """The next lead; None once the service is ending."""
        with self._changed:
            while not self._stopping.is_set():
                try:
                    task = self._next()
                except sqlite3.Error as error:
                    log.error("the jobs cannot be read, trying again: %s", error)  # noqa: TRY400 - likewise
                    self._changed.wait(_RETRY_SECONDS)
                    continue
                if task is not None:
                    return task
                self._changed.wait()
        return None

    def _next(self) -> Task | None:
        """The next lead of the job whose turn it is."""
        while self._queues:
            queue = self._queues[0]
            if not queue.at_hand:
                queue.at_hand.extend(self._database.tasks(queue.job, queue.place, _BATCH))
            if not queue.at_hand:
                self._queues.popleft()
                continue
            if not queue.begun:
                self._database.begin(queue.job)
                queue.begun = True
            task = queue.at_hand.popleft()
            queue.place = task.place
            self._queues.rotate(-1)
            return task
        return None
