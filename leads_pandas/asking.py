"""What a person is told and asked in words, above a bar where there is one: consent, above all.

Nothing here decides what is bought: it is shown a price, and says whether somebody agreed to it.
"""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from leads_pandas.display import clean, is_terminal, plural, terminal_width, wrapped
from leads_pandas.errors import EnrichmentDeclined, Way, door
from leads_pandas.progress import bar_class, in_notebook

if TYPE_CHECKING:
    from collections.abc import Callable

    from leads_pandas.errors import LeadsError
    from leads_pandas.models import CostPreview

_QUESTION = "Enrich? [y/N] "


def say(message: str) -> None:
    """Say what must be seen, whatever becomes of the log, above a bar where there is one."""
    if sys.stderr is None:
        return
    unread = contextlib.suppress(AttributeError, OSError, ValueError)
    with unread, bar_class().external_write_mode(file=sys.stderr):
        print(spoken(message), file=sys.stderr, flush=True)


def take_leave(interrupt: BaseException, goodbye: LeadsError) -> None:
    """Say on an interrupt how things stand, and leave it there for whoever catches it."""
    say(str(goodbye))
    vars(interrupt)["farewell"] = goodbye


def spoken(message: str) -> str:
    """A message under the program's name, on a terminal with breaks between its words."""
    text = wrapped(clean(f"{door().name}: {message}"), terminal_width(sys.stderr))
    return text.replace("\xa0", " ")  # what is to be copied is never broken


def can_ask() -> bool:
    """Whether there is somebody on a terminal, who sees what is asked as well."""
    return is_terminal(sys.stdin) and is_terminal(sys.stderr)


def ask_on_terminal(question: str) -> str:
    """Ask on the terminal, in the place of a bar that may be there; nothing typed is no answer."""
    answer = ""
    with bar_class().external_write_mode(file=sys.stderr):
        try:
            print(question, end="", file=sys.stderr, flush=True)
            answer = sys.stdin.readline()
        finally:
            if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D
                print(file=sys.stderr, flush=True)
    return answer


def consent(confirm: bool | Callable[[CostPreview], bool]) -> Callable[[CostPreview], None] | None:
    """How the user is asked before credits are spent; None: not at all."""
    if confirm is False:
        return None

    def ask(preview: CostPreview) -> None:
        agreed = confirm(preview) if callable(confirm) else _ask(preview)
        if agreed is not True:
            price = plural(preview.estimated_credits, "credit")
            raise EnrichmentDeclined(
                f"this would cost {price}, and nobody can be asked here"
                if agreed is None
                else "not confirmed",
                "nothing was started and nothing was spent",
                *([Way("confirm")] if agreed is None else []),
                preview=preview,
            )

    return ask


def _ask(preview: CostPreview) -> bool | None:
    """What a person answers; None where there is nobody to be asked."""
    if in_notebook():
        print(preview)
        try:
            answer = input(_QUESTION)
        except (EOFError, RuntimeError):  # a kernel whose front end cannot be asked
            return None
    elif can_ask():
        answer = ask_on_terminal(f"{preview}\n{_QUESTION}")
    else:
        return None
    return agrees(answer)


def agrees(answer: str) -> bool:
    """Whether what was typed is a yes."""
    return answer.strip().lower() in ("y", "yes")
