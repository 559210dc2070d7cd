"""The command line: files in, the public functions, Parquet out.

What lives here: the commands, what they put away when they are stopped, and the exit code. Nothing
here asks the service or spends anything but through the public functions. What costs time to import
waits inside the commands.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leads_pandas.cli import answers, files, streams
from leads_pandas.cli.arguments import parse, server_options
from leads_pandas.display import plural
from leads_pandas.errors import EnrichmentDeclined, LeadsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Generator, Sequence
    from types import FrameType

    import pandas as pd

    from leads_pandas.finding.sites import Unread
    from leads_pandas.server import LocalServer

_SERVED = ("website", "name", "query_id")  # what the local service is told beside the ID

_DONE, _FAILED, _MISUSED, _INTERRUPTED = 0, 1, 2, 130

# What an eval of a service that did not start gets: it fails, and what comes after it in a script
# does not reach an account that was set before.
_FAIL = "unset LOCALLEADS_API_KEY LOCALLEADS_BASE_URL; false"


class _DeclinedError(Exception):
    """Somebody was asked and did not say yes; the message says what has not happened."""


class _Stopped(BaseException):
    """SIGINT or SIGTERM has come while something must be put away first.

    No KeyboardInterrupt: a run says on that one how it can be resumed, and what is put away here
    cannot.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: the arguments; None: those of the process.

    Returns:
        The exit code: 0 done, 1 an error (one line on standard error), 130 interrupted.

    Raises:
        SystemExit: wrong use (code 2), or help was asked for (code 0).
    """
    streams.prepare()
    code: object = _FAILED
    try:
        code = done = _run(argv)
    except SystemExit as refused:
        code = refused.code
        raise
    finally:
        words = sys.argv[1:] if argv is None else list(argv)
        evaluated = words[:1] == ["serve"] and "--json" not in words
        if evaluated and code in (_FAILED, _MISUSED) and not sys.stdout.isatty():
            streams.write(_FAIL)
    return done


def _run(argv: Sequence[str] | None) -> int:
    try:
        arguments = parse(argv)
        with streams.messages_shown():
            answer = _COMMANDS[arguments.command](arguments)
        streams.write(answer)
    except _DeclinedError as declined:
        streams.say(str(declined))
        return _FAILED
    except _Stopped as stopped:
        if stopped.number == signal.SIGTERM:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.raise_signal(signal.SIGTERM)
            return 128 + signal.SIGTERM  # a container's first process outlives it
        streams.say("interrupted; nothing was spent, and nothing is left running")
        return _INTERRUPTED
    except KeyboardInterrupt:
        return _INTERRUPTED
    except (LeadsError, OSError, ValueError) as error:
        streams.complain(error)
        return _FAILED
    return _DONE


def _preview(arguments: argparse.Namespace) -> str:
    import leads_pandas

    frame = files.read(arguments.file, arguments.on)
    preview = leads_pandas.preview(
        frame, on=arguments.on, query_id=arguments.query_id, refresh=arguments.refresh
    )
    return answers.of_preview(preview, in_json=arguments.json)


def _enrich(arguments: argparse.Namespace) -> str:
    frame = files.read(arguments.file, arguments.on)
    if arguments.local:
        return answers.of_frame(
            _enriched_locally(frame, arguments), arguments.output, in_json=arguments.json
        )
    can_ask = _can_ask()
    confirm = False if arguments.yes else can_ask or (lambda _: False)
    try:
        out = _enriched(frame, arguments, confirm=confirm)
    except EnrichmentDeclined as error:
        if can_ask:
            raise _DeclinedError(
                "not confirmed; nothing was started and nothing was spent"
            ) from None
        if error.preview is None:
            raise
        price = plural(error.preview.estimated_credits, "credit")
        raise EnrichmentDeclined(
            f"this would cost {price}, and nobody can be asked here; nothing was started and "
            "nothing was spent: pass --yes to agree beforehand",
            preview=error.preview,
        ) from None
    return answers.of_frame(out, arguments.output, in_json=arguments.json)


def _enriched(frame: pd.DataFrame, arguments: argparse.Namespace, **options: Any) -> pd.DataFrame:
    import leads_pandas

    with _interrupts_in_our_words():
        return leads_pandas.enrich(
            frame,
            arguments.output,
            query_id=arguments.query_id,
            max_credits=arguments.max_credits,
            partial=arguments.partial,
            emails=arguments.emails,
            min_confidence=arguments.min_confidence,
            rename=dict(arguments.rename) or None,
            on_conflict=arguments.on_conflict,
            refresh=arguments.refresh,
            timeout=arguments.timeout,
            **({"on": arguments.on} | options),
        )


def _enriched_locally(frame: pd.DataFrame, arguments: argparse.Namespace) -> pd.DataFrame:
    """Enrich a frame by reading its websites: a service, a store and settings for this call alone.

    Raises:
        ValueError: there is no column ``website``.
        LeadIdError: the IDs cannot be used.
    """
    from leads_pandas.frames.ids import ID_NAMES
    from leads_pandas.server.settings import own_settings

    on = arguments.on
    if on is None and not {*frame.columns, *frame.index.names}.intersection(ID_NAMES):
        on = "lead_id"
        frame = frame.assign(lead_id=[f"row-{n}" for n in range(1, len(frame) + 1)])
    leads = _leads_of(frame, on)
    with (
        _stoppable(),
        own_settings(),
        _server(
            leads,
            credits=len(leads),
            requests_per_minute=0,
            allow_private=arguments.allow_private,
        ) as server,
        server.client() as client,
    ):
        out = _enriched(frame, arguments, on=on, client=client)
        _tell_unread(server.unread)
        return out


def _tell_unread(unread: Unread) -> None:
    """Say why some leads have no email: nobody could look."""
    if unread.websites:
        hint = "; --allow-private reads those on private addresses" if unread.private else ""
        count = plural(unread.websites, "website")
        streams.say(f"{count} could not be read, such as {unread.example}{hint}")


def _leads_of(frame: pd.DataFrame, on: str | None) -> list[dict[str, str]]:
    """The leads of a frame as the local service wants them, each once.

    Raises:
        ValueError: there is no column ``website``.
        LeadIdError: the IDs cannot be used.
    """
    from leads_pandas.frames.ids import lead_ids

    if "website" not in frame.columns:
        raise ValueError(
            "the local service reads the leads' websites, and the file has no column called "
            f"'website'; it has {', '.join(repr(str(name)) for name in frame.columns)}"
        )
    ids = lead_ids(frame, on)
    leads = {one: {"lead_id": one, "website": ""} for one in ids.unique}
    for name in _SERVED:
        if name not in frame.columns:
            continue
        for code, value in zip(ids.codes.tolist(), frame[name].tolist(), strict=True):
            text = files.as_text(value)
            if code >= 0 and isinstance(text, str) and text.strip():
                lead = leads[ids.unique[code]]
                lead[name] = lead.get(name) or text.strip()
    return list(leads.values())


def _results(arguments: argparse.Namespace) -> str:
    import leads_pandas

    out = leads_pandas.results(
        files.read(arguments.file, arguments.on),
        arguments.output,
        on=arguments.on,
        emails=arguments.emails,
        min_confidence=arguments.min_confidence,
        rename=dict(arguments.rename) or None,
        on_conflict=arguments.on_conflict,
        refresh=arguments.refresh,
    )
    return answers.of_frame(out, arguments.output, in_json=arguments.json, bought=False)


def _resume(arguments: argparse.Namespace) -> str:
    import leads_pandas

    with _interrupts_in_our_words():
        out = leads_pandas.resume(
            arguments.id,
            arguments.output,
            emails=arguments.emails,
            min_confidence=arguments.min_confidence,
            rename=dict(arguments.rename) or None,
            timeout=arguments.timeout,
        )
    return answers.of_frame(out, arguments.output, in_json=arguments.json)


def _jobs(arguments: argparse.Namespace) -> str:
    import leads_pandas

    return answers.of_jobs(leads_pandas.jobs(), in_json=arguments.json)


def _runs(arguments: argparse.Namespace) -> str:
    import leads_pandas

    return answers.of_runs(leads_pandas.runs(), in_json=arguments.json)


def _forget(arguments: argparse.Namespace) -> str:
    import leads_pandas

    what = (
        "every lead of this account"
        if arguments.everything
        else plural(len(set(arguments.leads)), "lead")
    )
    if not arguments.yes:
        _confirm_forgetting(what)
    count = leads_pandas.forget(
        None if arguments.everything else arguments.leads, everything=arguments.everything
    )
    if arguments.json:
        return answers.as_json({"forgotten": count})
    return f"{plural(count, 'result')} erased"


def _confirm_forgetting(what: str) -> None:
    """Ask before results are erased.

    Raises:
        LeadsError: nobody can be asked.
        _DeclinedError: they are to stay.
    """
    from leads_pandas.progress import ask_on_terminal

    if not _can_ask():
        raise LeadsError("nobody can be asked here, so nothing was erased: pass --yes to agree")
    try:
        answer = ask_on_terminal(
            f"What the store holds of {what} is erased for good.\n"
            "Reading it again costs a request for each lead. Files that you wrote stay.\n"
            "Erase? [y/N] "
        )
    except KeyboardInterrupt:
        streams.say("interrupted; nothing was erased")
        raise
    if answer.strip().lower() not in ("y", "yes"):
        raise _DeclinedError("not confirmed; nothing was erased")


def _can_ask() -> bool:
    # Whoever is asked must see the question as well.
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def _serve(arguments: argparse.Namespace) -> str:
    leads = None
    if arguments.leads is not None:
        leads = _leads_to_serve(arguments.leads)
    try:
        with _stoppable(), _server(leads, **server_options(arguments)) as server:
            streams.write(_variables(server, as_json=arguments.json))
            if not sys.stdout.isatty():
                # So that eval "$(leads-pandas serve ... &)" does not wait for the service's end.
                streams.leave()
            what = "" if leads is None else f" {plural(len(leads), 'lead')}"
            end = "Ctrl-C" if sys.stdout.isatty() else f"Ctrl-C or kill {os.getpid()}"
            streams.say(f"serving{what} at {server.base_url}; {end} ends it")
            server.wait()
    except _Stopped as stopped:
        if stopped.number != signal.SIGINT:
            raise
    return ""


def _leads_to_serve(name: str) -> list[dict[str, str]]:
    from leads_pandas.frames.ids import ID_NAMES

    frame = files.read(name, text=_SERVED)
    if not set(ID_NAMES).intersection(frame.columns):
        names = f"{', '.join(ID_NAMES[:-1])} or {ID_NAMES[-1]}"
        raise ValueError(f"the leads need a column called {names}, and the file has none")
    return _leads_of(frame, None)


def _variables(server: LocalServer, *, as_json: bool) -> str:
    variables = {"LOCALLEADS_BASE_URL": server.base_url, "LOCALLEADS_API_KEY": server.api_key}
    if as_json:
        return answers.as_json(variables)
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _demo(arguments: argparse.Namespace) -> str:
    with _stoppable(), _extra_needed():
        from leads_pandas.cli.demo import run_demo

        stream = sys.stderr if arguments.json else sys.stdout
        try:
            path = run_demo(Path(arguments.output), stream=stream)
        except BrokenPipeError:  # whoever read it has seen enough
            streams.leave()
            return ""
    return answers.as_json({"path": str(path)}) if arguments.json else ""


_COMMANDS: dict[str, Callable[[argparse.Namespace], str]] = {
    "preview": _preview,
    "enrich": _enrich,
    "results": _results,
    "jobs": _jobs,
    "runs": _runs,
    "resume": _resume,
    "forget": _forget,
    "serve": _serve,
    "demo": _demo,
}


@contextlib.contextmanager
def _interrupts_in_our_words() -> Generator[None]:
    """Let what a run says when it is interrupted name commands, as every message here does."""
    from leads_pandas import progress

    before = progress.say
    progress.say = streams.say_of_library
    try:
        yield
    finally:
        progress.say = before


@contextlib.contextmanager
def _stoppable() -> Generator[None]:
    """Turn SIGINT and SIGTERM into `_Stopped` for a while, but for one that is to be ignored."""
    before: dict[signal.Signals, Any] = {}

    def stop(number: int, _: FrameType | None) -> None:
        raise _Stopped(number)

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _server(leads: list[dict[str, str]] | None, **options: Any) -> Generator[LocalServer]:
    """The local service, from here until the end of the block."""
    with _extra_needed():
        from leads_pandas.server import LocalServer

        server = LocalServer(leads, **options)
    with server:
        yield server


@contextlib.contextmanager
def _extra_needed() -> Generator[None]:
    """Name the extra where a package of the local service is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("", "leads_pandas"):
            raise
        raise LeadsError(
            f"the local service needs {error.name}, which is not installed: "
            'pip install "leads_pandas[server]"'
        ) from None
