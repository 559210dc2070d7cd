from __future__ import annotations

import random

from leads_pandas.server.ratelimit import WINDOW, RateLimiter


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_so_many_requests_pass_and_the_next_is_told_to_wait_the_window() -> None:
    clock = Clock()
    limiter = RateLimiter(3, clock)
    assert [limiter.admit("a") for _ in range(4)] == [0, 0, 0, 60]


def test_just_inside_the_window_is_refused_and_its_very_end_is_free() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock)
    limiter.admit("a")
    clock.now += WINDOW - 0.001
    assert limiter.admit("a") == 1
    clock.now = 1000.0 + WINDOW
    assert limiter.admit("a") == 0


def test_the_window_slides_request_by_request() -> None:
    clock = Clock()
    limiter = RateLimiter(2, clock)
    limiter.admit("a")
    clock.now += 30
    limiter.admit("a")
    clock.now += 30
    assert [limiter.admit("a"), limiter.admit("a")] == [0, 30]


def test_the_wait_is_rounded_up_and_after_it_the_request_passes() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock)
    limiter.admit("a")
    clock.now += 0.5
    wait = limiter.admit("a")
    assert wait == 60
    clock.now += wait
    assert limiter.admit("a") == 0


def test_refused_requests_do_not_count() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock)
    limiter.admit("a")
    for _ in range(100):
        clock.now += 0.5
        limiter.admit("a")
    clock.now = 1000.0 + WINDOW
    assert limiter.admit("a") == 0


def test_every_client_has_a_window_of_its_own() -> None:
    limiter = RateLimiter(1, Clock())
    assert [limiter.admit(client) for client in ("a", "b", "a")] == [0, 0, 60]


def test_zero_means_no_limit() -> None:
    limiter = RateLimiter(0, Clock())
    assert not any(limiter.admit("a") for _ in range(1000))


def test_no_window_of_a_minute_holds_more_than_the_limit() -> None:
    clock, chance = Clock(), random.Random(1)
    limiter = RateLimiter(10, clock)
    admitted = []
    for _ in range(3000):
        clock.now += chance.expovariate(1.0)
        if not limiter.admit("a"):
            admitted.append(clock.now)
    assert len(admitted) > 400
    for first, eleventh in zip(admitted, admitted[10:], strict=False):
        assert eleventh - first >= WINDOW


def test_clients_of_long_ago_are_forgotten() -> None:
    clock = Clock()
    limiter = RateLimiter(1, clock)
    for client in range(1500):
        limiter.admit(str(client))
    clock.now += WINDOW
    limiter.admit("new")
    assert len(limiter._seen) == 1
