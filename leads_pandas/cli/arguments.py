"""The command line's arguments: what may be typed, and the help that says so.

What lives here: commands, options and their help, and every refusal that can be made before a file
is opened. What the commands do is in `cli`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from leads_pandas.cli import files
from leads_pandas.cli.streams import PROGRAM, write
from leads_pandas.display import clean, terminal_width, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Commands = argparse._SubParsersAction["_Parser"]  # noqa: SLF001 - it has no other name

_SERVER_OPTIONS = (
    "db",
    "port",
    "host",
    "credits",
    "requests_per_minute",
    "allow_private",
    "max_pages",
    "timeout",
    "site_timeout",
    "concurrency",
    "user_agent",
    "nameservers",
)
_EPILOG = """\
Each command has a help and examples of its own: leads-pandas COMMAND --help

environment:
  LOCALLEADS_API_KEY              the key of your account
  LOCALLEADS_BASE_URL             another service, such as the local one
  LOCALLEADS_REQUESTS_PER_MINUTE  request budget (100; 0: no limit)
  LEADS_PANDAS_HOME               folder of the store (in your data folder)
  LEADS_PANDAS_ACCOUNT            name of the account in the store

exit code:
  0 done, 1 an error (one line says which), 2 wrong use, 130 interrupted

examples:
  leads-pandas demo
  leads-pandas preview leads.csv
  leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50
"""

_FILE = "leads as .csv, .tsv, .parquet or .jsonl; - is CSV on standard input"


class _Parser(argparse.ArgumentParser):
    """A parser of one command: options are spelt out, examples keep their lines."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        self.set_defaults(parser=self)

    def error(self, message: str) -> NoReturn:
        """Refuse the arguments, in lines that fit the terminal."""
        self.print_usage(sys.stderr)
        refusal = wrapped(clean(f"{self.prog}: error: {message}"), terminal_width(sys.stderr))
        self.exit(2, f"{refusal}\n")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the arguments of one command.

    Args:
        argv: the arguments; None: those of the process.

    Returns:
        The options by their names, ``command``, and ``parser``, whose ``error`` refuses them.

    Raises:
        SystemExit: wrong use (code 2), or help or the version was asked for (code 0).
    """
    arguments = parser().parse_args(argv)
    if refusal := _refusal(arguments):
        arguments.parser.error(refusal)
    return arguments


def _refusal(arguments: argparse.Namespace) -> str | None:
    """What is wrong with options that are each right."""
    if arguments.command == "enrich" and arguments.allow_private and not arguments.local:
        return "--allow-private goes with --local"
    if arguments.command == "forget" and bool(arguments.leads) == arguments.everything:
        return "name the leads to forget, or pass --everything"
    if arguments.command == "serve" and arguments.leads is None and not hasattr(arguments, "db"):
        return "name the leads with --leads, or a --db that has them"
    return None


def server_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those options of the local service that were given; the others have its own defaults."""
    return {name: getattr(arguments, name) for name in _SERVER_OPTIONS if hasattr(arguments, name)}


def parser() -> argparse.ArgumentParser:
    """The parser of every command."""
    main = _Parser(
        prog=PROGRAM,
        description="Buy each lead's email once, from files of leads, and keep it as Parquet.",
        epilog=_EPILOG,
    )
    main.add_argument("--version", action=_Version, help="show the version and exit")
    commands = main.add_subparsers(
        title="commands", metavar="COMMAND", required=True, parser_class=_Parser
    )
    _add_preview(commands)
    _add_enrich(commands)
    _add_results(commands)
    _add_jobs(commands)
    _add_runs(commands)
    _add_resume(commands)
    _add_forget(commands)
    _add_serve(commands)
    _add_demo(commands)
    return main


class _Version(argparse.Action):
    """Shows the version, which is looked up only then."""

    def __init__(self, **options: Any) -> None:
        super().__init__(nargs=0, **options)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        write(f"{PROGRAM} {version('leads_pandas')}")
        parser.exit()


def _add(
    commands: _Commands,
    name: str,
    words: str,
    *,
    more: str = "",
    examples: Sequence[str],
) -> argparse.ArgumentParser:
    """Add a command with its help: what it does, and examples that work as they stand."""
    lines = "\n".join(f"  {one}" for one in examples)
    parser = commands.add_parser(
        name,
        help=words,
        description=f"{words[0].upper()}{words[1:]}.{more}",
        epilog=f"{'example' if len(examples) == 1 else 'examples'}:\n{lines}\n",
    )
    parser.set_defaults(command=name)
    parser.add_argument(
        "--json", action="store_true", help="answer as JSON on standard output, for programs"
    )
    return parser


def _add_preview(commands: _Commands) -> None:
    parser = _add(
        commands,
        "preview",
        "show what enriching the leads would cost; nothing is spent",
        examples=(
            "leads-pandas preview leads.csv",
            "leads-pandas preview leads.jsonl --json",
            "cat leads.csv | leads-pandas preview -",
        ),
    )
    _add_input(parser)
    parser.add_argument("--query-id", metavar="ID", help="price the leads of this search instead")
    _add_refresh(parser, "count what the store already holds as to be read again (free)")


def _add_enrich(commands: _Commands) -> None:
    parser = _add(
        commands,
        "enrich",
        "buy the email of each lead once, and write the leads with it",
        more="\n\nIt asks before credits are spent. Calling it again goes on where it stopped and\n"
        "buys nothing twice.",
        examples=(
            "leads-pandas enrich leads.csv -o enriched.parquet --max-credits 50",
            "leads-pandas enrich leads.parquet -o enriched.parquet --partial --yes",
            "leads-pandas enrich leads.tsv -o out.parquet --yes --rename email=work_email",
            "leads-pandas enrich leads.csv -o enriched.parquet --local",
        ),
    )
    _add_input(parser)
    _add_output(parser)
    parser.add_argument(
        "--query-id", metavar="ID", help="start this search, whose leads the file holds"
    )
    parser.add_argument(
        "--max-credits", metavar="N", type=int, help="never reserve more credits than this"
    )
    parser.add_argument(
        "--partial", action="store_true", help="enrich what fits, and say what is missing"
    )
    parser.add_argument(
        "--yes",
        action="store_true",
        help="agree to the cost beforehand; needed where nobody can be asked",
    )
    _add_shape(parser)
    _add_conflict(parser)
    _add_refresh(parser, "read again what the store already holds (free)")
    _add_timeout(parser)
    local = parser.add_argument_group(
        "without an account",
        "Read the websites (column website) from this machine, with a service, a\n"
        "store and credits for this call alone: your key, settings and store are not\n"
        "touched, and only the file stays. A file without an ID column gets lead_id:\n"
        'row-1, row-2, ... Needs: pip install "leads_pandas[server]"',
    )
    local.add_argument("--local", action="store_true", help="enrich without an account")
    local.add_argument(
        "--allow-private", action="store_true", help="also read websites on private addresses"
    )


def _add_results(commands: _Commands) -> None:
    parser = _add(
        commands,
        "results",
        "join what the store holds; no request, nothing spent",
        examples=(
            "leads-pandas results leads.csv -o enriched.parquet",
            "leads-pandas results leads.csv --emails all --min-confidence 0.5 --json",
        ),
    )
    _add_input(parser)
    _add_output(parser)
    _add_shape(parser)
    _add_conflict(parser)
    _add_refresh(parser, "first read each lead again: one request each, free")


def _add_jobs(commands: _Commands) -> None:
    _add(
        commands,
        "jobs",
        "list the account's running jobs",
        examples=("leads-pandas jobs", "leads-pandas jobs --json"),
    )


def _add_runs(commands: _Commands) -> None:
    _add(
        commands,
        "runs",
        "list the runs of this machine's store, newest first; no request",
        examples=("leads-pandas runs", "leads-pandas runs --json"),
    )


def _add_resume(commands: _Commands) -> None:
    parser = _add(
        commands,
        "resume",
        "go on with a run: wait, read what is missing, write its leads",
        more="\n\nNothing is started. The second example goes on with the newest run.",
        examples=(
            "leads-pandas resume 5f0c2a1b9d3e -o enriched.parquet",
            "leads-pandas resume \"$(leads-pandas runs | awk 'NR == 2 {print $1}')\"",
        ),
    )
    parser.add_argument(
        "id", metavar="RUN_OR_JOB", help="an id that leads-pandas runs or jobs shows"
    )
    _add_output(parser)
    _add_shape(parser)
    _add_timeout(parser)


def _add_forget(commands: _Commands) -> None:
    parser = _add(
        commands,
        "forget",
        "erase results from the store for good",
        more=" What was bought stays known, so that\n"
        "it is not bought again. Files that you wrote stay as they are.",
        examples=(
            "leads-pandas forget cm9lead001 cm9lead002",
            "leads-pandas forget --everything --yes",
        ),
    )
    parser.add_argument("leads", metavar="LEAD", nargs="*", help="a lead's ID")
    parser.add_argument("--everything", action="store_true", help="every lead of the account")
    parser.add_argument("--yes", action="store_true", help="do not ask")


def _add_serve(commands: _Commands) -> None:
    parser = _add(
        commands,
        "serve",
        "run a local service that reads the leads' websites for emails",
        more="\n\nIt prints the two variables to export, and serves until Ctrl-C (exit code 0).\n"
        'Needs: pip install "leads_pandas[server]"',
        examples=(
            "leads-pandas serve --leads leads.csv --db service.db",
            'eval "$(leads-pandas serve --leads leads.csv &)"',
        ),
    )
    parser.add_argument(
        "--leads",
        metavar="FILE",
        type=_input,
        help="leads (.csv, .tsv, .parquet or .jsonl; - is CSV on standard input) with lead_id "
        "and website, and optionally name and query_id",
    )
    options: dict[str, tuple[str, Callable[[str], Any] | None, str]] = {
        "db": ("FILE", None, "keep everything in this file (else only while it runs)"),
        "port": ("N", int, "port to listen on (a free one)"),
        "host": ("ADDRESS", None, "address to listen on (127.0.0.1)"),
        "credits": ("N", int, "credits of the account (100000)"),
        "requests_per_minute": ("N", int, "rate limit (100; 0: none)"),
        "max_pages": ("N", int, "pages read per website (8)"),
        "timeout": ("SECONDS", float, "patience per page (10)"),
        "site_timeout": ("SECONDS", float, "patience per website (30)"),
        "concurrency": ("N", int, "websites read at once (16)"),
        "user_agent": ("TEXT", None, "how it introduces itself to websites"),
    }
    for name, (metavar, kind, words) in options.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            metavar=metavar,
            type=kind or str,
            default=argparse.SUPPRESS,
            help=words,
        )
    parser.add_argument(
        "--nameserver",
        metavar="HOST:PORT",
        dest="nameservers",
        action="append",
        default=argparse.SUPPRESS,
        help="ask this name server whether a domain takes mail; may be repeated (the system's)",
    )
    parser.add_argument(
        "--allow-private",
        action="store_true",
        default=argparse.SUPPRESS,
        help="also read websites on private addresses",
    )


def _add_demo(commands: _Commands) -> None:
    parser = _add(
        commands,
        "demo",
        "enrich bundled sample leads: no account, no network",
        more='\n\nNeeds: pip install "leads_pandas[server]"',
        examples=("leads-pandas demo",),
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        default="demo",
        help="folder for enriched.parquet (demo)",
    )


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=_input, help=_FILE)
    parser.add_argument(
        "--on", metavar="COLUMN", help="column of the lead IDs (lead_id, leadId or id)"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT.parquet",
        type=_output,
        help="Parquet file to write, also s3://, gs:// or abfss:// (else the store alone keeps "
        "the results)",
    )


def _input(text: str) -> str:
    try:
        files.kind(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return text


def _output(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError("name the Parquet file to write")
    suffix = Path(text).suffix.lower()
    if suffix in files.SUFFIXES and suffix != ".parquet":
        raise argparse.ArgumentTypeError(
            f"the output is a Parquet file: call it OUT.parquet, not {text}"
        )
    return text


def _add_shape(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--emails",
        choices=("best", "all"),
        default="best",
        help="one row with the best email, or one per email",
    )
    parser.add_argument(
        "--min-confidence",
        metavar="X",
        type=float,
        default=0.0,
        help="leave out emails below it, 0 to 1",
    )
    parser.add_argument(
        "--rename",
        metavar="COLUMN=NAME",
        type=_renaming,
        action="append",
        default=[],
        help="another name for a new column; may be repeated",
    )


def _renaming(text: str) -> tuple[str, str]:
    column, equals, name = text.partition("=")
    if not (column and equals and name):
        raise argparse.ArgumentTypeError(f"{text!r} is not like email=work_email")
    return column, name


def _add_conflict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--on-conflict",
        choices=("raise", "replace", "fill"),
        default="raise",
        help="the file has such a column already: stop, replace it, or fill its gaps",
    )


def _add_refresh(parser: argparse.ArgumentParser, words: str) -> None:
    parser.add_argument("--refresh", action="store_true", help=words)


def _add_timeout(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        help="wait no longer; the job goes on and can be resumed",
    )
