"""README, docs and docstrings do what they say: each example runs, each link leads somewhere."""

from __future__ import annotations

import asyncio
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
import yaml
from google.auth.credentials import AnonymousCredentials
from sphinx.util.inventory import InventoryFile

import leads_pandas
from tests.support.bigquery import BigQuery
from tests.support.examples import Shell, run_examples
from tests.support.harness import closed_port, lead_ids, world

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.harness import Vendor

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").rglob("*.md"))]
MODULES = [
    "account",
    "frames/parquet",
    "functions",
    "leadsapi/client",
    "plotting",
    "server/local",
    "websites",
]
TEXTS = {page: page.read_text(encoding="utf-8") for page in PAGES}

RUN_BY_EXAMPLES = {"python", "console"}
RUN_BY_TESTS_OF_THEIR_OWN = {"sh", "dockerfile", "yaml"}
SPHINX = {"{toctree}", "{eval-rst}"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def blocks(page: Path, language: str) -> list[str]:
    """A page's fenced blocks of a language, in order."""
    return [one.strip() for one in re.findall(rf"```{language}\n(.*?)```", TEXTS[page], re.DOTALL)]


def languages(page: Path) -> list[str]:
    """The languages of a page's fenced blocks, and of those that are run but not shown."""
    return re.findall(r"^(?:```|<!-- invisible-code-block: )(\S+)$", TEXTS[page], re.MULTILINE)


@pytest.fixture
def desk(
    vendor: Vendor, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """What the pages take for granted: a key, a folder with files of leads; and a look behind."""
    vendor.reset(world(500))
    google = BigQuery()
    # Real credentials would be checked with Google, which no test may reach.
    nobody: Any = AnonymousCredentials
    monkeypatch.setattr("google.auth.default", lambda **_: (nobody(), "acme"))
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", google.url)
    monkeypatch.setenv("LOCALLEADS_API_KEY", vendor.key)
    monkeypatch.setenv("LOCALLEADS_BASE_URL", vendor.base_url)
    monkeypatch.setenv("LOCALLEADS_REQUESTS_PER_MINUTE", "0")
    folder = tmp_path / "desk"
    folder.mkdir()
    monkeypatch.chdir(folder)
    leads = pd.DataFrame({"lead_id": lead_ids(500)})
    leads = leads.assign(
        name="Firm " + leads["lead_id"],
        city=[["Berlin", "Lyon", "Leeds"][n % 3] for n in range(500)],
        # Loopback, which the local service refuses to read: nothing here needs a network.
        website=f"http://127.0.0.1:{closed_port()}/",
    )
    leads[:35].to_csv("leads.csv", index=False)
    leads[:60].to_parquet("crm.parquet")
    leads[30:50].to_parquet("new_leads.parquet")
    leads[100:].to_csv("prospects.csv", index=False)
    shell = Shell(tmp_path, {"ll_...": vendor.key})

    def charged() -> int:
        return sum(vendor.counts["charges"].values())

    async def started(charges: int) -> None:
        while charged() < charges:  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.02)

    def at_once() -> None:
        vendor.set(job_seconds=0.0)
        vendor.act(advance=1.0)

    def doubt(when: str) -> None:
        """Leave the next start without an answer, and nothing to be seen until `see`."""
        leads_pandas.set_default_client(leads_pandas.LeadsClient(settle=0.5, timeout=2.0))
        gone = {"do": "answer", "status": 404, "body": {"success": False, "error": "Gone"}}
        vendor.set(missing=["jobs", "balance", "transactions"], job_seconds=60.0)
        vendor.rules(
            {"on": "start", "do": "close", "when": when},
            {"on": "preview", "nth": 2, "times": -1} | gone,
            {"on": "lead", "times": -1} | gone,
        )

    def see() -> None:
        vendor.set(missing=[])
        vendor.rules()

    def loaded(dataset: str, table: str, disposition: str) -> pd.DataFrame:
        how, file = google.loads[-1]
        assert how["sourceFormat"] == "PARQUET"
        assert how["writeDisposition"] == disposition
        assert how["destinationTable"]["datasetId"] == dataset
        assert how["destinationTable"]["tableId"] == table
        return pd.read_parquet(io.BytesIO(file))

    yield {
        "shell": shell,
        "charged": charged,
        "slow": lambda seconds: vendor.set(job_seconds=seconds),
        "at_once": at_once,
        "started": started,
        "doubt": doubt,
        "see": see,
        "loaded": loaded,
        "store_files": lambda: [one for one in home.rglob("*") if one.is_file()],
    }
    leads_pandas.set_default_client(None)
    shell.close()
    google.close()


def test_the_first_command_runs_the_demo_and_the_second_the_tests() -> None:
    assert blocks(README, "sh") == ["python3 dev.py demo", "python3 dev.py test"]


def test_ci_runs_the_second_command() -> None:
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8").strip()
    assert script.splitlines()[-1] == blocks(README, "sh")[1]


def test_the_first_command_sets_everything_up_in_a_fresh_copy(tmp_path: Path) -> None:
    for name in ("dev.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(
        ROOT / "leads_pandas", tmp_path / "leads_pandas", ignore=shutil.ignore_patterns("*.pyc")
    )
    command = blocks(README, "sh")[0].split()
    done = subprocess.run(
        [sys.executable, *command[1:]], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(pd.read_parquet(tmp_path / "demo" / "enriched.parquet")) == 48


@each_page
def test_every_example_of_a_page_is_run_by_some_test(page: Path) -> None:
    assert set(languages(page)) <= RUN_BY_EXAMPLES | RUN_BY_TESTS_OF_THEIR_OWN | SPHINX
    opened = re.findall(r"^```(?:\{include\} )?\S+$", TEXTS[page], re.MULTILINE)
    assert TEXTS[page].count("```") == 2 * len(opened)


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if RUN_BY_EXAMPLES.intersection(languages(page))],
    ids=lambda page: page.stem,
)
def test_the_examples_of_a_page_run_from_top_to_bottom(page: Path, desk: dict[str, Any]) -> None:
    assert run_examples(page, desk) == sum(one in RUN_BY_EXAMPLES for one in languages(page))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_docstrings_give_what_they_show(
    name: str, desk: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    df = pd.read_csv("leads.csv")
    names = {"pd": pd, "leads_pandas": leads_pandas, "df": df}
    if name in ("account", "plotting", "server/local", "websites"):
        names["out"] = df.leads.enrich()
    assert run_examples(ROOT / "leads_pandas" / f"{name}.py", names) > 0


def test_no_other_docstring_has_an_example() -> None:
    having = [
        path.relative_to(ROOT / "leads_pandas").with_suffix("").as_posix()
        for path in (ROOT / "leads_pandas").rglob("*.py")
        if re.search(r"^ +>>> ", path.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert sorted(having) == MODULES


def test_the_container_keeps_its_memory_on_the_volume(
    desk: dict[str, Any], vendor: Vendor, tmp_path: Path
) -> None:
    page = ROOT / "docs" / "pipelines.md"
    lines = [line.split(" ", 1) for line in blocks(page, "dockerfile")[0].splitlines()]
    image = {word: rest for word, rest in lines if word not in ("COPY", "RUN")}
    assert set(image) == {"FROM", "USER", "ENV", "VOLUME", "WORKDIR", "ENTRYPOINT", "CMD"}
    service = yaml.safe_load(blocks(page, "yaml")[0])["services"]["enrich"]
    assert {f"store:{image['VOLUME']}", f"./data:{image['WORKDIR']}"} == set(service["volumes"])
    assert image["ENV"] == f"LEADS_PANDAS_HOME={image['VOLUME']}"
    command = json.loads(image["ENTRYPOINT"]) + json.loads(image["CMD"])
    program = Path(sys.executable).parent / command[0]

    # All that a container has of the machine: its command, these variables and the two volumes.
    variables = {"PATH": "/usr/bin:/bin", "LEADS_PANDAS_HOME": str(tmp_path / "store")}
    for name in service["environment"]:
        variables[name] = {"LOCALLEADS_API_KEY": vendor.key}[name]
    variables["LOCALLEADS_BASE_URL"] = vendor.base_url  # in place of the vendor's own
    vendor.set(job_seconds=None)
    with subprocess.Popen([program, *command[1:]], env=variables, stderr=subprocess.DEVNULL) as one:
        vendor.wait(lambda counts: counts["starts_charged"] == 1)
        one.kill()
    assert not Path("enriched.parquet").exists()
    desk["at_once"]()
    subprocess.run([program, *command[1:]], env=variables, check=True, capture_output=True)
    assert len(pd.read_parquet("enriched.parquet")) == 35
    assert desk["charged"]() == vendor.counts["spent"] == 35


@each_page
def test_every_local_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXTS[page]):
        assert (page.parent / target).exists(), target


def test_no_two_pages_share_a_paragraph() -> None:
    paragraphs = {
        page: {" ".join(one.split()) for one in text.split("\n\n") if len(one.split()) > 8}
        for page, text in TEXTS.items()
    }
    for (one, here), (other, there) in combinations(paragraphs.items(), 2):
        assert not here & there, f"{one.name} and {other.name}"


@each_page
def test_what_a_page_shows_needs_nothing_that_it_hides(page: Path) -> None:
    shown = "\n".join(blocks(page, "python"))
    check = [sys.executable, "-m", "ruff", "check", "--isolated", "--select=F821", "-"]
    done = subprocess.run(check, input=shown, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("page", ["recipes", "pipelines"])
def test_a_page_says_how_to_install_what_it_uses_beside_us(page: str) -> None:
    path = ROOT / "docs" / f"{page}.md"
    used = set(
        re.findall(r"^ *(?:import|from) (\w+)", "\n".join(blocks(path, "python")), re.MULTILINE)
    )
    names = {"sklearn": "scikit-learn", "google": "google-cloud-bigquery"}
    ours = {"leads_pandas", "pandas", "pyarrow", "pytest"} | set(sys.stdlib_module_names)
    for name in used - ours:
        assert f"pip install {names.get(name, name)}" in TEXTS[path], name


def test_the_reference_builds_has_every_public_name_and_is_found_by_what_people_look_for(
    tmp_path: Path,
) -> None:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    command = f"{shlex.quote(sys.executable)} -m sphinx -q -W --keep-going -b html docs"
    built = subprocess.run(
        [*shlex.split(command), tmp_path],
        cwd=ROOT,
        env={"PATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    inventory = InventoryFile.loads((tmp_path / "objects.inv").read_bytes(), uri="")
    listed = {
        name for kind, names in inventory.data.items() if kind.startswith("py:") for name in names
    }
    assert {f"leads_pandas.{name}" for name in leads_pandas.__all__} <= listed
    assert "leads_pandas.server.LocalServer" in listed
    frame = (tmp_path / "reference" / "frame.html").read_text(encoding="utf-8")
    assert "DataFrame.leads.enrich" in re.sub(r"<[^>]+>", "", frame)
    first = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<th class="head"><p>your money</p></th>' in first  # the README's table of money
    assert "There is no bulk read" in first
    commands = (tmp_path / "reference" / "command_line.html").read_text(encoding="utf-8")
    assert "Usage: leads-pandas enrich" in re.sub(r"<[^>]+>", "", commands)
    index = (tmp_path / "searchindex.js").read_text(encoding="utf-8")
    terms = json.loads(index.removeprefix("Search.setIndex(").removesuffix(")"))["terms"]
    assert {"airflow", "refund", "s3", "duckdb", "cron"} <= terms.keys()
