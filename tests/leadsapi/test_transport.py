"""HTTP as it goes wrong: every broken answer is an error in words, and the key stays here."""

from __future__ import annotations

import contextlib
import email.utils
import gzip
import json
import os
import pickle
import signal
import socket
import threading
import time
import traceback
import types
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from leads_pandas.errors import (
    APIError,
    AuthenticationError,
    ConfigurationError,
    InsufficientCreditsError,
    LeadsError,
    NotFoundError,
    RateLimitError,
    ResponseError,
    ServerError,
    TransportError,
)
from leads_pandas.leadsapi import transport as transports
from leads_pandas.leadsapi.transport import (
    Transport,
    _parse_retry_after,
    check_base_url,
    is_loopback,
)
from leads_pandas.pace import wait as waits
from leads_pandas.pace.pacer import Pacer
from leads_pandas.pace.wait import Interrupted, Late, Wait
from tests.support.raw_server import RawServer, header, http, ok

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = "ll_" + "4d" * 32


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses between retries, which take no time here."""
    taken: list[float] = []

    def sleep(seconds: float) -> None:
        taken.append(seconds)

    clock = types.SimpleNamespace(
        monotonic=lambda: time.monotonic() + sum(taken), time=time.time, sleep=sleep
    )
    monkeypatch.setattr(waits, "time", clock)
    return taken


def a_transport(url: str, *, timeout: float = 5.0) -> Transport:
    return Transport(url, KEY, pacer=Pacer(None, 0), timeout=timeout, user_agent="test/1")


def whole(data: object) -> object:
    return data


def get(server: RawServer | str, path: str = "/x", **options: Any) -> object:
    """One repeatable request."""
    url = server if isinstance(server, str) else server.url
    timeout = options.pop("timeout", 5.0)
    transport = a_transport(url, timeout=timeout)
    try:
        return transport.call("GET", path, whole, **options)
    finally:
        transport.close()


def post_once(server: RawServer | str, *, timeout: float = 5.0, **options: Any) -> object:
    """One request that must not be repeated."""
    url = server if isinstance(server, str) else server.url
    transport = a_transport(url, timeout=timeout)
    try:
        return transport.call_once(
            "POST", "/start", whole, body={"leadIds": ["a"]}, timeout=timeout, **options
        )
    finally:
        transport.close()


def failure(call: Callable[[], object]) -> LeadsError:
    """The error of a call, which names no object of ``requests`` and shows no key."""
    with pytest.raises(LeadsError) as caught:
        call()
    error = caught.value
    chain: BaseException | None = error
    while chain is not None:
        assert type(chain).__module__.startswith("leads_pandas"), type(chain)
        assert KEY not in "".join(traceback.format_exception_only(chain))
        chain = chain.__cause__ or chain.__context__
    assert KEY.encode() not in pickle.dumps(error)
    assert "\n" not in str(error)
    return error


# -- answers -------------------------------------------------------------------------------------


def test_the_data_of_a_success_comes_back() -> None:
    with RawServer(ok({"a": 1})) as server:
        assert get(server) == {"a": 1}


@pytest.mark.parametrize(
    ("status", "body", "kind", "words"),
    [
        (401, {"statusCode": 401, "error": "Unauthorized", "message": "Invalid or expired token"},
         AuthenticationError, "Invalid or expired token"),
        (401, {"success": False, "error": "No such key"}, AuthenticationError, "No such key"),
        (403, {"success": False, "error": "Not yours"}, AuthenticationError, "LOCALLEADS_API_KEY"),
        (402, {"success": False, "error": "No money"}, InsufficientCreditsError, "No money"),
        (404, {"success": False, "error": "Lead not found"}, NotFoundError, "Lead not found"),
        (422, {"success": False, "error": "leadIds is empty"}, APIError, "leadIds is empty"),
        (413, b"<html>nginx</html>", APIError, "413"),
        (400, [], APIError, "400"),
        (400, {"error": {"deep": 1}}, APIError, "400"),
    ],
)  # fmt: skip
def test_a_refusal_is_an_error_in_the_services_own_words_and_is_not_repeated(
    status: int, body: object, kind: type[APIError], words: str
) -> None:
    with RawServer(http(status, body)) as server:
        error = failure(lambda: get(server, "/x"))
        assert type(error) is kind
        assert isinstance(error, APIError)
        assert (error.status_code, error.method, error.path) == (status, "GET", "/x")
        assert words in str(error)
        assert len(server.requests) == 1


def test_a_refusal_that_comes_with_status_200_is_an_error() -> None:
    with RawServer(http(200, {"success": False, "error": "No credits"})) as server:
        error = failure(lambda: get(server))
    assert "No credits" in str(error)
    assert isinstance(error, APIError)
    assert error.status_code == 200


@pytest.mark.parametrize("status", [500, 502, 503, 504, 520])
@pytest.mark.parametrize("body", [b"<html><h1>Bad gateway</h1></html>", {"error": "Oops"}, b""])
def test_a_failing_server_is_asked_five_times(
    status: int, body: object, pauses: list[float]
) -> None:
    with RawServer(http(status, body)) as server:
        error = failure(lambda: get(server))
        assert type(error) is ServerError
        assert "<html>" not in str(error)
        assert len(server.requests) == 5
    assert len(pauses) == 4
    assert sorted(pauses) == pauses


def test_a_server_that_recovers_is_believed() -> None:
    with RawServer(http(502, b"<html>"), http(408, {}), http(200, b"{"), ok([1])) as server:
        assert get(server) == [1]


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"<html>hello</html>", "it is not JSON"),
        (b'{"success": true, "data": {"a": 1', "it is not JSON"),
        (b"", "it is empty"),
        (b"  \n", "it is empty"),
        (b'{"success": true, "data": NaN}', "it is not JSON"),
        (b'{"success": true, "data": -Infinity}', "it is not JSON"),
        (b'{"success": true, "data": ' + b"[" * 200_000, "it is not JSON"),
        (b"[" * 200_000 + b"]" * 200_000, "it is not JSON"),
        (b'{"success": true, "data": ' + b"9" * 10_000 + b"}", "it is not JSON"),
        (b"\xff\xfe\x00", "it is not JSON"),
        (b"[1, 2]", "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"data": 1}', "does not say success"),
        (b'{"success": "true", "data": 1}', "does not say success"),
        (b'{"success": true}', "no data"),
    ],
)
def test_an_answer_outside_the_contract_is_an_error_that_says_why(
    payload: bytes, words: str
) -> None:
    with RawServer(http(200, payload)) as server:
        error = failure(lambda: get(server))
        assert type(error) is ResponseError
        assert words in str(error)
        assert len(server.requests) == 5


def test_what_the_service_says_is_shown_in_one_harmless_short_line() -> None:
    rude = "a\nb\x1b[31m" + "x" * 5000
    with RawServer(http(422, {"success": False, "error": rude})) as server:
        error = failure(lambda: get(server))
    assert "\x1b" not in str(error)
    assert len(str(error)) < 500


def test_a_compressed_answer_is_read() -> None:
    packed = gzip.compress(json.dumps({"success": True, "data": "x" * 100_000}).encode())
    with RawServer(http(200, packed, "Content-Encoding: gzip")) as server:
        assert get(server) == "x" * 100_000


def test_a_compressed_answer_that_is_none_is_no_answer() -> None:
    with RawServer(http(200, b"not gzip", "Content-Encoding: gzip")) as server:
        assert type(failure(lambda: get(server))) is TransportError


# -- answers that are slow, endless or cut -------------------------------------------------------


def drip(head: bytes, piece: bytes) -> Callable[[socket.socket], None]:
    """A reply that never ends, a little at a time."""

    def reply(connection: socket.socket) -> None:
        connection.sendall(head)
        with contextlib.suppress(OSError):
            for _ in range(2000):
                connection.sendall(piece)
                time.sleep(0.01)

    return reply


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"HTTP/1.1 200 -\r\nContent-Length: 100000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 -\r\n\r\n", b" "),
        (b"HTTP/1.1 200 -\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["length", "until closed", "chunked"],
)
def test_an_answer_that_drips_is_given_up_when_its_time_is_over(head: bytes, piece: bytes) -> None:
    with RawServer(drip(head, piece)) as server:
        error = failure(lambda: post_once(server, timeout=0.4))
    assert type(error) is TransportError
    assert "no answer in time" in str(error)


def test_an_answer_without_an_end_is_not_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transports, "_LARGEST_ANSWER", 1 << 20)
    endless = b"HTTP/1.1 200 -\r\nContent-Length: 1000000000\r\n\r\n"

    def reply(connection: socket.socket) -> None:
        connection.sendall(endless)
        for _ in range(1000):
            connection.sendall(b" " * (1 << 16))

    with RawServer(reply) as server:
        assert type(failure(lambda: post_once(server))) is TransportError


def silent(connection: socket.socket) -> None:
    connection.recv(1)  # until the client gives up


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


LOST: dict[str, tuple[bytes | Callable[[socket.socket], None], str]] = {
    "closed": (b"", "the connection was cut"),
    "reset": (reset, "the connection was cut"),
    "silent": (silent, "no answer in time"),
    "cut in the head": (b"HTTP/1.1 200 -\r\nConte", "the connection was cut"),
    "cut in the body": (http(200, {"success": True, "data": 1})[:-4], "the connection was cut"),
    "no HTTP at all": (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", "the connection was cut"),
}


@pytest.mark.parametrize(("reply", "words"), LOST.values(), ids=LOST)
def test_a_request_whose_answer_is_lost_may_have_been_carried_out(
    reply: bytes | Callable[[socket.socket], None], words: str
) -> None:
    with RawServer(reply) as server:
        error = failure(lambda: post_once(server, timeout=0.3))
        assert len(server.requests) == 1
    # A head that breaks off is read by http.client as a whole one: then the answer is broken.
    if isinstance(error, TransportError):
        assert error.sent is True
        assert words in str(error)
    else:
        assert type(error) is ResponseError


def test_what_may_be_repeated_is_repeated_where_the_answer_is_lost() -> None:
    with RawServer(b"", reset, ok(5)) as server:
        assert get(server) == 5
        assert len(server.requests) == 3


# -- what never left -----------------------------------------------------------------------------


@pytest.fixture
def closed() -> str:
    """An address where nobody listens."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{sock.getsockname()[1]}"


def test_a_refused_connection_means_that_nothing_was_sent(closed: str) -> None:
    error = failure(lambda: post_once(closed))
    assert isinstance(error, TransportError)
    assert error.sent is False
    assert "the connection was refused" in str(error)


def test_a_name_that_is_not_resolved_means_that_nothing_was_sent() -> None:
    error = failure(lambda: post_once("https://no-such-host.invalid"))
    assert isinstance(error, TransportError)
    assert error.sent is False
    assert "name was not resolved" in str(error)


def test_a_connection_that_never_comes_about_means_that_nothing_was_sent() -> None:
    # A listener whose queue is full answers no connection attempt at all.
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(8)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(address)
            url = f"http://127.0.0.1:{address[1]}"
            error = failure(lambda: post_once(url, timeout=0.3))
        finally:
            for one in waiting:
                one.close()
    assert isinstance(error, TransportError)
    assert error.sent is False
    assert "no connection in time" in str(error)


def test_a_dead_proxy_means_that_nothing_was_sent(
    closed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", closed)
    error = failure(lambda: post_once("https://service.invalid"))
    assert isinstance(error, TransportError)
    assert error.sent is False
    assert "the proxy failed" in str(error)


@pytest.mark.parametrize("reply", [http(502, b"no"), http(407, b"who?")])
def test_a_proxy_that_refuses_to_connect_never_sees_the_key(
    reply: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RawServer(reply) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        error = failure(lambda: post_once("https://service.invalid"))
        assert isinstance(error, TransportError)
        assert all(KEY not in one for one in proxy.requests)
        assert proxy.requests[0].startswith("CONNECT service.invalid:443")


# -- once, and on a connection of its own --------------------------------------------------------


@pytest.mark.parametrize(
    "reply",
    [
        b"",
        http(500, b""),
        http(503, b"", "Retry-After: 0"),
        http(429, b"", "Retry-After: 0"),
        http(408, b""),
        http(200, b"{"),
        http(307, b"", "Location: /start"),
        http(308, b"", "Location: /start"),
        http(302, b"", "Location: /elsewhere"),
    ],
)
def test_what_must_not_be_repeated_is_sent_once(reply: bytes) -> None:
    with RawServer(reply) as server:
        failure(lambda: post_once(server))
        assert len(server.requests) == 1


def test_what_must_not_be_repeated_goes_over_a_fresh_connection() -> None:
    accepted: list[int] = []

    def keep(connection: socket.socket) -> None:
        accepted.append(connection.getpeername()[1])
        body = b'{"success": true, "data": 1}'
        connection.sendall(b"HTTP/1.1 200 -\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        # The connection is left open for the next request, which must not come.
        connection.recv(1)

    with RawServer(keep) as server:
        transport = a_transport(server.url)
        for _ in range(2):
            transport.call_once("POST", "/start", whole, body={}, timeout=60.0)
        transport.close()
        assert len(set(accepted)) == 2


def test_the_last_word_comes_after_the_budget_and_before_the_first_byte() -> None:
    order: list[str] = []

    class Watched(Pacer):
        def acquire(self, **options: Any) -> Any:
            order.append("slot")
            return super().acquire(**options)

    def reply(connection: socket.socket) -> None:
        order.append("sent")
        connection.sendall(ok(1))

    with RawServer(reply) as server:
        transport = Transport(
            server.url, KEY, pacer=Watched(None, 0), timeout=60.0, user_agent="test/1"
        )
        transport.call_once(
            "POST", "/start", whole, timeout=60.0, before=lambda: order.append("word")
        )
    assert order == ["slot", "word", "sent"]


def test_where_the_last_word_fails_nothing_is_sent_and_the_slot_is_given_back(
    tmp_path: Path,
) -> None:
    pacer = Pacer(tmp_path / "pace.sqlite3", 1)

    def stop() -> None:
        raise KeyboardInterrupt

    with RawServer(ok(1)) as server:
        transport = Transport(server.url, KEY, pacer=pacer, timeout=60.0, user_agent="test/1")
        with pytest.raises(KeyboardInterrupt):
            transport.call_once("POST", "/start", whole, timeout=60.0, before=stop)
        assert server.requests == []
        assert transport.call("GET", "/x", whole, wait=Wait(deadline=time.monotonic() + 60)) == 1
        transport.close()


def test_a_request_that_never_left_gives_its_slot_back(closed: str, tmp_path: Path) -> None:
    pacer = Pacer(tmp_path / "pace.sqlite3", 1)
    transport = Transport(closed, KEY, pacer=pacer, timeout=60.0, user_agent="test/1")
    for _ in range(3):
        with pytest.raises(TransportError):
            transport.call_once(
                "POST", "/start", whole, timeout=60.0, wait=Wait(deadline=time.monotonic() + 60)
            )


# -- redirects and the key -----------------------------------------------------------------------


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(status: int) -> None:
    with RawServer(ok(1)) as trap:
        moved = http(status, b"", f"Location: {trap.url}/x")
        with RawServer(moved) as server:
            error = failure(lambda: get(server))
        assert type(error) is ResponseError
        assert "redirect" in str(error)
        assert trap.requests == []


def test_the_key_goes_in_its_header() -> None:
    with RawServer(ok(1)) as server:
        get(server)
        assert header(server.requests[0], "Authorization") == f"Bearer {KEY}"
        assert header(server.requests[0], "User-Agent") == "test/1"


def test_a_netrc_entry_does_not_replace_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with RawServer(ok(1)) as server:
        get(server)
        post_once(server)
        assert {header(one, "Authorization") for one in server.requests} == {f"Bearer {KEY}"}


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_loopback_never_goes_through_a_proxy(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with RawServer(ok(2)) as proxy, RawServer(ok(1)) as server:
        monkeypatch.setenv(name, proxy.url)
        assert get(server) == 1
        assert post_once(server) == 1
        assert proxy.requests == []


@pytest.mark.parametrize(
    "reply",
    [
        http(422, {"success": False, "error": f"bad key {KEY}!"}),
        http(401, {"statusCode": 401, "error": "Unauthorized", "message": f"Bearer {KEY}"}),
        http(500, {"success": False, "error": KEY}),
        http(200, {"success": False, "error": KEY}),
        http(302, {"error": KEY}, f"Location: /{KEY}"),
    ],
)
def test_a_key_that_the_service_repeats_is_left_out_of_messages(reply: bytes) -> None:
    with RawServer(reply) as server:
        error = failure(lambda: get(server))
    assert KEY not in str(error)
    assert KEY not in repr(error)


@pytest.mark.parametrize("pieces", [f"x{KEY[:280]}", "y" * 290 + KEY])
def test_a_key_that_is_cut_short_by_the_length_of_a_message_is_left_out_too(pieces: str) -> None:
    with RawServer(http(422, {"success": False, "error": pieces})) as server:
        error = failure(lambda: get(server))
    assert KEY[:10] not in str(error)


def test_cookies_are_neither_kept_nor_sent() -> None:
    with RawServer(http(200, {"success": True, "data": 1}, "Set-Cookie: a=b; Path=/")) as server:
        transport = a_transport(server.url)
        for _ in range(2):
            transport.call("GET", "/x", whole)
        transport.close()
        assert header(server.requests[1], "Cookie") is None


# -- 429 -----------------------------------------------------------------------------------------


def test_a_wait_that_is_asked_for_is_taken_and_the_request_repeated(pauses: list[float]) -> None:
    with RawServer(http(429, b"", "Retry-After: 7"), ok(1)) as server:
        assert get(server) == 1
    assert pauses == pytest.approx([7.0], abs=0.5)


def test_a_wait_may_be_asked_for_by_date(pauses: list[float]) -> None:
    moment = email.utils.formatdate(time.time() + 20, usegmt=True)
    with RawServer(http(429, b"", f"Retry-After: {moment}"), ok(1)) as server:
        assert get(server) == 1
    assert 18.0 <= pauses[0] <= 21.5


def test_without_a_wait_asked_for_it_is_asked_again_each_second(pauses: list[float]) -> None:
    with RawServer(http(429, b""), http(429, b""), ok(1)) as server:
        assert get(server) == 1
    assert pauses == pytest.approx([1.0, 1.0], abs=0.5)


@pytest.mark.parametrize(("asked", "requests"), [(600, 1), (50, 3)])
def test_patience_with_a_rate_limit_ends_after_two_minutes(asked: int, requests: int) -> None:
    with RawServer(http(429, {"error": "Slow down"}, f"Retry-After: {asked}")) as server:
        error = failure(lambda: get(server))
        assert isinstance(error, RateLimitError)
        assert error.retry_after == asked
        assert "Slow down" in str(error)
        assert len(server.requests) == requests


def test_a_rate_limit_past_the_callers_deadline_is_an_error_at_once(pauses: list[float]) -> None:
    with RawServer(http(429, b"", "Retry-After: 60")) as server:
        wait = Wait(deadline=time.monotonic() + 20)
        assert isinstance(failure(lambda: get(server, wait=wait)), RateLimitError)
    assert pauses == []


def test_a_retry_past_the_callers_deadline_ends_the_wait() -> None:
    with RawServer(http(500, b"")) as server, pytest.raises(Late):
        get(server, wait=Wait(deadline=time.monotonic() + 0.05))


def test_a_pause_ends_when_the_caller_is_told_to_stop() -> None:
    stop = threading.Event()
    stop.set()
    with RawServer(http(500, b"")) as server, pytest.raises(Interrupted):
        get(server, wait=Wait(stop=stop))


def test_a_long_wait_says_until_when_and_how_to_lift_it(tmp_path: Path) -> None:
    pacer = Pacer(tmp_path / "pace.sqlite3", 5)
    with RawServer(http(429, b"", "Retry-After: 1700000000000"), ok(1)) as server:
        transport = Transport(server.url, KEY, pacer=pacer, timeout=60.0, user_agent="test/1")
        with pytest.raises(RateLimitError) as first:
            transport.call("GET", "/x", whole)
        assert first.value.retry_after == 3600.0
        with pytest.raises(RateLimitError, match="was not sent") as later:
            transport.call("GET", "/x", whole)
        path = tmp_path / "pace.sqlite3"
        assert f"delete {path}" in str(later.value)
        path.unlink()
        fresh = Pacer(path, 5)
        lifted = Transport(server.url, KEY, pacer=fresh, timeout=60.0, user_agent="test/1")
        assert lifted.call("GET", "/x", whole) == 1
        transport.close()
        lifted.close()


def shown(error: BaseException) -> Iterator[tuple[str, object]]:
    """What a verbose traceback shows: every local of every frame, of the chain too."""
    seen: BaseException | None = error
    while seen is not None:
        for frame, _ in traceback.walk_tb(seen.__traceback__):
            if frame.f_globals.get("__name__") != __name__:
                yield from frame.f_locals.items()
        seen = seen.__cause__ or seen.__context__


@pytest.mark.parametrize("once", [False, True])
def test_ctrl_c_inside_a_request_leaves_no_frame_that_shows_the_key(once: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:

        def interrupt() -> None:
            connection, _ = silent.accept()
            with connection:
                connection.recv(1)
                os.kill(os.getpid(), signal.SIGINT)
                ended.wait()

        ended = threading.Event()
        thread = threading.Thread(target=interrupt, daemon=True)
        thread.start()
        transport = a_transport(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=60.0)
        call: Callable[[], object] = (
            (lambda: transport.call_once("POST", "/start", whole, timeout=60.0))
            if once
            else (lambda: transport.call("GET", "/x", whole))
        )
        with pytest.raises(KeyboardInterrupt) as caught:
            call()
        ended.set()
        thread.join()
        transport.close()
    names = []
    for name, value in shown(caught.value):
        names.append(name)
        assert KEY not in repr(value), name
        assert type(value).__module__.partition(".")[0] not in {"requests", "urllib3", "http"}, name
    assert once or "method" in names  # what is not repeated leaves no frame of ours at all


NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("", None),
        ("soon", None),
        ("1.5", None),
        ("-3", None),
        ("²", None),
        ("0", 0.0),
        (" 12 ", 12.0),
        ("9" * 40, 3600.0),
        ("1700000060", 3600.0),
        ("60000", 3600.0),
        ("Fri, 14 Nov 2053 22:13:30 GMT", 3600.0),
        ("Tue, 14 Nov 2023 22:13:30 GMT", 11.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1.0),
        ("Wed, 99 Oct 2015 07:28:00 GMT", None),
        ("Wed, 21 Oct 2015 07:28:00 +99999999999999999999", None),
    ],
)
def test_both_forms_of_retry_after_are_read(text: str | None, seconds: float | None) -> None:
    assert _parse_retry_after(text, NOW) == seconds


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.text()
    | st.from_regex(r"[A-Z][a-z]{2}, \d{1,3} [A-Z][a-z]{2} \d{1,6} \d\d:\d\d:\d\d [+-]?\d{0,25}")
)
def test_no_retry_after_breaks_anything(text: str) -> None:
    seconds = _parse_retry_after(text, NOW)
    assert seconds is None or seconds >= 0.0


# -- base URLs -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://service.example", "https://service.example"),
        (" https://service.example/ ", "https://service.example"),
        ("https://service.example:8443/base//", "https://service.example:8443/base"),
        ("http://localhost:8000", "http://localhost:8000"),
        ("http://127.0.0.1:1", "http://127.0.0.1:1"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_https_and_loopback_are_fit_for_the_key(url: str, kept: str) -> None:
    assert check_base_url(url) == kept


@pytest.mark.parametrize(
    "url",
    [
        "",
        "service.example",
        "ftp://service.example",
        "file:///etc/passwd",
        "https://",
        "http://service.example",
        "http://localhost.service.example",
        "http://127.0.0.1.service.example",
        "http://10.0.0.1",
        "http://[fe80::1]",
        "https://user@service.example",
        "https://user:pass@service.example",
        "https://service.example?key=1",
        "https://service.example#part",
        "https://service.example:port",
        "https://[::1",
    ],
)
def test_other_addresses_are_refused_before_anything_is_sent(url: str) -> None:
    with pytest.raises(ConfigurationError):
        check_base_url(url)


@pytest.mark.parametrize(
    ("host", "local"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("example.com", False),
        ("2130706433", False),
    ],
)
def test_loopback_is_known_by_its_address(host: str, local: bool) -> None:
    assert is_loopback(host) is local


def test_a_transport_does_not_show_its_key() -> None:
    transport = a_transport("https://service.example")
    session = transport._new_session()
    assert KEY not in repr(transport) + repr(session) + repr(session.auth) + str(session.headers)
    session.close()


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_many_threads_share_one_transport(method: str) -> None:
    with RawServer(ok(1)) as server:
        transport = a_transport(server.url)
        answers: list[object] = []
        threads = [
            threading.Thread(target=lambda: answers.append(transport.call(method, "/x", whole)))
            for _ in range(8)
        ]
        transport.call(method, "/x", whole)
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        transport.close()
    assert answers == [1] * 8
