"""The command line's options: what may be typed, and the help that says so.

What lives here: the options that several commands share, the kinds of values, and how a help is
laid out, every refusal included that can be made before a file is opened. What commands do is in
`commands` and `local`.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from leads_pandas.cli import failures, files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Callback = Callable[..., Any]

_ENVIRONMENT = (
    ("LOCALLEADS_API_KEY", "the key of your account"),
    ("LOCALLEADS_BASE_URL", "another service, such as the local one"),
    ("LOCALLEADS_REQUESTS_PER_MINUTE", "request budget (100; 0: no limit)"),
    ("LEADS_PANDAS_HOME", "folder of the store (in your data folder)"),
    ("LEADS_PANDAS_ACCOUNT", "name of the account in the store"),
    ("LEADS_PANDAS_MAX_CREDITS", "cap of every call that has none of its own"),
)
_PATIENCE = click.FloatRange(min=0, min_open=True)
_EXAMPLES = (
    "leads-pandas demo",
    "leads-pandas find leads.csv -o found.parquet",
    "leads-pandas preview leads.csv",
    "leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50",
)


class Command(click.Command):
    """A command whose help ends with examples, each in one piece.

    Args:
        examples: lines that work as they stand.
        options: click's own.
    """

    def __init__(self, *, examples: Sequence[str], **options: Any) -> None:
        super().__init__(**options)
        self.examples = examples

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Put the examples at the end of the help."""
        write_examples(formatter, self.examples)


class Commands(click.Group):
    """All commands, in the order of their making; the help tells what holds for each."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        """The commands' names."""
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's
        """Put variables, exit codes and examples at the end of the help."""
        with formatter.section("Environment"):
            formatter.write_dl(_ENVIRONMENT)
        with formatter.section("Exit codes"):
            formatter.write_dl([(str(code), text) for code, text in failures.EXIT_CODES.items()])
        with formatter.section("Completion of words by the shell (also zsh_source, fish_source)"):
            formatter.write('  eval "$(_LEADS_PANDAS_COMPLETE=bash_source leads-pandas)"\n')
        write_examples(formatter, _EXAMPLES)


def write_examples(formatter: click.HelpFormatter, examples: Sequence[str]) -> None:
    """Write lines that are to be copied, as wide as they are."""
    with formatter.section("Examples" if len(examples) > 1 else "Example"):
        for one in examples:
            formatter.write(f"{'':{formatter.current_indent}}{one}\n")


class Input(click.Path):
    """A file of leads, of a kind that can be read; ``-`` is standard input."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse a file by its name."""
        try:
            files.kind(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


class Output(click.Path):
    """The Parquet file to write: a path or a URL."""

    name = "output"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse what is named as another kind of file."""
        if not value.strip():
            self.fail("name the Parquet file to write", param, ctx)
        suffix = Path(value).suffix.lower()
        if suffix in files.SUFFIXES and suffix != ".parquet":
            self.fail(f"the output is a Parquet file: call it OUT.parquet, not {value}", param, ctx)
        return expanded(value)


def expanded(path: str) -> str:
    """A path whose leading ``~`` is the user's folder; every other one as it was typed."""
    return str(Path(path).expanduser()) if path.startswith("~") else path


def _separator(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    text = {"tab": "\t", "\\t": "\t"}.get(given or "", given)
    if text is not None and len(text) != 1:
        raise click.BadParameter(f"{given!r} is not one character, or tab.")
    return text


def _encoding(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    try:
        "".encode(given or "utf-8")
    except LookupError:
        raise click.BadParameter(
            f"no encoding is called {given!r}; cp1252 and utf-16 are two."
        ) from None
    return given


def _renaming(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, str] | None:
    from leads_pandas.frames.columns import COLUMNS

    names = {}
    for text in given:
        column, _equals, name = text.partition("=")
        if not (column and name):
            raise click.BadParameter(f"{text!r} is not like email=work_email.")
        if column not in COLUMNS:
            raise click.BadParameter(f"{column!r} is none of {', '.join(COLUMNS)}.")
        names[column] = name
    return names or None


def together(*decorators: Callable[[_Callback], _Callback]) -> Callable[[_Callback], _Callback]:
    """Several options as one, in the order of the help."""

    def add(command: _Callback) -> _Callback:
        for one in reversed(decorators):
            command = one(command)
        return command

    return add


as_json = click.option(
    "--json", "as_json", is_flag=True, help="Answer as JSON on standard output, for programs."
)
file_options = together(
    click.option(
        "--sep", metavar="CHARACTER", callback=_separator, help="What separates cells: ';' or tab."
    ),
    click.option(
        "--encoding", metavar="NAME", callback=_encoding, help="Of a file of text (utf-8)."
    ),
)
on = click.option("--on", metavar="COLUMN", help="Column of the lead IDs (lead_id, leadId or id).")
website = click.option(
    "--website", metavar="COLUMN", help="Column of the websites to be read (website)."
)
allow_private = click.option(
    "--allow-private", is_flag=True, help="Also read websites on private addresses."
)
output = click.option(
    "-o",
    "--output",
    "path",
    metavar="OUT.parquet",
    type=Output(),
    help="Parquet file to write, also s3://, gs:// or abfss:// (else the store alone keeps the "
    "results).",
)
timeout = click.option(
    "--timeout",
    metavar="SECONDS",
    type=click.FloatRange(min=0),
    help="Wait no longer; the job goes on and can be resumed.",
)
on_conflict = click.option(
    "--on-conflict",
    type=click.Choice(["raise", "replace", "fill"]),
    default="raise",
    help="The file has such a column already: stop, replace it, or fill its gaps.",
)
nameservers = click.option(
    "--nameserver",
    "nameservers",
    metavar="HOST:PORT",
    multiple=True,
    help="Ask this name server whether a domain takes mail; may be repeated (the system's).",
)
how_to_read = together(
    click.option(
        "--max-pages", metavar="N", type=click.IntRange(1), help="Pages read per website (8)."
    ),
    click.option("--timeout", metavar="SECONDS", type=_PATIENCE, help="Patience per page (10)."),
    click.option(
        "--site-timeout", metavar="SECONDS", type=_PATIENCE, help="Patience per website (30)."
    ),
    click.option(
        "--concurrency", metavar="N", type=click.IntRange(1), help="Websites read at once (16)."
    ),
    click.option("--user-agent", metavar="TEXT", help="How it introduces itself to websites."),
    nameservers,
)
yes_to_cost = click.option(
    "--yes", is_flag=True, help="Agree to the cost beforehand; needed where nobody can be asked."
)
shape = together(
    click.option(
        "--emails",
        type=click.Choice(["best", "all"]),
        default="best",
        help="One row with the best email, or one per email.",
    ),
    click.option(
        "--min-confidence",
        metavar="X",
        type=click.FloatRange(0, 1),
        default=0.0,
        help="Leave out emails below it, 0 to 1.",
    ),
    click.option(
        "--rename",
        metavar="COLUMN=NAME",
        multiple=True,
        callback=_renaming,
        help="Another name for a new column; may be repeated.",
    ),
)


def refresh(words: str) -> Callable[[_Callback], _Callback]:
    """The option ``--refresh``, which means something else to each command."""
    return click.option("--refresh", is_flag=True, help=words)


def leads(command: _Callback) -> _Callback:
    """The leads of a command: it gets ``read``, which reads its file, and ``on``."""

    @functools.wraps(command)
    def with_file(*, file: str, sep: str | None, encoding: str | None, **given: Any) -> Any:
        read = functools.partial(files.read, file, given["on"], sep=sep, encoding=encoding)
        return command(read=read, **given)

    file = click.argument("file", metavar="FILE", type=Input())
    return together(file, on, file_options)(with_file)
