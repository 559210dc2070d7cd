"""Memory for large pages: all together stay within bounds, and nobody waits for ever."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest

from leads_pandas.finding import room
from leads_pandas.finding.room import Room


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> Room:
    monkeypatch.setattr(room, "HELD", 100)
    return Room(contextlib.nullcontext)


def soon() -> float:
    return time.monotonic() + 30


def test_who_came_first_gets_whatever_it_wants_and_others_share_the_rest(small: Room) -> None:
    assert small.take("first", 90, soon())
    assert small.take("second", 10, soon())
    assert not small.take("second", 1, time.monotonic())
    assert small.take("first", 1_000, soon())


def test_who_waits_goes_on_as_soon_as_there_is_room(small: Room) -> None:
    assert small.take("first", 100, soon())
    went: list[bool] = []
    waiting = threading.Thread(target=lambda: went.append(small.take("second", 50, soon())))
    waiting.start()
    assert not went
    small.leave("first")
    waiting.join()
    assert went == [True]


def test_nobody_waits_any_longer_once_it_is_closed(small: Room) -> None:
    assert small.take("first", 100, soon())
    went: list[bool] = []
    waiting = threading.Thread(target=lambda: went.append(small.take("second", 50, soon())))
    waiting.start()
    small.close()
    waiting.join()
    assert went == [False]
