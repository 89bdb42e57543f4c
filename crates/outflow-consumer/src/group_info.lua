-- How a group stands on a stream: what is pending, what is unread, and what left the stream before it was read.
--
-- Redis counts the reads of a group. Entries that are trimmed unread leave that counter behind for ever, and with it the lag
-- that everybody is told; entries that are deleted unread are passed over in silence. There are two moments at which it is
-- known how many entries there ever were up to the last one that the group was given: when nothing is left behind it, though
-- more may have been there, and when all that is left in the stream comes after it. Between two such moments, whatever was added and was not read
-- (read.lua counts) is lost, and then Redis's counter is set right.
--
-- Consumers of an earlier version do not count what they read. So a loss that Redis's counter does not show is believed
-- only if something was deleted since the moment before.
--
-- KEYS  1 stream  2 hash of the group's state
-- ARGV  1 group  2 "1" when the group was just created
-- Returns {pending, oldest pending id ("" for none), lag (-1: not known), lost since the last time, denied}; denied = 1 when
-- the counter could not be set right because XGROUP SETID is not allowed.
local stream, state, group = KEYS[1], KEYS[2], ARGV[1]

local function named(list)
  local map = {}
  for i = 1, #list, 2 do
    map[list[i]] = list[i + 1]
  end
  return map
end

local function is_before(one, other)
  local ms, number = string.match(one, '(%d+)-(%d+)')
  local other_ms, other_number = string.match(other, '(%d+)-(%d+)')
  ms, other_ms = tonumber(ms), tonumber(other_ms)
  return ms < other_ms or ms == other_ms and tonumber(number) < tonumber(other_number)
end

local ours
for _, about in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
  about = named(about)
  if about.name == group then
    ours = about
  end
end
if not ours then
  return redis.error_reply('NOGROUP no such group')
end
local summary = redis.call('XPENDING', stream, group)
local all = named(redis.call('XINFO', 'STREAM', stream))
local last, added, length = ours['last-delivered-id'], all['entries-added'], all['length']
local first, final = all['first-entry'] and all['first-entry'][1], all['last-entry'] and all['last-entry'][1]
local deleted = all['max-deleted-entry-id']

local lag, position = ours['lag'] or -1, nil
if length == 0 or not is_before(last, final) then
  lag, position = 0, added
elseif is_before(last, first) then
  lag = length
  if is_before(deleted, first) then
    position = added - length
  end
end
local lost, denied = 0, 0
local sync = redis.call('HGET', state, 'sync')
if lag == -1 and sync then
  -- Redis takes what was deleted at the moment before for a hole in what is unread. Nothing was read or deleted since then.
  local before, id = string.match(sync, '^(%d+) (.*)$')
  if not is_before(id, last) and not is_before(id, deleted) then
    lag = added - tonumber(before)
  end
end
if position then
  local read = tonumber(redis.call('HGET', state, 'read') or 0)
  local behind = ours['entries-read'] and position - ours['entries-read'] or 0
  -- What Redis's counter shows of a loss, or showed before it was set right by a read.
  local shown = behind + tonumber(redis.call('HGET', state, 'passed') or 0)
  if ARGV[2] == '1' then
    lost = 0
  elseif sync then
    local before, id = string.match(sync, '^(%d+) (.*)$')
    lost = position - tonumber(before) - read
    if lost > shown and not is_before(id, deleted) then
      lost = shown
    end
  else
    lost = shown
  end
  lost = math.max(lost, 0)
  local mark = string.format('%.0f %s', position, position == added and all['last-generated-id'] or last)
  if mark ~= sync or read ~= 0 then
    redis.call('HSET', state, 'sync', mark, 'read', 0)
    redis.call('HDEL', state, 'passed')
  end
  if behind > 0 then
    local set = redis.pcall('XGROUP', 'SETID', stream, group, last, 'ENTRIESREAD', string.format('%.0f', position))
    denied = set.err and 1 or 0
  end
end
return { summary[1], summary[2] or '', lag, lost, denied }
