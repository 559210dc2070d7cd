"""What a cell shows that ends in an error or an interrupt: the user's line and our sentence."""

from __future__ import annotations

import pickle
import re
from typing import TYPE_CHECKING, Any

import pytest

import leads_pandas

if TYPE_CHECKING:
    from tests.support.kernels import Kernel

MOST_LINES = 12

PREPARE = """
import pandas as pd
import leads_pandas

df = pd.DataFrame({"lead_id": ["a", "b"]})
"""


@pytest.fixture(scope="module")
def kernel(shared_kernel: Kernel) -> Kernel:
    assert shared_kernel.run(PREPARE) == []
    return shared_kernel


def traceback(kernel: Kernel, cell: str) -> str:
    """The traceback that a front end shows of a cell, without its colours."""
    messages: list[dict[str, Any]] = kernel.run(cell)
    (error,) = [one for one in messages if one["type"] == "error"]
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(error["traceback"]))


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("df.leads.preview()", "ConfigurationError: there is no API key"),
        ("df.pipe(leads_pandas.preview)", "ConfigurationError: there is no API key"),
        ("df.leads.preview(on='x')", "LeadIdError: no column or index level is called 'x'"),
        ("df.leads.enrich(partial=1)", "ValueError: partial must be True or False, not 1"),
        ("df.leads.enrich('/nowhere/out.parquet')", "FileNotFoundError: "),
        ("df.leads.summary()", "ValueError: this frame is not enriched"),
        ("df.leads.plot.status()", "ValueError: this frame is not enriched"),
        ("leads_pandas.EnrichmentRun('x').result(timeout=-1)", "ValueError: timeout must be "),
        ("leads_pandas.EnrichmentRun('x').resolve()", "ValueError: give either job_id"),
        ("leads_pandas.LeadsClient()", "ConfigurationError: there is no API key"),
    ],
)
def test_an_error_shows_the_users_line_and_the_sentence(
    kernel: Kernel, cell: str, sentence: str
) -> None:
    shown = traceback(kernel, "# a cell\n" + cell)
    assert f"----> 2 {cell}" in shown
    assert sentence in shown.splitlines()[-1]
    assert len(shown.splitlines()) <= MOST_LINES
    assert "leads_pandas/" not in shown
    assert "pandas/core" not in shown


def test_a_function_of_the_users_own_is_shown_as_well(kernel: Kernel) -> None:
    shown = traceback(kernel, "def mine():\n    return df.leads.preview()\n\nmine()")
    assert "----> 4 mine()" in shown
    assert "return df.leads.preview()" in shown
    assert "leads_pandas/" not in shown


def test_an_error_of_somebody_elses_shows_every_frame(kernel: Kernel) -> None:
    shown = traceback(
        kernel,
        "from leads_pandas.tracebacks import pointing_outside\n"
        "callback = lambda: 1 / 0\n"
        "pointing_outside(callback)()",
    )
    assert "ZeroDivisionError" in shown
    assert "callback = lambda: 1 / 0" in shown
    assert "tracebacks.py" in shown


def test_the_whole_traceback_stays_there_for_a_debugger(kernel: Kernel) -> None:
    cell = (
        "import sys, traceback\n"
        "try:\n    df.leads.preview()\n"
        "except leads_pandas.ConfigurationError as error:\n"
        "    print(len(traceback.extract_tb(error.__traceback__)))"
    )
    (said,) = kernel.run(cell)
    assert int(said["text"]) > 3


@pytest.mark.parametrize("run", ["x", 7])
def test_an_error_pickles_as_before(run: Any) -> None:
    import IPython  # noqa: F401 - what makes errors carry how they are shown

    with pytest.raises((LookupError, TypeError, ValueError)) as error:
        leads_pandas.resume(run, client=leads_pandas.LeadsClient("ll_test", "http://127.0.0.1:9"))
    twin = pickle.loads(pickle.dumps(error.value))  # noqa: S301 - our own bytes
    assert (type(twin), str(twin)) == (type(error.value), str(error.value))
    assert "_render_traceback_" in dir(twin)
