"""A frame's leads found on their own websites, from this machine: no account, service or credit.

What every website says is durable before it counts as done, and is not asked for again; a website
that could not be read is looked at again by the next call.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from leads_pandas.asking import take_leave
from leads_pandas.display import duration, plural
from leads_pandas.errors import LeadsError, Way
from leads_pandas.finding.sites import Round, Unread
from leads_pandas.finding.verify import MailDomains
from leads_pandas.frames import delivery
from leads_pandas.frames.columns import answers
from leads_pandas.frames.receipt import receipt
from leads_pandas.home import home
from leads_pandas.interrupts import Terminated, terminable
from leads_pandas.models import RunStatus
from leads_pandas.progress import Display
from leads_pandas.store.found import Found

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    import pandas as pd

    from leads_pandas.finding.options import SiteOptions
    from leads_pandas.finding.sites import Looked
    from leads_pandas.frames.columns import Row
    from leads_pandas.frames.ids import LeadIds
    from leads_pandas.models import LeadStatus

_TITLE = "Reading the leads' websites"
_SOONEST = 2.0  # seconds, before which the pace so far says nothing of the time left


def websites_of(ids: LeadIds, cells: Iterable[Any], missing: Iterable[bool]) -> dict[str, str]:
    """The website, or another text, of each lead that has one: the first that its rows give."""
    found: dict[str, str] = {}
    for code, cell, blank in zip(ids.codes.tolist(), cells, missing, strict=True):
        if code >= 0 and not blank and (text := str(cell).strip()):
            found.setdefault(ids.unique[code], text)
    return found


def seek(
    ready: delivery.Prepared,
    websites: Mapping[str, str],
    options: SiteOptions,
    progress: bool | Callable[[RunStatus], object] | None,
) -> pd.DataFrame:
    """Read the websites of a prepared frame's leads, and deliver what they say.

    Args:
        ready: the prepared frame.
        websites: by lead.
        options: how websites are read.
        progress: see `leads_pandas.enrich`.

    Raises:
        StoreError: what is found cannot be kept.
        OSError: the file could not be written.
    """
    if not ready.asked:
        return delivery.deliver(ready, answers([]), {"here": True})
    pairs = [(lead, websites[lead]) for lead in ready.asked if lead in websites]
    display = Display(progress, _TITLE)
    with display.shown(), _explained(display), Found(home()) as found:
        known = {row[0] for row in found.rows(pairs)}
        reading = _Reading(found, [pair for pair in pairs if pair[0] not in known], display)
        reading.read(options)
        held = {row[0]: row for row in found.rows(pairs)}
        table = answers(
            (held.get(lead) or _nothing(lead, websites) for lead in ready.asked), **ready.wanted
        )
        facts = {"here": True, "unread": reading.unread.websites}
        out = delivery.deliver(ready, table, facts)
        display.finished(receipt(out), ready.path, verb="looked at", unread=_said(reading.unread))
    return out


def _nothing(lead: str, websites: Mapping[str, str]) -> Row:
    status: LeadStatus = "failed" if lead in websites else "not_enriched"
    return lead, status, (), None


def _said(unread: Unread) -> str:
    if not unread.websites:
        return ""
    return f"{plural(unread.websites, 'website')} could not be read (such as {unread.example})"


@contextlib.contextmanager
def _explained(display: Display) -> Generator[None]:
    """Say on an interrupt that nothing is lost."""
    with terminable():
        try:
            yield
        except (KeyboardInterrupt, SystemExit, Terminated) as interrupt:
            display.close()  # or the line would stand on the bar's own
            goodbye = LeadsError("interrupted", "what was found so far is kept", Way("again"))
            take_leave(interrupt, goodbye)
            raise


class _Reading:
    """Reads websites, each once, and keeps what they say of all their leads.

    Args:
        found: takes what is found.
        pairs: leads and their websites.
        display: shows how far it is.

    Attributes:
        unread: the websites that could not be read.
    """

    def __init__(self, found: Found, pairs: Sequence[tuple[str, str]], display: Display) -> None:
        self.unread = Unread()
        self._found = found
        self._display = display
        self._leads: dict[str, list[str]] = {}
        for lead, website in pairs:
            self._leads.setdefault(website, []).append(lead)
        self._total, self._done, self._emails = len(pairs), 0, 0
        display.rows = self._rows

    def read(self, options: SiteOptions) -> None:
        """Read them all."""
        if not self._total:
            return
        self._began = time.monotonic()
        self._report()
        each = iter([(website, website) for website in self._leads])
        running = Round(each.__next__, options, MailDomains(options.nameservers))
        with contextlib.closing(running):
            for batch in running.batches():
                self._keep(batch)
                self._report()

    def _keep(self, batch: Sequence[Looked[str]]) -> None:
        read = [one for one in batch if one.state in ("found", "not_found")]
        self._found.save(
            (lead, one.key, one.emails) for one in read for lead in self._leads[one.key]
        )
        for one in batch:
            self.unread = self.unread.and_also(one)
            self._done += len(self._leads[one.key])
            self._emails += len(self._leads[one.key]) * bool(one.emails)

    def _report(self) -> None:
        status = RunStatus("reading", self._done, self._total, self._emails, self._done, 0)
        self._display(status, self._seconds_left())

    def _seconds_left(self) -> float | None:
        elapsed = time.monotonic() - self._began
        if not self._done or elapsed < _SOONEST:
            return None
        return elapsed / self._done * (self._total - self._done)

    def _rows(self, status: RunStatus) -> list[tuple[str, str]]:
        return [
            ("leads", f"{status.read:,} of {status.total:,}"),
            ("emails found", f"{status.found_emails:,}"),
            ("could not be read", plural(self.unread.websites, "website")),
            ("time", duration(time.monotonic() - self._began)),
            ("credits", "0"),
        ]
