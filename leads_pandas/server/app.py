"""The service's HTTP side: LeadsAPI's routes over the database; no work of its own."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.routing import Route

from leads_pandas.contract import (
    WireError,
    envelope,
    error_envelope,
    timestamp,
    unauthorized_envelope,
)
from leads_pandas.models import read_selection
from leads_pandas.server.db import NoCreditsError, Selection, UnknownQueryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from leads_pandas.server.db import Database, Transaction
    from leads_pandas.server.ratelimit import RateLimiter

    Endpoint = Callable[[Request], Awaitable[JSONResponse]]

log = logging.getLogger("leads_pandas.server")

MAX_BODY = 32 * 1024 * 1024
MAX_PAGE, DEFAULT_PAGE = 100, 50
_INT64_DIGITS = 18
_BEHIND_ALL = 10**_INT64_DIGITS


def build_app(
    database: Database,
    limiter: RateLimiter,
    *,
    on_start: Callable[[], None],
) -> ASGIApp:
    """The service as an ASGI application.

    Args:
        database: answers every question.
        limiter: counts every request, by the address it comes from.
        on_start: called after a job was started.
    """
    return _Gate(_routes(database, on_start), limiter, database)


class _Gate:
    """Counts every request, asks for the key, and keeps failures inside LeadsAPI's error body."""

    def __init__(self, app: ASGIApp, limiter: RateLimiter, database: Database) -> None:
        self._app = app
        self._limiter = limiter
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = await self._refusal(scope)
        try:
            await (self._app if refusal is None else refusal)(scope, receive, send)
        except Exception:
            # Starlette has answered with 500 by now, and raises for whoever keeps the log.
            log.exception("%s %s failed", scope["method"], scope["path"])

    async def _refusal(self, scope: Scope) -> JSONResponse | None:
        client = scope.get("client")
        wait = self._limiter.admit(client[0] if client else "")
        if wait:
            return _error(
                429,
                f"Rate limit exceeded: try again in {wait} s",
                headers={"Retry-After": str(wait)},
            )
        key = _bearer(scope)
        if key is None or not await run_in_threadpool(self._database.knows_key, key):
            return JSONResponse(
                unauthorized_envelope(), 401, headers={"WWW-Authenticate": "Bearer"}
            )
        return None


def _bearer(scope: Scope) -> str | None:
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    if len(values) != 1:
        return None
    scheme, _, key = values[0].decode("latin-1").partition(" ")
    return key.strip() if scheme.lower() == "bearer" and key.strip() else None


def _routes(database: Database, on_start: Callable[[], None]) -> Starlette:
    async def preview(request: Request) -> JSONResponse:
        body = await _body(request)

        def work() -> JSONResponse:
            lead_ids, query_id, _ = read_selection(_parse(body))
            return _answer(database.preview(Selection.of(lead_ids, query_id)).to_wire())

        return await run_in_threadpool(work)

    async def start(request: Request) -> JSONResponse:
        body = await _body(request)

        def work() -> JSONResponse:
            lead_ids, query_id, max_credits = read_selection(_parse(body))
            started = database.start(Selection.of(lead_ids, query_id), max_credits)
            on_start()
            return _answer(started.to_wire())

        return await run_in_threadpool(work)

    async def status(request: Request) -> JSONResponse:
        found = await run_in_threadpool(database.status, request.path_params["job_id"])
        return _error(404, "Job not found") if found is None else _answer(found.to_wire())

    async def lead(request: Request) -> JSONResponse:
        found = await run_in_threadpool(database.lead, request.path_params["lead_id"])
        return _error(404, "Lead not found") if found is None else _answer(found.to_wire())

    async def jobs(_: Request) -> JSONResponse:
        active = await run_in_threadpool(database.active_jobs)
        return _answer([one.to_wire() for one in active])

    async def balance(_: Request) -> JSONResponse:
        return _answer((await run_in_threadpool(database.balance)).to_wire())

    async def transactions(request: Request) -> JSONResponse:
        limit = _number(request, "limit", DEFAULT_PAGE, 1, MAX_PAGE)
        offset = _number(request, "offset", 0, 0, None)
        rows, total = await run_in_threadpool(database.transactions, limit, offset)
        meta = {"total": total, "limit": limit, "offset": offset}
        return JSONResponse(envelope([_transaction(one) for one in rows], meta=meta))

    def route(method: str, path: str, endpoint: Endpoint) -> Route:
        return Route(f"/api/v1{path}", endpoint, methods=[method])

    app = Starlette(
        routes=[
            route("POST", "/enrichment/preview", preview),
            route("POST", "/enrichment/start", start),
            route("GET", "/enrichment/jobs", jobs),
            # An ID may hold a slash, which has been decoded by now.
            route("GET", "/enrichment/status/{job_id:path}", status),
            route("GET", "/enrichment/lead/{lead_id:path}", lead),
            route("GET", "/credits/balance", balance),
            route("GET", "/credits/transactions", transactions),
        ],
        exception_handlers={
            HTTPException: _http_error,
            WireError: _always(422),
            UnknownQueryError: _always(404, "Query not found"),
            NoCreditsError: _always(402, "Insufficient credits: not a single lead fits"),
            # Nobody is there to read it.
            ClientDisconnect: _always(400, "The body breaks off"),
            Exception: _always(500, "Internal error"),
        },
    )
    app.router.redirect_slashes = False
    return app


async def _body(request: Request) -> bytes:
    """The request's body; `HTTPException` 413 once it is longer than allowed."""
    too_long = HTTPException(413, f"The body is longer than {MAX_BODY:,} bytes")
    length = request.headers.get("content-length", "0")
    if not length.isdecimal() or len(length) > _INT64_DIGITS or int(length) > MAX_BODY:
        raise too_long
    parts = bytearray()
    async for part in request.stream():
        parts += part
        if len(parts) > MAX_BODY:
            raise too_long
    return bytes(parts)


def _parse(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise HTTPException(400, "The body is not valid JSON") from None


def _number(request: Request, name: str, default: int, low: int, high: int | None) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    if text.isascii() and text.isdecimal():
        # However long, it is behind the last row; SQLite takes 64 bits, and int() has its limit.
        number = int(text) if len(text) <= _INT64_DIGITS else _BEHIND_ALL
        if low <= number and (high is None or number <= high):
            return number
    span = f"at least {low}" if high is None else f"from {low} to {high}"
    raise HTTPException(422, f"{name} must be a whole number {span}")


def _transaction(one: Transaction) -> dict[str, Any]:
    return {
        "id": f"txn_{one.number:08d}",
        "type": one.type,
        "amount": one.amount,
        "description": one.description,
        "createdAt": timestamp(one.created_at),
    }


def _answer(data: object) -> JSONResponse:
    return JSONResponse(envelope(data))


def _error(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse(error_envelope(message), status, headers=headers)


async def _http_error(_: Request, error: Exception) -> JSONResponse:
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = error.detail if isinstance(error, HTTPException) else "Internal error"
    headers = getattr(error, "headers", None)
    return _error(status, detail, dict(headers) if headers else None)


def _always(status: int, message: str = "") -> Callable[[Request, Exception], Any]:
    """Answer an error with one status, and its own words where no others are given."""

    async def answer(_: Request, error: Exception) -> JSONResponse:
        return _error(status, message or str(error))

    return answer
