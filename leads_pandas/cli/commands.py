"""The commands, but for those of the local service.

What lives here: from options to a public function and its answer, and the end of every command.
Nothing here asks the service or spends anything but through the public functions. What costs time
to import waits inside the commands.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import shell_complete

import leads_pandas
from leads_pandas.asking import agrees, ask_on_terminal, can_ask, say, take_leave
from leads_pandas.cli import failures, files, local, options, output
from leads_pandas.cli.failures import DOOR
from leads_pandas.display import plural
from leads_pandas.errors import EnrichmentDeclined, LeadsError, Way, at
from leads_pandas.interrupts import Stopped, Terminated, pass_on, terminated

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    _Read = Callable[[], pd.DataFrame]

# What an eval of a service that did not start gets: it fails, and what comes after it in a script
# does not reach an account that was set before.
_FAIL = "unset LOCALLEADS_API_KEY LOCALLEADS_BASE_URL; false"
_COMPLETION = "_LEADS_PANDAS_COMPLETE"


def main(words: Sequence[str]) -> int:
    """Run one command, and return its exit code, of `failures.EXIT_CODES`."""
    output.prepare()
    if instruction := os.environ.get(_COMPLETION):
        return shell_complete(program, {}, DOOR.name, _COMPLETION, instruction)
    code = failures.FAILED
    try:
        with at(DOOR):
            code = _run(words)
    finally:
        evaluated = words[:1] == ["serve"] and "--json" not in words
        ended = code in (failures.DONE, failures.INTERRUPTED, failures.TERMINATED)
        if evaluated and not ended and not sys.stdout.isatty():
            output.write(_FAIL)
        output.end()
    return code


def _run(words: Sequence[str]) -> int:
    try:
        context = program.make_context(DOOR.name, list(words))
        with output.messages_shown(), terminated(), context:
            answer = program.invoke(context)
        output.write(answer or "")
    except click.exceptions.Exit as end:  # the help or the version has been shown
        return end.exit_code
    except click.UsageError as refused:
        output.refuse(refused)
        error, code = LeadsError(refused.format_message()), failures.MISUSED
        return _told(error, code, words, kind=type(refused).__name__)
    except (KeyboardInterrupt, Stopped, Terminated) as interrupt:
        return _interrupted(interrupt, words)
    except BrokenPipeError:  # whoever read it has seen enough
        output.leave()
    except (LeadsError, OSError, ValueError, ImportError) as error:
        if isinstance(error, failures.DeclinedError | EnrichmentDeclined) and not error.ways:
            say(str(error))  # a decision, and no error
        else:
            output.complain(error)
        return _told(error, failures.exit_code(error), words)
    return failures.DONE


def _interrupted(interrupt: BaseException, words: Sequence[str]) -> int:
    """Say how things stand where nobody has, and end as the signal asks."""
    if not hasattr(interrupt, "farewell"):
        nothing = "nothing was spent"
        if isinstance(interrupt, Stopped):
            nothing += ", and nothing is left running"
        take_leave(interrupt, LeadsError("interrupted", nothing))
    goodbye: LeadsError = vars(interrupt)["farewell"]
    if isinstance(interrupt, KeyboardInterrupt) or interrupt.args == (signal.SIGINT,):
        return _told(goodbye, failures.INTERRUPTED, words, kind=KeyboardInterrupt.__name__)
    _told(goodbye, failures.TERMINATED, words, kind=Terminated.__name__)
    return pass_on(signal.SIGTERM)


def _told(error: Exception, code: int, words: Sequence[str], *, kind: str = "") -> int:
    """Tell a program as well what went wrong; the exit code comes back."""
    if "--json" in words:
        with contextlib.suppress(OSError):  # it is standard output that went wrong
            output.write(output.as_json(failures.as_data(error, code, kind)))
    return code


@click.group(
    cls=options.Commands,
    no_args_is_help=False,
    epilog=options.about(),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(package_name="leads_pandas", message=f"{DOOR.name} %(version)s")
def program() -> None:
    """Buy each lead's email once, from files of leads, and keep it as Parquet.

    A FILE of leads ends in .csv, .tsv, .jsonl (each also with .gz) or .parquet; - is CSV on
    standard input. Each command has a help and examples of its own: leads-pandas COMMAND --help
    """


@options.command(
    "leads-pandas preview leads.csv",
    "leads-pandas preview leads.jsonl --json",
    "cat leads.csv | leads-pandas preview -",
)
@options.leads
@options.option("--query-id", metavar="ID", text="Price the leads of this search instead.")
@options.option("--refresh", text="Count what the store holds as to be read again (free).")
@options.as_json
def preview(*, read: _Read, as_json: bool, **given: Any) -> str:
    """Show what enriching the leads would cost; nothing is spent."""
    return output.of_preview(leads_pandas.preview(read(), **given), in_json=as_json)


@options.command(
    "leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50",
    "leads-pandas enrich leads.parquet -o enriched.parquet --partial --yes",
    "leads-pandas enrich leads.tsv -o out.parquet --yes --rename email=work_email",
    "leads-pandas enrich leads.csv -o enriched.parquet --local",
)
@options.leads
@options.output()
@options.option("--query-id", metavar="ID", text="Hold the file's leads against this search.")
@options.number("--max-credits", 0, text="Never reserve more credits than this.")
@options.option("--partial", text="Enrich what fits, and say what is missing.")
@options.option("--yes", text="Agree to the cost beforehand; needed where nobody can be asked.")
@options.shape
@options.on_conflict
@options.option("--refresh", text="Read again what the store already holds (free).")
@options.timeout
@options.option("--local", "locally", text="Enrich without an account.")
@options.website
@options.allow_private
@options.as_json
def enrich(
    *,
    read: _Read,
    yes: bool,
    locally: bool,
    website: str | None,
    allow_private: bool,
    as_json: bool,
    **given: Any,
) -> str:
    """Buy the email of each lead once, and write the leads with it.

    It asks before credits are spent. Calling it again goes on where it stopped and buys nothing
    twice.

    Without an account, --local reads the leads' websites from this machine, with a service, a
    store and credits for this call alone: your key, settings and store are not touched, and only
    the file stays. A file without an ID column gets lead_id: row-1, row-2, ... Needs: pip install
    "leads_pandas[server]"
    """
    if locally:
        out = local.enriched(read(), website=website, allow_private=allow_private, **given)
        return output.of_frame(out, given["path"], in_json=as_json)
    if allow_private or website:
        raise click.UsageError(f"{'--website' if website else '--allow-private'} goes with --local")
    out = leads_pandas.enrich(read(), confirm=not yes, **given)
    return output.of_frame(out, given["path"], in_json=as_json)


@options.command(
    "leads-pandas results leads.csv -o enriched.parquet",
    "leads-pandas results leads.csv --emails all --min-confidence 0.5 --json",
)
@options.leads
@options.output()
@options.shape
@options.on_conflict
@options.option("--refresh", text="First read each lead again: one request each, free.")
@options.as_json
def results(*, read: _Read, as_json: bool, **given: Any) -> str:
    """Join what the store holds; no request, nothing spent."""
    out = leads_pandas.results(read(), **given)
    return output.of_frame(out, given["path"], in_json=as_json, bought=False)


@options.command("leads-pandas jobs", "leads-pandas jobs --json")
@options.as_json
def jobs(*, as_json: bool) -> str:
    """List the account's running jobs."""
    none = "no job is running"
    return output.of_list(leads_pandas.jobs(), output.JOBS, none, in_json=as_json)


@options.command("leads-pandas runs", "leads-pandas runs --json")
@options.as_json
def runs(*, as_json: bool) -> str:
    """List the runs of this machine's store, newest first; no request."""
    return output.of_list(leads_pandas.runs(), output.RUNS, "no run yet", in_json=as_json)


@options.command(
    "leads-pandas resume 5f0c2a1b9d3e -o enriched.parquet",
    "leads-pandas resume \"$(leads-pandas runs | awk 'NR == 2 {print $1}')\"",
)
@click.argument("run_or_job", metavar="RUN_OR_JOB")
@options.output()
@options.shape
@options.timeout
@options.as_json
def resume(*, run_or_job: str, as_json: bool, **given: Any) -> str:
    """Go on with a run: wait, read what is missing, write its leads.

    RUN_OR_JOB is an id that leads-pandas runs or jobs shows. Nothing is started. The second example
    goes on with the newest run.
    """
    out = leads_pandas.resume(run_or_job, **given)
    return output.of_frame(out, given["path"], in_json=as_json)


@options.command(
    "leads-pandas resolve 5f0c2a1b9d3e --job cm9job001",
    "leads-pandas resolve 5f0c2a1b9d3e --not-started",
)
@click.argument("run_id", metavar="RUN")
@options.option("--job", metavar="ID", text="It went through as this job.")
@options.option("--not-started", text="It never happened.")
@options.as_json
def resolve(*, run_id: str, job: str | None, not_started: bool, as_json: bool) -> str:
    """Settle a start that got no answer, by your own word.

    Compare leads-pandas jobs and the account's credits first. A start that never happened gives
    its leads free; of one that went through as a job, resume reads the results.
    """
    if (job is None) == (not not_started):
        raise click.UsageError("name the --job that it became, or pass --not-started")
    run = leads_pandas.EnrichmentRun(run_id)
    run.resolve(job_id=job, not_started=not_started)
    if as_json:
        return output.as_json({"run_id": run_id, "job_id": job, "not_started": not_started})
    if job is None:
        return f"run {run_id}: its leads are free to be enriched again"
    return f"run {run_id}: it is job {job}; leads-pandas resume {run_id} reads its results"


@options.command(
    "leads-pandas forget cm9lead001 cm9lead002",
    "leads-pandas forget --everything --yes",
)
@click.argument("leads", metavar="[LEAD]...", nargs=-1)
@options.option("--everything", text="Every lead of the account.")
@options.option("--yes", text="Do not ask.")
@options.as_json
def forget(*, leads: tuple[str, ...], everything: bool, yes: bool, as_json: bool) -> str:
    """Erase results from the store for good.

    What was bought stays known, so that it is not bought again. Files that you wrote stay as they
    are.
    """
    if bool(leads) == everything:
        raise click.UsageError("name the leads to forget, or pass --everything")
    if not yes:
        _confirm_forgetting(
            "every lead of this account" if everything else plural(len(set(leads)), "lead")
        )
    count = leads_pandas.forget(leads or None, everything=everything)
    return output.as_json({"forgotten": count}) if as_json else f"{plural(count, 'result')} erased"


def _confirm_forgetting(what: str) -> None:
    unharmed = "nothing was erased"
    if not can_ask():
        raise failures.DeclinedError("nobody can be asked here", unharmed, Way("confirm"))
    try:
        answer = ask_on_terminal(
            f"What the store holds of {what} is erased for good.\n"
            "Reading it again costs a request for each lead. Files that you wrote stay.\n"
            "Erase? [y/N] "
        )
    except KeyboardInterrupt as interrupt:
        take_leave(interrupt, LeadsError("interrupted", unharmed))
        raise
    if not agrees(answer):
        raise failures.DeclinedError("not confirmed", unharmed)


@options.command(
    "leads-pandas find leads.csv -o found.parquet",
    "leads-pandas find leads.csv --emails all --max-pages 3 --json",
)
@options.leads
@options.website
@options.output()
@options.shape
@options.on_conflict
@options.how_to_read
@options.allow_private
@options.as_json
def find(*, read: _Read, as_json: bool, **given: Any) -> str:
    """Find emails on the leads' own websites, free of charge.

    The websites are read from this machine, without an account; robots.txt is obeyed. Calling it
    again goes on where it stopped. To buy those that were not found, and only those, enrich the
    file that it wrote with --on-conflict fill. What may be read and kept is for you to know. Needs:
    pip install "leads_pandas[find]"
    """
    chosen = {name: value for name, value in given.items() if value not in (None, ())}
    out = leads_pandas.find(read(), **chosen)
    return output.of_frame(out, given["path"], in_json=as_json)


@options.command("leads-pandas find leads.csv -o f.parquet && leads-pandas verify f.parquet")
@options.file
@options.file_options
@options.option("--email", metavar="COLUMN", default="email", text="Column of the emails (email).")
@options.output("Parquet file to write.")
@options.nameservers
@options.as_json
def verify(
    *,
    file: str,
    sep: str | None,
    encoding: str | None,
    email: str,
    path: str | None,
    nameservers: tuple[str, ...],
    as_json: bool,
) -> str:
    """Say which emails can be delivered: by syntax, and whether the domain takes mail.

    Each domain is asked for once, in the DNS; no mail server is spoken to. Needs: pip install
    "leads_pandas[find]"
    """
    from leads_pandas.frames import parquet
    from leads_pandas.frames.target import check_target, write

    frame = files.read(file, None, sep=sep, encoding=encoding)
    target = None if path is None else check_target(path)
    out = leads_pandas.verify(frame, email, nameservers=nameservers or None)
    if target is not None:
        table = parquet.described(parquet.again(out), out.attrs.get("leads", {}), out.attrs)
        write(table, target)
    return output.of_deliverable(out, email, path, in_json=as_json)


for _one in (
    *(preview, enrich, results, jobs, runs, resume, resolve, forget),
    *(find, verify, local.serve, local.demo),
):
    program.add_command(_one)
