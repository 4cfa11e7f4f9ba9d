"""What a call of the `limits` library costs: `hits.py CALLS ROUNDS [REDIS_PORT]`, run where that library is installed."""

import asyncio
import json
import statistics
import sys
import time

from limits import RateLimitItemPerHour
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import FixedWindowRateLimiter, RateLimiter, SlidingWindowCounterRateLimiter

ITEM = RateLimitItemPerHour(900_000_000)
KINDS: dict[str, type[RateLimiter]] = {
    "fixed window": FixedWindowRateLimiter,
    "sliding window": SlidingWindowCounterRateLimiter,
}
LONGEST = 5.0
"""Seconds that a row may take: some calls cost milliseconds."""


async def measure(storage: Storage, kind: type[RateLimiter], keys: int, calls: int, rounds: int) -> float:
    """Return the microseconds a hit takes with `keys` live keys."""
    limiter = kind(storage)
    names = [f"caller-{number}" for number in range(keys)]
    for name in names:
        await limiter.hit(ITEM, name)
    micros = []
    begun = time.perf_counter()
    for turn in range(rounds):
        done, round_begun = 0, time.perf_counter()
        while done < calls and time.perf_counter() - begun < LONGEST * (turn + 1) / rounds:
            await limiter.hit(ITEM, names[(turn * calls + done) % keys])
            # As in a server, where other tasks run between two requests: the library's own gets its turn.
            await asyncio.sleep(0)
            done += 1
        micros.append((time.perf_counter() - round_begun) / max(1, done) * 1e6)
    return statistics.median(micros)


async def main() -> None:
    calls, rounds, *port = map(int, sys.argv[1:])
    rows = []
    for name, kind in KINDS.items():
        for keys in (1, 10_000):
            micros = await measure(MemoryStorage(), kind, keys, calls, rounds)
            rows.append((f"memory, {name}", keys, micros))
    for each in port:
        storage = RedisStorage(f"async+redis://127.0.0.1:{each}/1", implementation="redispy")
        rows.append(
            ("Redis, fixed window", 100, await measure(storage, KINDS["fixed window"], 100, calls, rounds))
        )
    json.dump(rows, sys.stdout)


asyncio.run(main())
