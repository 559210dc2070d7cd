"""How the service's JSON is read and written: envelopes, and one field table per class.

Client and local service share it. No I/O, no pandas, and no name of a field: those are `models`'.
"""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Self,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    Reader = Callable[[object], Any]

LARGEST = 2**63  # what SQLite can hold


class WireError(ValueError):
    """A body does not fit the contract; the message says which field."""


def envelope(data: object, *, meta: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Wrap an answer's data as the service does."""
    body: dict[str, Any] = {"success": True, "data": data}
    if meta is not None:
        body["meta"] = dict(meta)
    return body


def error_envelope(message: str) -> dict[str, Any]:
    """The service's usual error body."""
    return {"success": False, "error": message}


def unauthorized_envelope(message: str = "Invalid or expired token") -> dict[str, Any]:
    """The error body that the service uses on 401."""
    return {"statusCode": 401, "error": "Unauthorized", "message": message}


def open_envelope(body: object) -> object:
    """Return the data of a successful answer."""
    if not isinstance(body, dict):
        raise WireError("the body is not a JSON object")
    if body.get("success") is not True:
        raise WireError("the body does not say success")
    if "data" not in body:
        raise WireError("the body has no data")
    return body["data"]


def error_message(body: object) -> str | None:
    """The human-readable words of either error body, or None where there are none."""
    if isinstance(body, dict):
        for name in ("message", "error"):
            text = body.get(name)
            if isinstance(text, str) and text.strip():
                return text.strip()
    return None


# Readers: a field's value, checked; `Wire` puts the field's name before the complaint.


def _whole(least: int, value: object) -> int:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise WireError("is not an integer")
    if not least <= value < LARGEST:
        raise WireError("is out of range")
    return value


def _number(least: float, most: float, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise WireError("is not a number")
    if not least <= value <= most:  # infinity and NaN included
        raise WireError(f"is not between {least} and {most}")
    return float(value)


def text(value: object) -> str:
    """A text that is not empty, and valid; `WireError` where it is none."""
    if not isinstance(value, str) or not value:
        raise WireError("is not a text")
    try:
        # JSON can spell half a surrogate pair, which neither SQLite nor Parquet can hold.
        value.encode()
    except UnicodeEncodeError:
        raise WireError("is not valid Unicode") from None
    return value


def _identifier(value: object) -> str:
    # Nothing says that the id of a transaction is a text.
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return text(str(value) if is_number else value)


def _moment(value: object) -> datetime:
    try:
        moment = datetime.fromisoformat(text(value))
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise WireError("is not an ISO 8601 time") from None


count = functools.partial(_whole, 0)  # a whole number of 0 or more

# What a field's type does not say by itself.
Signed = Annotated[int, functools.partial(_whole, 1 - LARGEST)]
Share = Annotated[float, functools.partial(_number, 0, 1)]
Identifier = Annotated[str, _identifier]
Ours = Annotated[float, None]  # not the service's

_READERS: dict[Any, Reader] = {
    int: count,
    float: functools.partial(_number, -LARGEST, LARGEST),
    str: text,
    datetime: _moment,
}


def _reader(hint: Any) -> Reader | None:
    origin, kinds = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return cast("Reader | None", kinds[1])
    if origin is Literal:
        return functools.partial(_one_of, kinds)
    if origin is tuple:
        return lambda value: tuple(kinds[0].list_from_wire(value))
    if type(None) in kinds:
        read = _reader(kinds[0])
        return lambda value: None if value is None or value == "" or not read else read(value)
    return _READERS[hint]


def _one_of(words: tuple[str, ...], value: object) -> str:
    if text(value) not in words:
        raise WireError(f"{str(value)[:40]!r} is not one of {', '.join(words)}")
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return timestamp(value)
    return [one.to_wire() for one in value] if isinstance(value, tuple) else value


def timestamp(moment: datetime) -> str:
    """A moment as the service writes it: ISO 8601, UTC, milliseconds, ``Z``."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


@functools.cache
def _fields(kind: Hashable) -> tuple[tuple[str, str, Reader], ...]:
    """The one table of a class: of each field our name, the service's, and the reader."""
    table = []
    for own, hint in get_type_hints(kind, include_extras=True).items():
        first, *more = own.split("_")
        if read := _reader(hint):
            table.append((own, first + "".join(map(str.title, more)), read))
    return tuple(table)


class Wire:
    """A dataclass that is an object of the service's, which writes ``lead_id`` as ``leadId``.

    A field's type says how it is read: a count, a text, a moment, or None where it may be missing.
    """

    __slots__ = ()

    @classmethod
    def from_wire(cls, data: object) -> Self:
        """Read what the service answered; `WireError` where it does not fit."""
        if not isinstance(data, dict):
            raise WireError("the data is not a JSON object")
        values = {}
        for own, name, read in _fields(cast("Hashable", cls)):
            try:
                values[own] = read(data.get(name))
            except WireError as fault:
                raise WireError(f"{name} {fault}") from None
        return cls(**values)

    @classmethod
    def list_from_wire(cls, data: object) -> list[Self]:
        """Read a list of them; `WireError` where it does not fit."""
        if not isinstance(data, list):
            raise WireError("the data is not a list")
        return [cls.from_wire(one) for one in data]

    def to_wire(self) -> dict[str, Any]:
        """The object as the service gives it."""
        return {
            name: _plain(getattr(self, own))
            for own, name, _ in _fields(cast("Hashable", type(self)))
        }
