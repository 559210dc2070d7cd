"""The command line's options: what may be typed, and the help that says so.

What lives here: the options that several commands share, and every refusal that can be made before
a file is opened. What commands do is in `commands`, `websites` and `local`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from leads_pandas.cli import failures, files

_Callback = Callable[..., Any]

_ENVIRONMENT = {
    "LOCALLEADS_API_KEY": "the key of your account",
    "LOCALLEADS_BASE_URL": "another service, such as the local one",
    "LOCALLEADS_REQUESTS_PER_MINUTE": "request budget (100; 0: no limit)",
    "LEADS_PANDAS_HOME": "folder of the store (in your data folder)",
    "LEADS_PANDAS_ACCOUNT": "name of the account in the store",
    "LEADS_PANDAS_MAX_CREDITS": "cap of every call that has none of its own",
}


_EXAMPLES = (
    "leads-pandas demo",
    "leads-pandas find leads.csv -o found.parquet",
    "leads-pandas preview leads.csv",
    "leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50",
)
_WHOLE = 1_000  # characters of a sentence
_COMPLETION = 'eval "$(_LEADS_PANDAS_COMPLETE=bash_source leads-pandas)"'


class _Number(click.FloatRange):
    """A range that does not hold NaN, for which every comparison is false."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number that was typed."""
        if math.isnan(number := super().convert(value, param, ctx)):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return number


_PATIENCE = _Number(min=0, min_open=True)


class _Command(click.Command):
    """A command whose help is never cut, and ends as it is written: examples stay in one piece."""

    def get_short_help_str(self, limit: int = 0) -> str:  # noqa: ARG002 - click's name
        """What it does, in a whole sentence, which wraps."""
        return super().get_short_help_str(_WHOLE)

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the end of the help."""
        formatter.write(f"\n{self.epilog}")


class Commands(_Command, click.Group):
    """All commands, in the order in which they are added."""

    def list_commands(self, _: click.Context) -> list[str]:
        """The commands' names."""
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what holds for each command, then the end of the help."""
        codes = {str(code): text for code, text in failures.EXIT_CODES.items()}
        for title, lines in (("Environment", _ENVIRONMENT), ("Exit codes", codes)):
            with formatter.section(title):
                formatter.write_dl([*lines.items()], col_spacing=2)
        super().format_epilog(ctx, formatter)


def command(*examples: str) -> Callable[[_Callback], click.Command]:
    """A command whose help ends with lines that work as they stand."""
    title = "Examples" if len(examples) > 1 else "Example"
    return click.command(cls=_Command, epilog=_section(title, examples))


def about() -> str:
    """The end of the help of all commands."""
    completion = _section("Completion of words (also zsh_source, fish_source)", [_COMPLETION])
    return f"{completion}\n{_section('Examples', _EXAMPLES)}"


def _section(title: str, lines: Sequence[str]) -> str:
    return "\n  ".join((f"{title}:", *lines)) + "\n"


# Values


def readable(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Refuse a file of leads by its name; ``-`` is standard input."""
    try:
        if name is not None:
            files.kind(name)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None
    return name


def _writable(_: click.Context, __: click.Parameter, name: str | None) -> str | None:
    """Refuse what is named as another kind of file than Parquet."""
    if name is None:
        return None
    if not name.strip():
        raise click.BadParameter("name the Parquet file to write")
    if Path(name).suffix.lower() in set(files.SUFFIXES) - {".parquet"}:
        raise click.BadParameter(f"the output is a Parquet file: call it OUT.parquet, not {name}")
    return name


def _separator(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    text = {"tab": "\t", "\\t": "\t"}.get(given or "", given)
    if text is not None and len(text) != 1:
        raise click.BadParameter(f"{given!r} is not one character, or tab.")
    return text


def _encoding(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    try:
        "".encode(given or "utf-8")
    except LookupError:
        hint = "cp1252 and utf-16 are two"
        raise click.BadParameter(f"no encoding is called {given!r}; {hint}.") from None
    return given


def _renaming(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, str] | None:
    from leads_pandas.frames.columns import COLUMNS

    names = {}
    for text in given:
        column, _equals, name = text.partition("=")
        if column not in COLUMNS or not name:
            listed = ", ".join(COLUMNS)
            raise click.BadParameter(f"{text!r} is not COLUMN=NAME with one of {listed}.")
        names[column] = name
    return names or None


# Options


def together(*decorators: Callable[[_Callback], _Callback]) -> Callable[[_Callback], _Callback]:
    """Several options as one, in the order of the help."""
    return lambda command: functools.reduce(lambda done, add: add(done), decorators[::-1], command)


def option(*names: str, text: str, **given: Any) -> Callable[[_Callback], _Callback]:
    """An option with its help, as click takes it; a flag where nothing else is said of it."""
    return click.option(*names, help=text, **(given or {"is_flag": True}))


def number(
    name: str, least: int, most: int | None = None, *, text: str
) -> Callable[[_Callback], _Callback]:
    """An option that takes a whole number."""
    return option(name, metavar="N", type=click.IntRange(least, most), text=text)


as_json = option("--json", "as_json", text="Answer as JSON on standard output, for programs.")
file_options = together(
    option("--sep", metavar="CHARACTER", callback=_separator, text="Between cells: ';' or tab."),
    option("--encoding", metavar="NAME", callback=_encoding, text="Of a file of text (utf-8)."),
)
on = option("--on", metavar="COLUMN", text="Column of the lead IDs (lead_id, leadId or id).")
website = option("--website", metavar="COLUMN", text="Column of the websites (website).")
allow_private = option("--allow-private", text="Also read websites on private addresses.")


def output(
    text: str = "Parquet file to write, also s3://, gs:// or abfss:// (else the store alone keeps "
    "the results).",
) -> Callable[[_Callback], _Callback]:
    """The file to write."""
    names, kind = ("-o", "--output", "path"), click.Path()
    return option(*names, metavar="OUT.parquet", type=kind, callback=_writable, text=text)


timeout = option(
    "--timeout",
    metavar="SECONDS",
    type=_Number(min=0),
    text="Wait no longer; the job goes on and can be resumed.",
)
on_conflict = option(
    "--on-conflict",
    type=click.Choice(["raise", "replace", "fill"]),
    default="raise",
    text="The file has such a column already: stop, replace it, or fill its gaps.",
)
nameservers = option(
    *("--nameserver", "nameservers"),
    metavar="HOST:PORT",
    multiple=True,
    text="Ask this name server whether a domain takes mail; may be repeated (the system's).",
)
how_to_read = together(
    number("--max-pages", 1, text="Pages of one website (8)."),
    option("--timeout", metavar="SECONDS", type=_PATIENCE, text="Patience per page (10)."),
    option("--site-timeout", metavar="SECONDS", type=_PATIENCE, text="Per website (30)."),
    number("--concurrency", 1, text="Websites at once (16)."),
    option("--user-agent", metavar="TEXT", text="How it introduces itself to websites."),
    nameservers,
)
shape = together(
    option(
        "--emails",
        type=click.Choice(["best", "all"]),
        default="best",
        text="One row with the best email, or one per email.",
    ),
    option(
        "--min-confidence",
        metavar="X",
        type=_Number(0, 1),
        default=0.0,
        text="Leave out emails below it, 0 to 1.",
    ),
    option(
        "--rename",
        metavar="COLUMN=NAME",
        multiple=True,
        callback=_renaming,
        text="Another name for a new column; may be repeated.",
    ),
)
file = click.argument("file", metavar="FILE", type=click.Path(), callback=readable)


def leads(command: _Callback) -> _Callback:
    """The leads of a command: it gets ``read``, which reads its file, and ``on``."""

    @functools.wraps(command)
    def with_file(*, file: str, sep: str | None, encoding: str | None, **given: Any) -> Any:
        read = functools.partial(files.read, file, given["on"], sep=sep, encoding=encoding)
        return command(read=read, **given)

    return together(file, on, file_options)(with_file)
