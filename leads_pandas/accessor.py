"""``df.leads``: the accessor, whose methods are the functions with the frame filled in.

Trivial and stateless: pandas 3 makes a new accessor at each access, and completion must not fail.
Shown by itself, it is a small card of what would be asked for, and of the calls that ask for it.
"""

from __future__ import annotations

import contextlib
import functools
import re
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import pandas as pd

from leads_pandas import functions, websites
from leads_pandas.display import card_html, card_text, plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from leads_pandas.plotting import Plot

P = ParamSpec("P")
T = TypeVar("T")

_TITLE = "Leads of this frame"
_CALLS = (
    ("free, from websites", "df.leads.find()"),
    ("price, nothing spent", "df.leads.preview()"),
    ("buy", 'df.leads.enrich("enriched.parquet", max_credits=…)'),
    ("what the store has", "df.leads.results()"),
)
_LOOKS = (
    ("what came", "df.leads.summary()"),
    ("pictures", "df.leads.plot.status()"),
    ("for scoring models", "df.leads.features()"),
)
_MOST_READ = 100_000  # rows; in a larger frame the IDs are not looked at to show a card

_ABOUT_THE_FRAME = re.compile(r"^( +)d?df: .*\n(?:\1 .*\n)*", re.MULTILINE)


def as_method(function: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """A public function on a frame as a method of the frame's accessor."""

    @functools.wraps(function)
    def method(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return function(self._frame, *args, **kwargs)

    # There is no docstring under `python -OO`.
    method.__doc__ = function.__doc__ and _ABOUT_THE_FRAME.sub("", function.__doc__)
    return method


@pd.api.extensions.register_dataframe_accessor("leads")
class LeadsAccessor:
    """Emails for the leads of a frame.

    - ``find()``: from the leads' own websites, free of charge
    - ``preview()``: what buying the others would cost; nothing is spent
    - ``enrich("enriched.parquet", max_credits=50)``: buy each email once, join and write
    - ``start(max_credits=50)``: the same without waiting; ``run.result()`` waits
    - ``results()``: what the store holds; no request
    - ``verify()``: which emails can be delivered
    - ``summary()``, ``features()``, ``plot``: what came of it

    Each method has a twin of the same name in ``leads_pandas`` that takes the frame first.
    """

    def __init__(self, frame: pd.DataFrame) -> None:
        self._frame = frame

    preview = as_method(functions.preview)
    enrich = as_method(functions.enrich)
    start = as_method(functions.start)
    results = as_method(functions.results)
    find = as_method(websites.find)
    verify = as_method(websites.verify)
    summary = as_method(functions.summary)
    features = as_method(functions.features)

    @property
    def plot(self) -> Plot:
        """Pictures of an enriched frame: ``plot.status()``, ``.confidence()``, ``.sources()``."""
        from leads_pandas.plotting import Plot

        return Plot(self._frame)

    def __str__(self) -> str:
        # IPython's `?` shows it cut, above the docstring.
        return f"{_TITLE}: {plural(len(self._frame), 'row')}"

    def __repr__(self) -> str:
        return card_text(_TITLE, _rows(self._frame))

    def _repr_html_(self) -> str:
        return card_html(_TITLE, _rows(self._frame))


def _rows(frame: pd.DataFrame) -> list[tuple[str, str]]:
    """What can be said of a frame's leads without a request, and in no time; it never raises."""
    rows = [("rows", f"{len(frame):,}")]
    with contextlib.suppress(Exception):  # a card is no place to fail
        rows += _ids(frame)
    enriched = "enrichment_status" in frame.columns
    return [*rows, *(_LOOKS if enriched else _CALLS)]


def _ids(frame: pd.DataFrame) -> list[tuple[str, str]]:
    from leads_pandas.errors import LeadIdError
    from leads_pandas.frames.ids import lead_ids

    small = len(frame) <= _MOST_READ
    try:
        ids = lead_ids(frame if small else frame.iloc[:0])
    except LeadIdError as error:
        return [("lead IDs", error.what)]
    place = f"{'column' if ids.kind == 'column' else 'index level'} {ids.name!r}"
    if not small:
        return [("lead IDs", f"in {place}")]
    found = [("lead IDs", f"{len(ids.unique):,} in {place}")]
    for said, rows in (("without an ID", ids.rows_without), ("repeated", ids.duplicate_rows)):
        if rows:
            found.append((said, plural(rows, "row")))
    with contextlib.suppress(Exception):  # no key, or no store to be read
        found.append(("in the store already", f"{_stored(ids.unique):,}"))
    return found


def _stored(lead_ids: list[str]) -> int:
    """How many of the leads the store holds; a store is not made to find out."""
    from leads_pandas.home import home

    if not any(home().glob("*/store.sqlite3")):
        return 0
    from leads_pandas.session import opened

    with opened(None, keyless=True) as (_, store):
        return len(store.results.known(lead_ids))
