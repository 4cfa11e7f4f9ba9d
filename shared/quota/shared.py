"""Counters in Redis, for every instance together: one script looks and takes, so that no two hosts can both have the rest."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import Any, Final

from shared.outbound.redis import RedisFault, RedisStore, Script
from shared.quota.reservation import Held, Level, Uncounted, Want, refusal

# A window is a hash: what is spent of it, and which window it is; it ends when the key does. What these scripts cannot have
# written is an error and not an empty window. Everything is looked at before anything is written.
_LOOK: Final = """
local function look(key)
  local kept = redis.call('HMGET', key, 'spent', 'window')
  if not kept[1] and not kept[2] then
    return 0, false
  end
  local written = string.match(kept[1] or '', '^%d+$')
  if not kept[2] or not written or #written > 15 then
    return nil
  end
  return tonumber(written), kept[2]
end
"""

# Asked again where the answer was lost, and then perhaps counted twice: less of one window, and never more.
_TAKE: Final = Script(
    _LOOK
    + """
local spent, left, window, fits = {}, {}, {}, true
for i, key in ipairs(KEYS) do
  local amount, period, number = tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i]), tonumber(ARGV[3 * i + 1])
  spent[i], window[i] = look(key)
  left[i] = window[i] and redis.call('PTTL', key) or period
  if not spent[i] or left[i] < 0 then
    return redis.error_reply('ERR not a window')
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
"""
)

# What is given back goes to the window that it came from, and nowhere else; what is owed goes to the one that is open.
# Written as digits, since a large number would become "1e+15", and so many that they can be read again.
_CHARGE: Final = Script(
    _LOOK
    + """
local spent, window = {}, {}
for i, key in ipairs(KEYS) do
  spent[i], window[i] = look(key)
  if not spent[i] then
    return redis.error_reply('ERR not a window')
  end
end
for i, key in ipairs(KEYS) do
  local taken_from, delta, period = ARGV[3 * i - 1], tonumber(ARGV[3 * i]), ARGV[3 * i + 1]
  if delta > 0 or window[i] == taken_from then
    local true_one = math.min(math.max(spent[i] + delta, 0), 999999999999999)
    redis.call('HSET', key, 'spent', string.format('%.0f', true_one), 'window', window[i] or ARGV[1])
    if not window[i] then
      redis.call('PEXPIRE', key, period)
    end
  end
end
return 0
"""
)


class SharedWindows:
    """A counting.Shared over Redis: one round trip to take, one more to settle what turns out different."""

    def __init__(self, store: RedisStore) -> None:
        self._store: Final = store

    async def take(self, key: bytes, wants: Sequence[Want]) -> Held:
        """Take all of `wants`, or nothing; raise problem.RateLimited, or Uncounted."""
        keys = [_name(key, want) for want in wants]
        arguments: list[str | int] = [_a_window()]
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
                arguments: list[str | bytes | int] = [_a_window()]
                for i in changed:
                    arguments += (windows[i], deltas[i], wants[i].period * 1_000)
                await self._charge([keys[i] for i in changed], arguments)

        return Held(levels, counted="shared", charge=charge)

    async def _charge(self, keys: Sequence[str], arguments: Sequence[str | bytes | int]) -> None:
        try:
            # Once: what is given back twice would be tokens for nothing.
            await self._store.run(_CHARGE, keys, arguments, once=True)
        except RedisFault:
            # The reservation stands, or is settled: nobody knows. The store has logged why.
            return


def _a_window() -> str:
    return secrets.token_hex(8)


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
