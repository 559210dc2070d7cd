"""How much of a shared request budget is used, and how often it is overdrawn.

Run ``python benchmarks/pacing.py [--requests 600 --limit 100 --window 6 --latency 0.06]``.
Four processes of four threads make the requests against a server in a process of its own, which
answers 429 by an exact sliding window. The documented window of 60 s is scaled to 6 s, so that the
run takes a minute or two; the latency, drawn anew for each way, is not scaled and so weighs ten
times as much as it would. The comparison is pyrate-limiter with its SQLite bucket, the
multi-process set-up of its documentation: ``pip install pyrate-limiter``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import math
import multiprocessing
import os
import platform
import random
import socket
import socketserver
import tempfile
import threading
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from leads_pandas.pace.pacer import Pacer

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

PROCESSES = THREADS = 4
SPAWN = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Plan:
    """What is asked of each contestant.

    Args:
        requests: to be served.
        limit: of the server, per window.
        window: seconds.
        latency: the most that one way takes, seconds.
    """

    requests: int
    limit: int
    window: float
    latency: float

    @property
    def bound(self) -> float:
        """Seconds in which nobody can do better."""
        return (self.requests - 1) // self.limit * self.window


@dataclass(frozen=True)
class Result:
    seconds: float
    share: float
    refusals: int
    longest_wait: float
    fewest: int
    most: int


class Limiter(Protocol):
    def before(self) -> object:
        """Wait until a request may be sent."""

    def after(self, ticket: Any) -> None:
        """The answer is here."""


class Ours:
    def __init__(self, folder: Path, plan: Plan) -> None:
        self._pacer = Pacer(folder / "pace.sqlite", plan.limit, window=plan.window)

    def before(self) -> object:
        return self._pacer.acquire(lease=5.0)

    def after(self, ticket: Any) -> None:
        self._pacer.release(ticket)


class Pyrate:
    def __init__(self, folder: Path, plan: Plan) -> None:
        from pyrate_limiter.limiter_factory import create_sqlite_limiter

        self._limiter = create_sqlite_limiter(
            rate_per_duration=plan.limit,
            duration=round(plan.window * 1000),
            db_path=str(folder / "pyrate.sqlite"),
            use_file_lock=True,
        )

    def before(self) -> object:
        while not self._limiter.try_acquire("leads"):
            pass
        return None

    def after(self, ticket: Any) -> None:
        pass


class Server(socketserver.ThreadingTCPServer):
    """One byte in, one byte out: ``y`` served, ``n`` refused, ``.`` no more wanted."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, plan: Plan) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = plan
        self.lock = threading.Lock()
        self.served: list[float] = []  # when each was counted
        self.refused = 0

    def count(self) -> bytes:
        with self.lock:
            now = time.monotonic()
            if len(self.served) >= self.plan.requests:
                return b"."
            recent = len(self.served) - bisect_right(self.served, now - self.plan.window)
            if recent >= self.plan.limit:
                self.refused += 1
                return b"n"
            self.served.append(now)
            return b"y"


class Handler(socketserver.BaseRequestHandler):
    server: Server

    def handle(self) -> None:
        one_way = self.server.plan.latency
        while self.request.recv(1):
            time.sleep(random.uniform(0, one_way))
            answer = self.server.count()
            time.sleep(random.uniform(0, one_way))
            self.request.sendall(answer)


def serve(plan: Plan, pipe: Connection) -> None:
    with Server(plan) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        pipe.send(server.server_address[1])
        pipe.recv()
        pipe.send((server.refused, server.served))
        server.shutdown()


@dataclass(frozen=True)
class Contest:
    """What a process needs to know to take part."""

    make: Callable[[Path, Plan], Limiter]
    folder: Path
    plan: Plan
    port: int


def work(contest: Contest, ready: Any, out: Any) -> None:
    """One process: its threads send until the server wants no more."""
    limiter = contest.make(contest.folder, contest.plan)
    waits, served, ends = [0.0], Counter[int](), [0.0]

    def one(number: int) -> None:
        with socket.create_connection(("127.0.0.1", contest.port)) as line:
            answer, wanted = b"", time.monotonic()
            while answer != b".":
                ticket = limiter.before()
                asked = time.monotonic()
                line.sendall(b"?")
                answer = line.recv(1)
                limiter.after(ticket)
                if answer == b"y":
                    waits.append(asked - wanted)
                    served[number] += 1
                    wanted = time.monotonic()
                    ends.append(wanted)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(THREADS)]
    ready.wait()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    out.put((max(ends), max(waits), [served[n] for n in range(THREADS)]))


def run(make: Callable[[Path, Plan], Limiter], plan: Plan) -> Result:
    here, there = SPAWN.Pipe()
    server = SPAWN.Process(target=serve, args=(plan, there))
    server.start()
    port = here.recv()
    ready, out = SPAWN.Barrier(PROCESSES + 1), SPAWN.Queue()
    with tempfile.TemporaryDirectory() as folder:
        contest = Contest(make, Path(folder), plan, port)
        workers = [SPAWN.Process(target=work, args=(contest, ready, out)) for _ in range(PROCESSES)]
        for worker in workers:
            worker.start()
        ready.wait()
        began = time.monotonic()
        # Whoever still waits for its turn when all is served has nothing more to tell.
        answers = [out.get() for _ in workers]
        for worker in workers:
            worker.join()
    here.send("enough")
    refusals, served = here.recv()
    server.join()
    ends, waits, by_thread = zip(*answers, strict=True)
    counts = [count for process in by_thread for count in process]
    # How long the budget of so many windows lasted: the last burst's answers are no loss of it.
    windows = (plan.requests - 1) // plan.limit
    took = served[windows * plan.limit] - served[0]
    share = windows * plan.window / took if windows else math.nan
    return Result(max(ends) - began, share, refusals, max(waits), min(counts), max(counts))


def cost_of_a_grant(limit: int = 6000) -> tuple[float, float]:
    """Microseconds per request for the ledger alone, in one thread and in sixteen."""

    def send(pacer: Pacer, times: int) -> None:
        for _ in range(times):
            pacer.release(pacer.acquire(lease=30.0))

    costs = []
    for threads in (1, 16):
        each = (limit - 1) // threads
        with tempfile.TemporaryDirectory() as folder:
            pacer = Pacer(Path(folder) / "pace.sqlite", limit)
            send(pacer, 1)
            workers = [threading.Thread(target=send, args=(pacer, each)) for _ in range(threads)]
            began = time.perf_counter()
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            costs.append((time.perf_counter() - began) / (each * threads) * 1e6)
    return costs[0], costs[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=600)
    parser.add_argument("--limit", type=int, default=100)
    parser.add_argument("--window", type=float, default=6.0)
    parser.add_argument("--latency", type=float, default=0.06, help="the most one way takes, s")
    plan = Plan(**vars(parser.parse_args()))
    contestants: dict[str, Callable[[Path, Plan], Limiter]] = {"leads_pandas": Ours}
    try:
        version = importlib.metadata.version("pyrate-limiter")
        contestants[f"pyrate-limiter {version}"] = Pyrate
    except importlib.metadata.PackageNotFoundError:
        print("pyrate-limiter is not installed: no comparison (pip install pyrate-limiter)\n")

    print(
        f"{plan.requests} requests, {PROCESSES} processes x {THREADS} threads, limit {plan.limit} "
        f"per {plan.window:g} s (exact sliding window), latency 0-{plan.latency * 1000:g} ms each "
        f"way\nPython {platform.python_version()}, {os.cpu_count()} cores, "
        f"{datetime.now(UTC):%Y-%m-%d}; nobody can do it in less than {plan.bound:g} s\n"
    )
    print(f"{'':<22}{'time':>9}{'of the':>10}{'429s':>7}{'longest':>14}{'requests':>12}")
    print(f"{'':<22}{'':>9}{'budget':>10}{'':>7}{'wait/window':>14}{'per thread':>12}")
    for name, make in contestants.items():
        result = run(make, plan)
        print(
            f"{name:<22}{result.seconds:>7.2f} s{result.share:>10.1%}{result.refusals:>7}"
            f"{result.longest_wait / plan.window:>14.2f}"
            f"{f'{result.fewest}-{result.most}':>12}",
            flush=True,
        )
    one, many = cost_of_a_grant()
    print(
        f"\nA request's share of the ledger: {one:.0f} us in one thread, {many:.0f} us in sixteen"
    )


if __name__ == "__main__":
    main()
