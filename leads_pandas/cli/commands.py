"""The commands that work with an account and its store.

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

from leads_pandas.cli import failures, local, options, output, websites
from leads_pandas.display import plural
from leads_pandas.errors import ConfigurationError, EnrichmentDeclined, LeadsError, Way, at
from leads_pandas.interrupts import Stopped, pass_on

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    import pandas as pd

    from leads_pandas.models import CostPreview

    _Read = Callable[[], pd.DataFrame]

# What an eval of a service that did not start gets: it fails, and what comes after it in a script
# does not reach an account that was set before.
_FAIL = "unset LOCALLEADS_API_KEY LOCALLEADS_BASE_URL; false"
_COMPLETION = "_LEADS_PANDAS_COMPLETE"


class _DeclinedError(Exception):
    """Somebody was asked and did not say yes; the message says what has not happened."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


def main(words: Sequence[str]) -> int:
    """Run one command.

    Args:
        words: its arguments.

    Returns:
        The exit code, of `failures.EXIT_CODES`.
    """
    output.prepare()
    with at(failures.DOOR):
        return _main(words)


def _main(words: Sequence[str]) -> int:
    if instruction := os.environ.get(_COMPLETION):
        return shell_complete(program, {}, failures.DOOR.name, _COMPLETION, instruction)
    code = failures.FAILED
    try:
        code = _run(words)
    finally:
        evaluated = words[:1] == ["serve"] and "--json" not in words
        ended = code in (failures.DONE, failures.INTERRUPTED, failures.TERMINATED)
        if evaluated and not ended and not sys.stdout.isatty():
            output.write(_FAIL)
        output.end()
    return code


def _run(words: Sequence[str]) -> int:
    in_json = "--json" in words
    try:
        with (
            output.messages_shown(),
            program.make_context(failures.DOOR.name, list(words)) as context,
        ):
            answer = program.invoke(context)
        output.write(answer or "")
    except click.exceptions.Exit as end:  # the help or the version has been shown
        return end.exit_code
    except click.UsageError as refused:
        context = refused.ctx or click.Context(program, info_name=failures.DOOR.name)
        output.refuse(context.get_usage(), context.command_path, refused.format_message())
        return _told(refused, failures.MISUSED, in_json=in_json)
    except _DeclinedError as declined:
        output.say(str(declined))
        return _told(declined, declined.code, in_json=in_json)
    except Stopped as stopped:
        if stopped.number == signal.SIGTERM:
            return pass_on(signal.SIGTERM)
        output.say("interrupted; nothing was spent, and nothing is left running")
        return _told(KeyboardInterrupt("interrupted"), failures.INTERRUPTED, in_json=in_json)
    except KeyboardInterrupt:
        return _told(KeyboardInterrupt("interrupted"), failures.INTERRUPTED, in_json=in_json)
    except BrokenPipeError:  # whoever read it has seen enough
        output.leave()
    except (LeadsError, OSError, ValueError) as error:
        output.complain(error)
        return _told(error, failures.exit_code(error), in_json=in_json)
    return failures.DONE


def _told(error: BaseException, code: int, *, in_json: bool) -> int:
    """Tell a program as well what went wrong; the exit code comes back."""
    if in_json:
        with contextlib.suppress(OSError):  # it is standard output that went wrong
            output.write(output.as_json(failures.as_data(error, code)))
    return code


@click.group(
    cls=options.Commands,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(package_name="leads_pandas", message=f"{failures.DOOR.name} %(version)s")
def program() -> None:
    """Buy each lead's email once, from files of leads, and keep it as Parquet.

    A FILE of leads ends in .csv, .tsv, .jsonl (each also with .gz) or .parquet; - is CSV on
    standard input. Each command has a help and examples of its own: leads-pandas COMMAND --help
    """


@program.command(
    cls=options.Command,
    examples=(
        "leads-pandas preview leads.csv",
        "leads-pandas preview leads.jsonl --json",
        "cat leads.csv | leads-pandas preview -",
    ),
)
@options.leads
@click.option("--query-id", metavar="ID", help="Price the leads of this search instead.")
@options.refresh("Count what the store already holds as to be read again (free).")
@options.as_json
def preview(*, read: _Read, as_json: bool, **given: Any) -> str:
    """Show what enriching the leads would cost; nothing is spent."""
    import leads_pandas

    return output.of_preview(leads_pandas.preview(read(), **given), in_json=as_json)


@program.command(
    cls=options.Command,
    examples=(
        "leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50",
        "leads-pandas enrich leads.parquet -o enriched.parquet --partial --yes",
        "leads-pandas enrich leads.tsv -o out.parquet --yes --rename email=work_email",
        "leads-pandas enrich leads.csv -o enriched.parquet --local",
    ),
)
@options.leads
@options.output
@click.option("--query-id", metavar="ID", help="Hold the file's leads against this search.")
@click.option(
    "--max-credits",
    metavar="N",
    type=click.IntRange(0),
    help="Never reserve more credits than this.",
)
@click.option("--partial", is_flag=True, help="Enrich what fits, and say what is missing.")
@options.yes_to_cost
@options.shape
@options.on_conflict
@options.refresh("Read again what the store already holds (free).")
@options.timeout
@click.option("--local", "locally", is_flag=True, help="Enrich without an account.")
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
    import leads_pandas

    if locally:
        out = local.enriched(read(), website=website, allow_private=allow_private, **given)
        return output.of_frame(out, given["path"], in_json=as_json)
    if allow_private or website:
        raise click.UsageError(f"{'--website' if website else '--allow-private'} goes with --local")
    frame, can_ask = read(), _can_ask()
    try:
        out = leads_pandas.enrich(frame, confirm=False if yes else _agreed, **given)
    except EnrichmentDeclined as error:
        if can_ask:
            raise _DeclinedError(
                "not confirmed; nothing was started and nothing was spent", failures.PRICE
            ) from None
        if error.preview is None:
            raise
        price = plural(error.preview.estimated_credits, "credit")
        raise EnrichmentDeclined(
            f"this would cost {price}, and nobody can be asked here",
            "nothing was started and nothing was spent",
            Way("confirm"),
            preview=error.preview,
        ) from None
    return output.of_frame(out, given["path"], in_json=as_json)


def _agreed(price: CostPreview) -> bool:
    if not _can_ask():
        return False
    output.show(str(price))
    return output.asked("Enrich?")


def _can_ask() -> bool:
    # Whoever is asked must see the question as well.
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


@program.command(
    cls=options.Command,
    examples=(
        "leads-pandas results leads.csv -o enriched.parquet",
        "leads-pandas results leads.csv --emails all --min-confidence 0.5 --json",
    ),
)
@options.leads
@options.output
@options.shape
@options.on_conflict
@options.refresh("First read each lead again: one request each, free.")
@options.as_json
def results(*, read: _Read, as_json: bool, **given: Any) -> str:
    """Join what the store holds; no request, nothing spent."""
    import leads_pandas

    with _account_is_enough():
        out = leads_pandas.results(read(), **given)
    return output.of_frame(out, given["path"], in_json=as_json, bought=False)


@contextlib.contextmanager
def _account_is_enough() -> Generator[None]:
    """Say where no key is set that what only reads the store needs none."""
    try:
        yield
    except ConfigurationError as error:
        account = (
            "set LEADS_PANDAS_ACCOUNT to the account's name: what is in the store needs no key"
        )
        error.ways += (Way("do", {"what": account}),)
        raise


@program.command(cls=options.Command, examples=("leads-pandas jobs", "leads-pandas jobs --json"))
@options.as_json
def jobs(*, as_json: bool) -> str:
    """List the account's running jobs."""
    import leads_pandas

    return output.of_jobs(leads_pandas.jobs(), in_json=as_json)


@program.command(cls=options.Command, examples=("leads-pandas runs", "leads-pandas runs --json"))
@options.as_json
def runs(*, as_json: bool) -> str:
    """List the runs of this machine's store, newest first; no request."""
    import leads_pandas

    with _account_is_enough():
        return output.of_runs(leads_pandas.runs(), in_json=as_json)


@program.command(
    cls=options.Command,
    examples=(
        "leads-pandas resume 5f0c2a1b9d3e -o enriched.parquet",
        "leads-pandas resume \"$(leads-pandas runs | awk 'NR == 2 {print $1}')\"",
    ),
)
@click.argument("run_or_job", metavar="RUN_OR_JOB")
@options.output
@options.shape
@options.timeout
@options.as_json
def resume(*, run_or_job: str, as_json: bool, **given: Any) -> str:
    """Go on with a run: wait, read what is missing, write its leads.

    RUN_OR_JOB is an id that leads-pandas runs or jobs shows. Nothing is started. The second example
    goes on with the newest run.
    """
    import leads_pandas

    out = leads_pandas.resume(run_or_job, **given)
    return output.of_frame(out, given["path"], in_json=as_json)


@program.command(
    cls=options.Command,
    examples=(
        "leads-pandas resolve 5f0c2a1b9d3e --job cm9job001",
        "leads-pandas resolve 5f0c2a1b9d3e --not-started",
    ),
)
@click.argument("run_id", metavar="RUN")
@click.option("--job", metavar="ID", help="It went through as this job.")
@click.option("--not-started", is_flag=True, help="It never happened.")
@options.as_json
def resolve(*, run_id: str, job: str | None, not_started: bool, as_json: bool) -> str:
    """Settle a start that got no answer, by your own word.

    Compare leads-pandas jobs and the account's credits first. A start that never happened gives
    its leads free; of one that went through as a job, resume reads the results.
    """
    import leads_pandas

    if (job is None) == (not not_started):
        raise click.UsageError("name the --job that it became, or pass --not-started")
    run = leads_pandas.EnrichmentRun(run_id)
    run.resolve(job_id=job, not_started=not_started)
    if as_json:
        return output.as_json({"run_id": run_id, "job_id": job, "not_started": not_started})
    if job is None:
        return f"run {run_id}: its leads are free to be enriched again"
    return f"run {run_id}: it is job {job}; leads-pandas resume {run_id} reads its results"


@program.command(
    cls=options.Command,
    examples=(
        "leads-pandas forget cm9lead001 cm9lead002",
        "leads-pandas forget --everything --yes",
    ),
)
@click.argument("leads", metavar="[LEAD]...", nargs=-1)
@click.option("--everything", is_flag=True, help="Every lead of the account.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
def forget(*, leads: tuple[str, ...], everything: bool, yes: bool, as_json: bool) -> str:
    """Erase results from the store for good.

    What was bought stays known, so that it is not bought again. Files that you wrote stay as they
    are.
    """
    import leads_pandas

    if bool(leads) == everything:
        raise click.UsageError("name the leads to forget, or pass --everything")
    if not yes:
        _confirm_forgetting(
            "every lead of this account" if everything else plural(len(set(leads)), "lead")
        )
    with _account_is_enough():
        count = leads_pandas.forget(leads or None, everything=everything)
    return output.as_json({"forgotten": count}) if as_json else f"{plural(count, 'result')} erased"


def _confirm_forgetting(what: str) -> None:
    """Ask before results are erased.

    Raises:
        LeadsError: nobody can be asked.
        _DeclinedError: they are to stay.
    """
    if not _can_ask():
        raise LeadsError("nobody can be asked here", "nothing was erased", Way("confirm"))
    output.show(
        f"What the store holds of {what} is erased for good.\n"
        "Reading it again costs a request for each lead. Files that you wrote stay."
    )
    try:
        agreed = output.asked("Erase?")
    except KeyboardInterrupt:
        output.say("interrupted; nothing was erased")
        raise
    if not agreed:
        raise _DeclinedError("not confirmed; nothing was erased", failures.FAILED)


program.add_command(websites.find)
program.add_command(websites.verify)
program.add_command(local.serve)
program.add_command(local.demo)
