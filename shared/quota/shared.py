"""Counters in Redis, for every instance together: one script looks and takes, so that no two hosts can both have the rest."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from shared.outbound.redis import RedisFault, RedisStore, Script
from shared.quota.reservation import Held, Level, Uncounted, Want, refusal

# A window is a hash: what is spent of it, and which window it is; it ends when the key does. What this script cannot have
# written is an error and not an empty window. Everything is looked at before anything is written.
_TAKE: Final = Script("""
local spent, left, window, fits = {}, {}, {}, true
for i, key in ipairs(KEYS) do
  local amount, period, number = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  local kept = redis.call('HMGET', key, 'spent', 'window')
  if kept[1] or kept[2] then
    left[i] = redis.call('PTTL', key)
    local written = string.match(kept[1] or '', '^%d+$')
    if not kept[2] or not written or #written > 15 or left[i] < 0 then
      return redis.error_reply('ERR not a window')
    end
    spent[i], window[i] = tonumber(kept[1]), kept[2]
  else
    spent[i], left[i], window[i] = 0, period, false
  end
  fits = fits and spent[i] + number <= amount
end
local reply = { fits and 1 or 0 }
for i, key in ipairs(KEYS) do
  if fits then
    spent[i] = redis.call('HINCRBY', key, 'spent', ARGV[3 * i + 1])
    if not window[i] then
      window[i] = ARGV[1]
      redis.call('HSET', key, 'window', window[i])
      redis.call('PEXPIRE', key, left[i])
    end
  end
  reply[3 * i - 1], reply[3 * i], reply[3 * i + 1] = spent[i], left[i], window[i] or ''
end
return reply
""")

_CHARGE: Final = Script("""
for i, key in ipairs(KEYS) do
  if redis.call('HGET', key, 'window') == ARGV[2 * i - 1] then
    redis.call('HINCRBY', key, 'spent', ARGV[2 * i])
  end
end
return 0
""")


class SharedWindows:
    """A counting.Shared over Redis: one round trip to take, one more to settle what turns out different."""

    def __init__(self, store: RedisStore) -> None:
        self._store: Final = store

    async def take(self, key: bytes, wants: Sequence[Want]) -> Held:
        """Take all of `wants`, or nothing; raise problem.RateLimited, or Uncounted."""
        keys = [_name(key, want) for want in wants]
        arguments: list[str | int] = [secrets.token_hex(8)]
        for want in wants:
            arguments += (want.amount, want.period * 1_000, want.number)
        try:
            reply = await self._store.run(_TAKE, keys, arguments)
        except RedisFault as fault:
            raise Uncounted from fault
        fits, levels, windows = _read(reply, wants)
        if not fits:
            raise refusal(levels)

        async def charge(deltas: Sequence[int]) -> None:
            changed = [i for i, delta in enumerate(deltas) if delta]
            if changed:
                await self._charge(
                    [keys[i] for i in changed], [one for i in changed for one in (windows[i], deltas[i])]
                )

        return Held(levels, counted="shared", charge=charge)

    async def _charge(self, keys: Sequence[str], arguments: Sequence[bytes | int]) -> None:
        try:
            await self._store.run(_CHARGE, keys, arguments)
        except RedisFault:
            # The reservation stands: it is at most what the call was allowed to cost. The store has logged why.
            return


def _name(key: bytes, want: Want) -> str:
    # In braces what all keys of a caller have in common, so that a cluster keeps them together and one script may use them.
    return f"groupgate:{{{key.hex()}}}:{want.counter}:{want.period}"


def _read(reply: Any, wants: Sequence[Want]) -> tuple[bool, list[Level], list[bytes]]:
    if not isinstance(reply, list) or len(reply) != 1 + 3 * len(wants):
        raise Uncounted
    fits, *rest = reply
    if not all(type(number) is int for number in (fits, *rest[::3], *rest[1::3])):
        raise Uncounted
    levels = [
        Level(want, spent, max(1, left) / 1_000)
        for want, spent, left in zip(wants, rest[::3], rest[1::3], strict=True)
    ]
    return fits == 1, levels, rest[2::3]
