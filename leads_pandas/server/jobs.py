"""The service's work: the leads of the running jobs, through the driver that reads websites.

Jobs take turns, lead by lead, so that a small one does not wait for a large one; within a job the
leads go in the order sent. What is unfinished when the service ends goes on at its next start.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from leads_pandas.finding.sites import Round, Unread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from leads_pandas.finding.options import SiteOptions
    from leads_pandas.finding.sites import Looked
    from leads_pandas.finding.verify import MailDomains
    from leads_pandas.server.db import Database, Outcome, Task

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
        options: how websites are read.
        domains: says which domains take mail.

    Attributes:
        unread: the websites that could not be read since the start.
    """

    def __init__(
        self,
        database: Database,
        options: SiteOptions,
        domains: MailDomains,
    ) -> None:
        self.unread = Unread()
        self._database = database
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._queues: deque[_Queue] = deque()
        self._known: set[int] = set()
        self._round = Round(self._take, options, domains)
        self._thread = threading.Thread(target=self._work, name="leads-pandas-worker", daemon=True)

    def start(self) -> None:
        """Take up the unfinished jobs and wait for more."""
        self.look()
        self._thread.start()

    def look(self) -> None:
        """Take up the jobs that have been started since."""
        with self._changed:
            for job in self._database.unfinished():
                if job not in self._known:
                    self._known.add(job)
                    self._queues.append(_Queue(job))
        self._round.wake()

    def wait(self, job_id: str, timeout: float) -> bool:
        """Wait until a job has ended; False where it has not within `timeout` seconds."""

        def ended() -> bool:
            status = self._database.status(job_id)
            return status is not None and status.finished

        with self._changed:
            return self._changed.wait_for(ended, timeout)

    def stop(self, timeout: float) -> bool:
        """End what is under way and wait for it; False where something is still busy then."""
        self._stopping.set()
        ended = self._round.close(timeout)
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return ended and not self._thread.is_alive()

    def _work(self) -> None:
        for batch in self._round.batches():
            for one in batch:
                self.unread = self.unread.and_also(one)
            self._keep(batch)

    def _keep(self, batch: Sequence[Looked[Task]]) -> None:
        """Record results, and wait for the disk where it does not take them."""
        results = [(one.key, _outcome(one)) for one in batch]
        while True:
            try:
                ended = self._database.finish(results)
            except sqlite3.Error as error:
                log.error("results cannot be kept, trying again: %s", error)  # noqa: TRY400 - one line a second is enough
                if self._stopping.wait(_RETRY_SECONDS):
                    return
                continue
            if ended:
                with self._changed:
                    self._known -= ended
                    self._changed.notify_all()
            return

    def _take(self) -> tuple[Task, str | None] | None:
        """The next lead; None where there is none now."""
        with self._changed:
            try:
                task = self._next()
            except sqlite3.Error as error:
                log.error("the jobs cannot be read, trying again: %s", error)  # noqa: TRY400 - likewise
                again = threading.Timer(_RETRY_SECONDS, self._round.wake)
                again.daemon = True
                again.start()
                return None
        return None if task is None else (task, task.website)

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


def _outcome(looked: Looked[Task]) -> Outcome:
    if looked.state != "failed":
        return looked.emails
    return None if looked.passing else "unread"
