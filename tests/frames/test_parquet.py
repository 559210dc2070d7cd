"""Parquet: the target found writable, the frame found fit, and the write atomic."""

from __future__ import annotations

import errno
import http.server
import json
import os
import resource
import stat
import subprocess
import sys
import threading
from collections import defaultdict
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from leads_pandas.frames import join as frames
from leads_pandas.frames.columns import COLUMNS, SCHEMA
from leads_pandas.frames.delivery import Output
from leads_pandas.frames.ids import lead_ids
from leads_pandas.frames.parquet import again, complete, convert, read_receipt
from leads_pandas.frames.receipt import METADATA_KEY, receipt_fields, with_receipt
from leads_pandas.frames.target import check_target, write
from leads_pandas.models import STATUSES, Email, LeadResult
from tests.support.tables import answers_of

if TYPE_CHECKING:
    from collections.abc import Iterator

AT = 1_777_980_180_000_000
RECEIPT = {"run": "r1", "credits_reserved": 3, "statuses": {"found": 2}}


def result_of(lead: str) -> LeadResult:
    if lead.endswith("3"):
        return LeadResult("not_found", (), AT)
    emails = (Email(f"{lead}@ü.com", 0.9, "website"), Email(f"{lead}@x.com", None, None))
    return LeadResult("found", emails, AT)


def converted(frame: pd.DataFrame, **options: Any) -> pa.Table:
    """What is done before anything is spent."""
    plan = frames.plan_columns(frame, lead_ids(frame), Output(**options))
    return convert(frame, plan)


def enrich(
    frame: pd.DataFrame, receipt: dict[str, Any] | None = None, **options: Any
) -> tuple[pd.DataFrame, pa.Table]:
    receipt = RECEIPT if receipt is None else receipt
    ids = lead_ids(frame)
    plan = frames.plan_columns(frame, ids, Output(**options))
    whole = convert(frame, plan)
    table = answers_of({one: result_of(one) for one in ids.unique}, emails=plan.emails)
    joined = frames.join(frame, ids.codes, table, plan)
    out = with_receipt(joined.frame, receipt)
    whole = whole if joined.rows is None else again(joined.frame)
    return out, complete(whole, joined.columns, receipt, out.attrs)


def written(frame: pd.DataFrame, folder: Path, **options: Any) -> tuple[pd.DataFrame, Path]:
    out, table = enrich(frame, **options)
    path = folder / "out.parquet"
    write(table, check_target(path))
    assert [one.name for one in folder.iterdir()] == ["out.parquet"]
    return out, path


@pytest.fixture
def small() -> pd.DataFrame:
    return pd.DataFrame({"lead_id": ["l1", "l2", None, "l3"], "x": [1.5, 2, None, 4]})


# The schema


@pytest.mark.parametrize("cells", [["l1", "l3", None], [None, None], []], ids=str)
def test_every_file_has_the_one_schema(cells: list[Any], tmp_path: Path) -> None:
    frame = pd.DataFrame({"lead_id": cells})
    _, path = written(frame, tmp_path)
    held = pq.read_schema(path)
    assert pa.schema([held.field(name) for name in COLUMNS]) == SCHEMA


def test_renamed_columns_keep_their_types(tmp_path: Path, small: pd.DataFrame) -> None:
    rename = {"email": "mail", "enrichment_status": "status"}
    _, path = written(small, tmp_path, rename=rename)
    held = pq.read_schema(path)
    named = [field.with_name(rename.get(field.name, field.name)) for field in SCHEMA]
    assert [held.field(field.name) for field in named] == named


# Round trips


def _index_frames() -> dict[str, pd.DataFrame]:
    ids = ["l1", None, "l3", "l1"]
    indexes: dict[str, Any] = {
        "range": pd.RangeIndex(4),
        "named range": pd.RangeIndex(5, 13, 2, name="k"),
        "duplicates": pd.Index([1, 1, 2, 2]),
        "text": pd.Index(list("abcd"), name="k"),
        "named as a new column": pd.Index(list("abcd"), name="email"),
        "multi": pd.MultiIndex.from_arrays([[1, 1, 2, 2], list("abab")], names=["k", None]),
        "dates": pd.DatetimeIndex(["2026-01-01", "2026-01-02", "2026-02-01", "2026-02-01"]),
        "zones": pd.date_range("2026", periods=4, tz="Europe/Berlin")
        .delete(0)
        .insert(0, pd.Timestamp("2025", tz="Europe/Berlin")),
        "categories": pd.CategoricalIndex(list("abab"), name="k"),
        "floats": pd.Index([0.5, np.nan, 1.0, 2.0]),
    }
    made = {name: pd.DataFrame({"lead_id": ids}, index=index) for name, index in indexes.items()}
    made["ids in the index"] = pd.DataFrame({"x": range(4)}, index=pd.Index(ids, name="lead_id"))
    return made


def _column_frames() -> dict[str, pd.DataFrame]:
    ids = ["l1", None, "l3", "l1"]
    columns: dict[str, Any] = {
        "int": [1, 2, 3, 4],
        "Int": pd.array([1, None, 3, 4], "Int64"),
        "bool": pd.array([True, None, False, True], "boolean"),
        "float": [0.5, None, 1.0, 2.0],
        "zone": pd.date_range("2026", periods=4, tz="Europe/Berlin"),
        "naive": pd.date_range("2026", periods=4).as_unit("us"),
        "seconds": pd.date_range("2026", periods=4).as_unit("ms"),
        "delta": pd.to_timedelta([1, 2, None, 4], unit="s"),
        "category": pd.Categorical(["b", "a", None, "b"], categories=["c", "b", "a"]),
        "ordered": pd.Categorical(["b", "a", None, "b"], categories=["b", "a"], ordered=True),
        "text": ["a", "ü", None, "\0"],
        "arrow int": pd.array([1, None, 3, 4], "int64[pyarrow]"),
        "arrow time": pd.Series([1, None, 3, 4], dtype="timestamp[us, UTC][pyarrow]"),
        "period": pd.period_range("2026", periods=4, freq="M"),
        "interval": pd.interval_range(0, 4),
        "bytes": pd.Series([b"a", None, b"", b"c"], dtype=object),
        "decimal": pd.Series([Decimal("1.5"), None, Decimal(2), Decimal(3)], dtype=object),
        "date": pd.Series([date(2026, 1, 1), None, None, None], dtype=object),
        "nothing": pd.Series([None] * 4, dtype=object),
        "flag": pd.Series([True, None, False, True], dtype=object),
    }
    made = {f"{n} column": pd.DataFrame({"lead_id": ids, "x": c}) for n, c in columns.items()}
    made["multi columns"] = pd.DataFrame(
        [["l1", 1, 2]] * 2,
        columns=pd.MultiIndex.from_tuples([("lead_id", ""), ("s", "a"), ("s", "b")]),
    )
    made["no other column"] = pd.DataFrame({"lead_id": ids})
    return made


ROUND_TRIPS = {**_index_frames(), **_column_frames()}


@pytest.mark.parametrize("emails", ["best", "all"])
@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_pandas_reads_back_an_equal_frame(name: str, emails: str, tmp_path: Path) -> None:
    out, path = written(ROUND_TRIPS[name], tmp_path, emails=emails)
    back = pd.read_parquet(path)
    pd.testing.assert_frame_equal(back, out, check_freq=False)
    assert back.attrs == out.attrs


def test_an_all_missing_frame_reads_back_equal(tmp_path: Path) -> None:
    out, path = written(pd.DataFrame({"lead_id": [None, None]}), tmp_path)
    pd.testing.assert_frame_equal(pd.read_parquet(path), out)


def test_an_empty_frame_reads_back_equal_but_for_its_categories(tmp_path: Path) -> None:
    out, path = written(pd.DataFrame({"lead_id": pd.Series([], dtype="int64")}), tmp_path)
    back = pd.read_parquet(path)
    # Parquet holds no category that no row group holds.
    kind = out["enrichment_status"].dtype
    pd.testing.assert_frame_equal(back.astype({"enrichment_status": kind}), out)


def test_categories_survive_several_row_groups(tmp_path: Path) -> None:
    rows = 1024 * 1024 + 5
    frame = pd.DataFrame({"lead_id": np.arange(rows) % 7})
    out, path = written(frame, tmp_path)
    assert pq.ParquetFile(path).num_row_groups == 2
    back = pd.read_parquet(path)
    assert back.dtypes.equals(out.dtypes)
    assert back.equals(out)


def test_a_result_read_back_can_be_enriched_again(tmp_path: Path, small: pd.DataFrame) -> None:
    ids = lead_ids(small)
    plan = frames.plan_columns(small, ids, Output())
    receipt = receipt_fields(ids, plan)
    out, table = enrich(small, receipt)
    write(table, check_target(tmp_path / "a.parquet"))
    back = pd.read_parquet(tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(enrich(back)[0], out)


def test_duckdb_reads_it(tmp_path: Path, small: pd.DataFrame) -> None:
    _, path = written(small, tmp_path)
    with duckdb.connect() as db:
        rows = db.execute(
            "SELECT lead_id, email, confidence, enrichment_status, epoch_us(enriched_at)"
            " FROM read_parquet(?)",
            [str(path)],
        ).fetchall()
    assert rows == [
        ("l1", "l1@ü.com", 0.9, "found", AT),
        ("l2", "l2@ü.com", 0.9, "found", AT),
        (None, None, None, None, None),
        ("l3", None, None, "not_found", AT),
    ]


def test_polars_reads_it(tmp_path: Path, small: pd.DataFrame) -> None:
    _, path = written(small, tmp_path)
    back = pl.read_parquet(path)
    assert back["email"].to_list() == ["l1@ü.com", "l2@ü.com", None, None]
    assert back["enrichment_status"].cast(pl.String).to_list()[:2] == ["found", "found"]
    assert back["enriched_at"].dtype == pl.Datetime("us", "UTC")
    assert back["enriched_at"].to_physical().to_list() == [AT, AT, None, AT]


def test_text_beyond_32_bit_offsets_is_cut_into_pieces() -> None:
    # Two gigabytes of text are too much for a test: the pieces are what makes them fit.
    from leads_pandas.frames import parquet

    texts: list[Any] = [[f"text {i}" for i in range(40_000)], ["a", None]]
    fitted = parquet._fitted(pa.chunked_array(texts, pa.large_string()), pa.string())
    assert fitted.type == pa.string()
    assert fitted.num_chunks == 4
    assert fitted.to_pylist()[-3:] == ["text 39999", "a", None]


# Receipts


def test_the_receipt_is_in_the_metadata_and_in_attrs(tmp_path: Path, small: pd.DataFrame) -> None:
    small.attrs["mine"] = {"a": [1]}
    _, path = written(small, tmp_path)
    metadata = pq.read_schema(path).metadata
    assert json.loads(metadata[METADATA_KEY]) == RECEIPT
    assert pd.read_parquet(path).attrs == {"mine": {"a": [1]}, "leads": RECEIPT}
    assert read_receipt(path) == RECEIPT
    assert read_receipt(path.as_uri()) == RECEIPT


class Copied(dict[str, Any]):
    """Part of a frame's attrs; pandas copies them for whatever it makes of the frame."""

    times = 0

    def __deepcopy__(self, _: Any) -> Copied:
        Copied.times += 1
        return self


@pytest.mark.parametrize("emails", ["best", "all"])
def test_what_attrs_hold_is_not_copied_for_every_column(emails: str) -> None:
    wide = pd.DataFrame({f"c{n}": [1.5, 2.5] for n in range(300)}).assign(lead_id=["l1", "l3"])
    wide.attrs = {"mine": Copied(kept=True)}
    Copied.times = 0
    out, table = enrich(wide, emails=emails)
    assert Copied.times < 100
    assert out.attrs["mine"] == {"kept": True}
    assert json.loads(table.schema.metadata[b"PANDAS_ATTRS"])["mine"] == {"kept": True}


def test_a_file_without_a_receipt_has_none(tmp_path: Path) -> None:
    pd.DataFrame({"x": [1]}).to_parquet(tmp_path / "plain.parquet")
    with pytest.raises(ValueError, match="holds no receipt"):
        read_receipt(tmp_path / "plain.parquet")


def test_a_file_that_is_no_parquet_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_text("hello")
    with pytest.raises(ValueError):
        read_receipt(tmp_path / "x.parquet")
    with pytest.raises(FileNotFoundError):
        read_receipt(tmp_path / "none.parquet")


# Targets


def test_checking_a_target_leaves_no_trace(tmp_path: Path) -> None:
    old = tmp_path / "old.parquet"
    old.write_bytes(b"content")
    before = old.stat()
    check_target(old)
    check_target(str(tmp_path / "new.parquet"))
    assert [one.name for one in tmp_path.iterdir()] == ["old.parquet"]
    assert old.read_bytes() == b"content"
    assert (old.stat().st_mtime_ns, old.stat().st_ino) == (before.st_mtime_ns, before.st_ino)


def test_a_relative_path_is_fixed_when_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: pd.DataFrame
) -> None:
    monkeypatch.chdir(tmp_path)
    target = check_target("out.parquet")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    write(enrich(small)[1], target)
    assert (tmp_path / "out.parquet").is_file()


def test_a_missing_folder_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        check_target(tmp_path / "none" / "out.parquet")


def test_a_folder_is_no_target(tmp_path: Path) -> None:
    for path in (str(tmp_path), f"{tmp_path}/new/", f"file://{tmp_path}", f"file://{tmp_path}/x/"):
        with pytest.raises(IsADirectoryError):
            check_target(path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError):
        check_target(tmp_path / "file" / "out.parquet")


def test_a_name_too_long_is_the_systems_own_error(tmp_path: Path) -> None:
    with pytest.raises(OSError) as raised:
        check_target(tmp_path / ("x" * 256))
    assert raised.value.errno == errno.ENAMETOOLONG


def test_the_longest_name_allowed_can_be_written(tmp_path: Path, small: pd.DataFrame) -> None:
    path = tmp_path / ("ü" * 127)
    write(enrich(small)[1], check_target(path))
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in ("/dev/null", tmp_path / "pipe"):
        with pytest.raises(OSError, match="not a regular file"):
            check_target(path)
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_loop_of_links_is_the_systems_own_error(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(OSError) as raised:
        check_target(tmp_path / "a")
    assert raised.value.errno == errno.ELOOP


AS_NOBODY = """
import os, sys
from leads_pandas.frames.target import check_target
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
for path in sys.argv[1:]:
    try:
        check_target(path)
    except OSError as error:
        print(type(error).__name__)
    else:
        print("writable")
"""


def test_what_may_not_be_written_is_a_permission_error() -> None:
    import tempfile

    # Of its own and open to all, for a user who owns nothing: root may write everywhere.
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o755)
        for name, mode in (("open", 0o777), ("closed", 0o555), ("sticky", 0o1777)):
            (folder / name).mkdir()
            (folder / name / "old.parquet").write_text("")
            (folder / name / "old.parquet").chmod(0o666)
            (folder / name).chmod(mode)
        (folder / "open" / "locked.parquet").write_text("")
        (folder / "open" / "locked.parquet").chmod(0o444)
        paths = ["open/new", "open/old.parquet", "open/locked.parquet"]
        paths += ["closed/new", "closed/old.parquet", "sticky/new", "sticky/old.parquet"]
        child = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, *(str(folder / path) for path in paths)],
            capture_output=True,
            text=True,
            check=True,
        )
        said = child.stdout.split()
    own_sticky = "PermissionError" if os.geteuid() == 0 else "writable"
    denied = "PermissionError"
    assert said == ["writable", "writable", denied, denied, denied, "writable", own_sticky]


@pytest.mark.parametrize("path", [5, b"out.parquet", None, 1.5, object()])
def test_what_is_no_path_is_a_type_error(path: Any) -> None:
    with pytest.raises(TypeError, match="path must be"):
        check_target(path)


def test_an_open_file_is_no_path(tmp_path: Path) -> None:
    with (tmp_path / "x").open("wb") as file, pytest.raises(TypeError, match="renam"):
        check_target(file)  # type: ignore[arg-type]  # the point


@pytest.mark.parametrize(
    "path", ["", "  ", "a\0b", "\ud800", "http://host/x", "ftp://h/x", "nope://x"]
)
def test_a_path_that_names_nothing_is_a_value_error(path: str) -> None:
    with pytest.raises(ValueError):
        check_target(path)


def test_credentials_in_a_url_are_not_repeated() -> None:
    with pytest.raises(ValueError) as raised:
        check_target("nope://user:secret@host/x?token=hidden")
    assert "nope://host/x" in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "hidden" not in str(raised.value)
    assert "\n" not in str(raised.value)


# Writing


def test_a_new_file_has_the_users_mode(tmp_path: Path, small: pd.DataFrame) -> None:
    _, path = written(small, tmp_path)
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_an_existing_file_is_replaced_and_keeps_its_mode(
    tmp_path: Path, small: pd.DataFrame
) -> None:
    path = tmp_path / "out.parquet"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with path.open("rb") as reader:
        written(small, tmp_path)
        assert reader.read() == b"old"  # who has it open keeps the old file
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert len(pd.read_parquet(path)) == 4


@pytest.mark.parametrize("there", [True, False])
def test_a_link_survives_and_the_file_it_names_is_written(
    tmp_path: Path, small: pd.DataFrame, there: bool
) -> None:
    (tmp_path / "data").mkdir()
    real = tmp_path / "data" / "real.parquet"
    if there:
        real.write_text("")
    link = tmp_path / "link.parquet"
    link.symlink_to(Path("data", "real.parquet"))
    write(enrich(small)[1], check_target(link))
    assert link.is_symlink()
    assert not real.is_symlink()
    assert len(pd.read_parquet(real)) == 4


def test_a_file_url_is_a_local_file(tmp_path: Path, small: pd.DataFrame) -> None:
    target = check_target((tmp_path / "a b.parquet").as_uri())
    assert target.filesystem is None
    write(enrich(small)[1], target)
    assert [one.name for one in tmp_path.iterdir()] == ["a b.parquet"]


# Written only in part: the first column fits, and the other is found too far away to be held.
TOO_FAR = pa.table({"x": ["fits"], "far": pa.array([1 << 60], pa.timestamp("s"))})


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out.parquet"
    path.write_bytes(b"old")
    target = check_target(path)
    with pytest.raises(pa.ArrowInvalid, match="overflow"):
        write(TOO_FAR, target)
    assert [one.name for one in tmp_path.iterdir()] == ["out.parquet"]
    assert path.read_bytes() == b"old"


def test_an_interrupt_before_renaming_leaves_nothing(tmp_path: Path, small: pd.DataFrame) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    target = check_target(tmp_path / "out.parquet")
    with pytest.raises(KeyboardInterrupt):
        write(enrich(small)[1], target, before=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_lost_meanwhile_is_the_systems_own_error(
    tmp_path: Path, small: pd.DataFrame
) -> None:
    (tmp_path / "gone").mkdir()
    target = check_target(tmp_path / "gone" / "out.parquet")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as raised:
        write(enrich(small)[1], target)
    assert raised.value.filename == str(tmp_path / "gone" / "out.parquet")


FILLED_DISK = """
import resource, sys
import numpy as np, pandas as pd
from leads_pandas.frames.delivery import Output, empty, prepare
data = pd.DataFrame({"lead_id": [None] * 200_000, "x": np.random.default_rng(0).random(200_000)})
ready = prepare(data, None, Output(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    empty(ready)
except OSError as error:
    print("OSError", error.errno, error.filename)
"""


def test_a_disk_that_fills_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    path.write_bytes(b"old")
    child = subprocess.run(
        [sys.executable, "-c", FILLED_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert child.stdout.split() == ["OSError", str(errno.EFBIG), str(path)]
    assert [one.name for one in tmp_path.iterdir()] == ["out.parquet"]
    assert path.read_bytes() == b"old"


def test_a_disk_that_is_full_is_found_before_the_write(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(OSError):
            check_target(tmp_path / "out.parquet")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_writers_at_once_do_not_collide(tmp_path: Path, small: pd.DataFrame) -> None:
    _, table = enrich(small)
    path = tmp_path / "out.parquet"
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(10):
                write(table, check_target(path))
                assert len(pq.ParquetFile(path).read()) == 4
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [one.name for one in tmp_path.iterdir()] == ["out.parquet"]


WRITE_FOR_EVER = """
import sys
import numpy as np, pandas as pd
from leads_pandas.frames.delivery import Output, empty, prepare
data = pd.DataFrame({"lead_id": [None] * 50_000, "x": np.random.default_rng(0).random(50_000)})
ready = prepare(data, None, Output(sys.argv[1]))
empty(ready)
while True:
    empty(ready)
    print("written", flush=True)
"""


def test_a_kill_never_leaves_half_a_file_under_the_targets_name(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    for number in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITE_FOR_EVER, str(path)], stdout=subprocess.PIPE
        ) as child:
            assert child.stdout is not None
            # In the middle of another write each time.
            for _ in range(number + 1):
                assert child.stdout.readline() == b"written\n"
            child.kill()
        assert len(pq.ParquetFile(path).read()) == 50_000
    left = [one.name for one in tmp_path.iterdir() if one.name != "out.parquet"]
    assert all(name.startswith(".out.parquet.") and name.endswith(".tmp") for name in left)


# Frames that Parquet cannot hold


def fits(column: Any, **kind: Any) -> None:
    converted(pd.DataFrame({"lead_id": ["l1"] * len(column), "x": pd.Series(column, **kind)}))


def refusal_of(frame: pd.DataFrame) -> str | None:
    try:
        converted(frame)
    except ValueError as error:
        return str(error)
    return None


UNFIT: dict[str, Any] = {
    "complex": pd.Series([1j, 2j]),
    "sparse": pd.Series(pd.arrays.SparseArray([0, 1])),
    "text and numbers": pd.Series(["a", 1], dtype=object),
    "numbers and text": pd.Series([1, "a"], dtype=object),
    "lists and text": pd.Series([["a"], "b"], dtype=object),
    "objects": pd.Series([object(), None], dtype=object),
    "huge integers": pd.Series([2**70, 1], dtype=object),
    "half a character": pd.Series(["a", "\ud800"], dtype=object),
    "half a character, typed": pd.Series(["a", "\ud800"], dtype=pd.StringDtype("python")),
    "empty dicts": pd.Series([{}, {}], dtype=object),
    "pd.cut": pd.cut(pd.Series([1, 2]), 2),
    "mixed categories": pd.Series(pd.Categorical([1, "a"])),
}


@pytest.mark.parametrize("name", UNFIT)
def test_a_column_that_cannot_be_written_is_named_beforehand(name: str) -> None:
    frame = pd.DataFrame({"lead_id": ["l1", "l2"], "bad one": UNFIT[name], "good": 1})
    with pytest.raises(ValueError, match="Parquet cannot hold the column 'bad one'") as raised:
        converted(frame)
    message = str(raised.value)
    assert "\n" not in message
    assert "Nothing was requested" in message


def test_seconds_too_far_away_are_found_beforehand_where_pyarrow_minds(tmp_path: Path) -> None:
    moments = np.array([0, 2**60], dtype="M8[s]")  # Parquet has milliseconds at best
    frame = pd.DataFrame({"lead_id": ["l1", "l2"], "x": moments})
    refusal = refusal_of(frame)
    assert refusal is None or "'x'" in refusal
    if refusal is None:
        written(frame, tmp_path)


def test_a_column_is_read_to_its_last_cell() -> None:
    cells: list[Any] = ["text"] * 50_000
    fits(cells, dtype=object)
    for last in ("\ud800", 5, 1.5, True):
        with pytest.raises(ValueError, match="'x'"):
            fits([*cells, last], dtype=object)
    fits([*cells, None, np.nan, pd.NA, "ü"], dtype=object)


def test_a_column_that_will_be_replaced_need_not_fit() -> None:
    frame = pd.DataFrame({"lead_id": ["l1", "l2"], "email": [1, "a"]})
    converted(frame, on_conflict="replace")


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["lead_id", "x", "x"], "'x' and 'x', which it writes alike"),
        (["lead_id", 1, "1"], "1 and '1', which it writes alike"),
        (["lead_id", None, "None"], "None and 'None'"),
    ],
)
def test_columns_that_parquet_cannot_tell_apart_are_named(labels: list[Any], said: str) -> None:
    frame = pd.DataFrame([["l1", 1, 2]], columns=pd.Index(labels, dtype=object))
    with pytest.raises(ValueError, match=said):
        converted(frame)


def test_a_label_written_like_a_new_column_is_named() -> None:
    frame = pd.DataFrame([["l1", 1]], columns=pd.Index(["lead_id", 5], dtype=object))
    with pytest.raises(ValueError, match="5 and '5'"):
        converted(frame, rename={"email": "5"})


def test_a_name_without_an_encoding_is_refused() -> None:
    frame = pd.DataFrame([["l1", 1]], columns=pd.Index(["lead_id", "\ud800"], dtype=object))
    with pytest.raises(ValueError, match="surrogates not allowed"):
        converted(frame)


def test_an_index_that_cannot_be_written_is_named() -> None:
    frame = pd.DataFrame({"lead_id": ["l1", "l2"]}, index=pd.Index(["a", 1], name="k"))
    with pytest.raises(ValueError, match="Parquet cannot hold the index level 'k'"):
        converted(frame)
    index = pd.MultiIndex.from_arrays([["a", 1], [1, 2]])
    with pytest.raises(ValueError, match="Parquet cannot hold the index level 0"):
        converted(frame.set_axis(index))
    converted(frame.set_axis(index)[:1])  # the number is a level still, and of no row


def test_index_levels_of_one_name_are_written_or_refused_beforehand(tmp_path: Path) -> None:
    index = pd.MultiIndex.from_arrays([[1, 2], [3, 4]], names=["k", "k"])
    frame = pd.DataFrame({"lead_id": ["l1", "l2"]}, index=index)
    refusal = refusal_of(frame)  # newer versions of pyarrow tell them apart
    assert refusal is None or "'k'" in refusal
    if refusal is None:
        out, path = written(frame, tmp_path)
        pd.testing.assert_frame_equal(pd.read_parquet(path), out)


def test_attrs_that_are_no_json_are_refused() -> None:
    frame = pd.DataFrame({"lead_id": ["l1"]})
    frame.attrs["mine"] = {1, 2}
    with pytest.raises(ValueError, match="the frame's attrs"):
        converted(frame)


def test_names_that_will_not_come_back_are_warned_of_once(tmp_path: Path) -> None:
    frame = pd.DataFrame([["l1", 1]], columns=pd.Index(["lead_id", 5], dtype=object))
    with pytest.warns(UserWarning, match="mixed type"):
        _, table = enrich(frame)
    write(table, check_target(tmp_path / "out.parquet"))
    assert "5" in pd.read_parquet(tmp_path / "out.parquet")


def test_dates_among_the_labels_are_written(tmp_path: Path) -> None:
    days = pd.DatetimeIndex(["2026-01-01", "2026-01-02"])
    columns = pd.MultiIndex.from_arrays([["lead_id", "sales"], days], names=["p", "q"])
    with pytest.warns(UserWarning, match="mixed type"):
        _, path = written(pd.DataFrame([["l1", 1]], columns=columns), tmp_path)
    assert "('email', '')" in pq.read_schema(path).names


def test_checking_does_not_change_the_frame(small: pd.DataFrame) -> None:
    before = small.copy(deep=True)
    converted(small)
    pd.testing.assert_frame_equal(small, before)


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_an_empty_frame_of_any_kind_fits_and_is_written(name: str, tmp_path: Path) -> None:
    out, path = written(ROUND_TRIPS[name].iloc[:0], tmp_path)
    assert len(pd.read_parquet(path)) == 0
    assert len(out) == 0


# Object stores


class Bucket(http.server.BaseHTTPRequestHandler):
    """As much of S3 as pyarrow asks for, over real HTTP; it keeps objects in memory."""

    protocol_version = "HTTP/1.1"
    objects: ClassVar[dict[str, bytes]]
    parts: ClassVar[dict[str, dict[int, bytes]]]
    seen: ClassVar[list[set[str]]]
    refuse_copies: ClassVar[bool]
    refuse_writes: ClassVar[bool]

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self, code: int, body: str = "", **headers: str) -> None:
        type(self).seen.append(set(self.objects))
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body.encode())

    def _xml(self, kind: str, inner: str = "") -> str:
        space = "http://s3.amazonaws.com/doc/2006-03-01/"
        return f'<?xml version="1.0"?><{kind} xmlns="{space}">{inner}</{kind}>'

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).removeprefix("/")

    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query, keep_blank_values=True)

    def _lines(self) -> bytes:
        """Chunks as HTTP and as AWS frame them: size in hex, then that many bytes."""
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return whole

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            whole = self._lines()
        else:
            whole = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if "aws-chunked" in self.headers.get("Content-Encoding", ""):
            framed, whole = whole, b""
            while framed:
                head, _, framed = framed.partition(b"\r\n")
                size = int(head.split(b";")[0], 16)
                if not size:
                    break
                whole, framed = whole + framed[:size], framed[size + 2 :]
        return whole

    def do_HEAD(self) -> None:
        data = self.objects.get(self._key())
        if data is None:
            self._answer(404)
        else:
            self._answer(200, Content_Length=str(len(data)), ETag='"e"')

    def do_GET(self) -> None:
        query = self._query()
        if "list-type" in query:
            start = f"{self._key().rstrip('/')}/{query['prefix'][0]}"
            found = sum(key.startswith(start) for key in self.objects)
            self._answer(200, self._xml("ListBucketResult", f"<KeyCount>{found}</KeyCount>"))

    def do_PUT(self) -> None:
        body = self._body()
        source = self.headers.get("x-amz-copy-source")
        if self.refuse_writes or (source and self.refuse_copies):
            self._answer(403, self._xml("Error", "<Code>AccessDenied</Code>"))
        elif source:
            self.objects[self._key()] = self.objects[unquote(source).removeprefix("/")]
            self._answer(200, self._xml("CopyObjectResult", "<ETag>e</ETag>"))
        elif "partNumber" in (query := self._query()):
            self.parts[self._key()][int(query["partNumber"][0])] = body
            self._answer(200, ETag='"e"')
        else:
            self.objects[self._key()] = body
            self._answer(200, ETag='"e"')

    def do_POST(self) -> None:
        self._body()
        key = self._key()
        if self.refuse_writes:
            self._answer(403, self._xml("Error", "<Code>AccessDenied</Code>"))
        elif "uploads" in self._query():
            inner = f"<Key>{key}</Key><UploadId>u</UploadId>"
            self._answer(200, self._xml("InitiateMultipartUploadResult", inner))
        else:
            parts = self.parts.pop(key)
            self.objects[key] = b"".join(parts[number] for number in sorted(parts))
            inner = f"<Key>{key}</Key><ETag>e</ETag>"
            self._answer(200, self._xml("CompleteMultipartUploadResult", inner))

    def do_DELETE(self) -> None:
        self.objects.pop(self._key(), None)
        self._answer(204)


@pytest.fixture
def bucket() -> Iterator[Any]:
    class Own(Bucket):
        objects: ClassVar[dict[str, bytes]] = {"bucket/data/": b""}
        parts: ClassVar[dict[str, dict[int, bytes]]] = defaultdict(dict)
        seen: ClassVar[list[set[str]]] = []
        refuse_copies = False
        refuse_writes = False
        url = ""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Own) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        place = f"endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
        Own.url = f"s3://key:secret@bucket/data/out.parquet?{place}"
        try:
            yield Own
        finally:
            server.shutdown()
            thread.join()


def files(bucket: Any) -> list[str]:
    return sorted(key for key in bucket.objects if not key.endswith("/"))


def test_an_object_store_is_probed_and_left_as_it_was(bucket: Any) -> None:
    target = check_target(bucket.url)
    assert files(bucket) == []
    assert (target.location, target.renames) == ("bucket/data/out.parquet", True)
    assert "secret" not in target.path


def test_an_object_appears_whole_under_its_name(bucket: Any, small: pd.DataFrame) -> None:
    out, table = enrich(small)
    write(table, check_target(bucket.url))
    assert files(bucket) == ["bucket/data/out.parquet"]
    back = pq.ParquetFile(pa.BufferReader(bucket.objects["bucket/data/out.parquet"])).read()
    pd.testing.assert_frame_equal(back.to_pandas(), out)


def test_an_object_store_without_a_rename_is_written_at_once(
    bucket: Any, small: pd.DataFrame
) -> None:
    bucket.refuse_copies = True
    target = check_target(bucket.url)
    assert target.renames is False
    write(enrich(small)[1], target)
    assert files(bucket) == ["bucket/data/out.parquet"]


def test_an_object_store_that_refuses_is_an_os_error_beforehand(bucket: Any) -> None:
    bucket.refuse_writes = True
    with pytest.raises(OSError, match="ACCESS_DENIED"):
        check_target(bucket.url)


def test_a_failed_write_leaves_the_old_object(bucket: Any, small: pd.DataFrame) -> None:
    bucket.objects["bucket/data/out.parquet"] = b"old"
    target = check_target(bucket.url)
    bucket.refuse_copies = True
    with pytest.raises(OSError):
        write(enrich(small)[1], target)
    assert bucket.objects["bucket/data/out.parquet"] == b"old"
    assert files(bucket) == ["bucket/data/out.parquet"]


def test_a_folder_in_an_object_store_is_no_target(bucket: Any) -> None:
    bucket.objects["bucket/data/out.parquet/part"] = b""
    with pytest.raises(IsADirectoryError):
        check_target(bucket.url)
    with pytest.raises(IsADirectoryError):
        check_target(bucket.url.replace("out.parquet", ""))


def test_a_failed_write_leaves_what_was_there_where_nothing_can_be_renamed(bucket: Any) -> None:
    bucket.refuse_copies = True
    target = check_target(bucket.url)
    for old in ({}, {"bucket/data/out.parquet": b"old"}):
        bucket.objects.update(old)
        with pytest.raises(pa.ArrowInvalid, match="overflow"):
            write(TOO_FAR, target)
        assert {key: bucket.objects[key] for key in files(bucket)} == old


class Stuck:
    """A folder of this machine as a filesystem of its own, where no file replaces another."""

    type_name = "stuck"

    def __init__(self, folder: Path, error: Exception) -> None:
        self._files = pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem())
        self._error = error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)

    def move(self, *_: str) -> None:
        raise self._error


@pytest.mark.parametrize("error", [NotImplementedError("no rename"), OSError("it exists")])
def test_where_a_file_could_be_lost_half_way_none_is_written(
    tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out.parquet").write_bytes(b"old")
    place = Stuck(tmp_path, error), "out.parquet"
    monkeypatch.setattr("leads_pandas.frames.target.place_of", lambda _: place)
    with pytest.raises(OSError, match=f"no file can be replaced there .{error}.*stuck://"):
        check_target("stuck://host/out.parquet")
    assert [one.name for one in tmp_path.iterdir()] == ["out.parquet"]


def test_an_old_object_outlives_a_write_that_is_refused_where_nothing_can_be_renamed(
    bucket: Any, small: pd.DataFrame
) -> None:
    bucket.objects["bucket/data/out.parquet"] = b"old"
    bucket.refuse_copies = True
    target = check_target(bucket.url)
    assert target.renames is False
    bucket.refuse_writes = True
    with pytest.raises(OSError):
        write(enrich(small)[1], target)
    assert bucket.objects["bucket/data/out.parquet"] == b"old"
    bucket.refuse_writes = False
    write(enrich(small)[1], target)
    assert bucket.objects["bucket/data/out.parquet"].startswith(b"PAR1")


# What stays out of the import


def test_importing_does_not_import_pyarrow_parquet() -> None:
    code = (
        "import sys, leads_pandas.frames.delivery;"
        "heavy = ('pyarrow.parquet', 'pyarrow.fs', 'pyarrow.dataset');"
        "print(*(name for name in heavy if name in sys.modules))"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert child.stdout.split() == []


def test_the_documented_statuses_are_the_categories() -> None:
    out, _ = enrich(pd.DataFrame({"lead_id": ["l1"]}))
    assert tuple(out["enrichment_status"].cat.categories) == STATUSES
