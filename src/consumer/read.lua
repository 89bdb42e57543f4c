-- Hands a consumer its next entries: first those on its pending list that it was not told of, then new ones. New entries
-- of a key that another consumer still works on go to that consumer's pending list instead: this keeps the order of each
-- key in a group of many consumers.
--
-- XREADGROUP alone gives an entry to whoever asks first. A hash remembers, for each key with pending entries, the last one
-- that was given out. If that one is still pending, its owner works on the key, and gets the new one too; if it is not, all
-- before it are done as well (a key's entries are done in order), and the key is free. The pending list is the truth and the
-- hash only says where to look: a field that was left behind does no harm. All in one script, because between a read and
-- the question of who has the key another consumer could read the key's next entry.
--
-- An owner that has died keeps getting entries until somebody takes all that it has over (reclaim.lua), in order.
--
-- The counter of deliveries is set back to 0: it counts attempts (attempt.lua).
--
-- KEYS  1 stream  2 hash of the keys
-- ARGV  1 group  2 consumer  3 how many at most  4 the last id that the consumer was told of  5 how many entries may be
--       pending in the group: from then on nothing new is read
-- Returns {entries, more}: entries = {id, attempts, {field, value, …}} in the order of their ids, no fields when the
-- message is gone; more = "now" when there may be more right away, "full" when the group is, else the last id of the stream,
-- to be waited behind.
local stream, keys, group, me, count = KEYS[1], KEYS[2], ARGV[1], ARGV[2], tonumber(ARGV[3])
local found = {}
for _, row in ipairs(redis.call('XPENDING', stream, group, '(' .. ARGV[4], '+', count, me)) do
  local entry = redis.call('XRANGE', stream, row[1], row[1])
  found[#found + 1] = { row[1], row[4], #entry > 0 and entry[1][2] or {} }
end
if #found == count then
  return { found, 'now' }
end
if redis.call('XPENDING', stream, group)[1] >= tonumber(ARGV[5]) then
  return { found, 'full' }
end
local read = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', count - #found, 'STREAMS', stream, '>')
if not read then
  if #found > 0 then
    return { found, 'now' }
  end
  local about = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #about, 2 do
    if about[i] == 'last-generated-id' then
      return { found, about[i + 1] }
    end
  end
end
local ids = {}
for _, entry in ipairs(read[1][2]) do
  local id, fields, owner, key = entry[1], entry[2], me, ''
  for i = 1, #fields, 2 do
    if fields[i] == 'key' then
      key = fields[i + 1]
      break
    end
  end
  if key ~= '' then
    local last = redis.call('HGET', keys, key)
    if last then
      local pending = redis.call('XPENDING', stream, group, last, last, 1)
      if #pending > 0 then
        owner = pending[1][2]
      end
    end
    redis.call('HSET', keys, key, id)
  end
  -- At once, not after the loop: the key's next entry may be in this very batch.
  if owner ~= me then
    redis.call('XCLAIM', stream, group, owner, 0, id, 'RETRYCOUNT', 0, 'JUSTID')
  else
    ids[#ids + 1] = id
    found[#found + 1] = { id, 0, fields }
  end
end
if #ids > 0 then
  ids[#ids + 1] = 'RETRYCOUNT'
  ids[#ids + 1] = 0
  ids[#ids + 1] = 'JUSTID'
  redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
end
return { found, 'now' }
