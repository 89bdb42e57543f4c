-- Hands a consumer its next entries: first those on its pending list that it was not told of, then new ones. New entries
-- of a key that another consumer still works on go to that consumer's pending list instead: this keeps the order of each
-- key in a group of many consumers.
--
-- XREADGROUP alone gives an entry to whoever asks first. A hash remembers, for each key with pending entries, the last one
-- that was given out. If that one is still pending, its owner works on the key, and gets the new one too; if it is not, all
-- before it are done as well (a key's entries are done in order), and the key is free. Unless it was deleted from the stream,
-- which drops it from the pending list at its consumer's next sign of life, whatever is pending before it: so each entry that
-- comes behind another one of its key says behind which (`prev:`), until it is done. The pending list is the truth and the
-- hashes only say where to look: a field that was left behind does no harm. All in one script, because between a read and
-- the question of who has the key another consumer could read the key's next entry.
--
-- An owner that has died keeps getting entries until somebody takes all that it has over (reclaim.lua), in order.
--
-- The counter of deliveries is set back to 0: it counts attempts (attempts.lua).
--
-- How large an entry is shows only once it is read. So entries are read one by one, and the first that goes beyond the
-- bytes asked for ends the read and is told of without its fields: neither this script nor its reader ever has more at a
-- time than that and one entry. COUNT with many at once blocked Redis for half a second over entries of 2 MB.
--
-- KEYS  1 stream  2 hash of the keys  3 hash of the group's state (enter.lua, attempts.lua, `prev:`)
-- ARGV  1 group  2 consumer  3 its token  4 how many at most  5 the last id that the consumer was told of  6 how many
--       entries may be pending in the group: from then on nothing new is read  7 bytes
-- Returns {entries, more, own}: entries = {id, attempts, attempts that do not count, bytes, key, type, {field, value, …}} in
-- the order of their ids; the type only without the fields, and only if it can have limits (settings/check.rs);
-- bytes = -1 when the message is gone; more = "now" when there may be more right away, "full" when the
-- group is, else the last id of the stream, to be waited behind; own = 1 when there may be more that is ours already.
local stream, keys, state = KEYS[1], KEYS[2], KEYS[3]
local group, me, token, count, limit = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[7])
if (redis.call('HGET', state, 'consumer:' .. me) or token) ~= token then
  return redis.error_reply('DISPLACED another process uses this consumer name')
end
local found, bytes = {}, 0

-- What an entry takes in memory: each text has a head, and the headers are parsed ("0," becomes a value of 32 bytes).
local function weigh(fields)
  local weight = 0
  for i = 1, #fields do
    local times = i % 2 == 0 and fields[i - 1] == 'headers' and 16 or 1
    weight = weight + #fields[i] * times + 64
  end
  return weight
end

-- Of a repeated field, the first counts.
local function field_of(fields, name)
  for i = 1, #fields - 1, 2 do
    if fields[i] == name then
      return fields[i + 1]
    end
  end
  return ''
end

-- A long key is known by its hash: neither the hash of the keys nor its consumer keeps it.
local function key_of(fields)
  local key = field_of(fields, 'key')
  return #key > 512 and 'sha1:' .. redis.sha1hex(key) or key
end

-- Who works on the key whose entry before this one was `id`, and the last one of it that is pending; nil when it is free.
local function owner_of(id)
  while id do
    local pending = redis.call('XPENDING', stream, group, id, id, 1)
    if #pending > 0 then
      return pending[1][2], id
    end
    id = redis.call('HGET', state, 'prev:' .. id)
  end
end

-- Tells of an entry; returns whether another one may fit.
local function tell(id, attempts, uncounted, fields, key, weight)
  bytes = bytes + weight
  local fits = bytes <= limit
  local event_type = fits and '' or field_of(fields, 'type')
  event_type = #event_type <= 512 and event_type or ''
  found[#found + 1] = { id, attempts, uncounted, weight, key, event_type, fits and fields or {} }
  return fits
end

local page = redis.call('XPENDING', stream, group, '(' .. ARGV[5], '+', count, me)
for _, row in ipairs(page) do
  local entry = redis.call('XRANGE', stream, row[1], row[1])
  if #entry == 0 then
    found[#found + 1] = { row[1], row[4], 0, -1, '', '', {} }
  else
    local fields = entry[1][2]
    local uncounted = row[4] > 0 and tonumber(redis.call('HGET', state, 'entry:' .. row[1]) or 0) or 0
    if not tell(row[1], row[4], uncounted, fields, key_of(fields), weigh(fields)) then
      return { found, 'now', 1 }
    end
  end
end
if #found == count then
  return { found, 'now', 1 }
end
if redis.call('XPENDING', stream, group)[1] >= tonumber(ARGV[6]) then
  return { found, 'full', 0 }
end
-- How many entries the group was given, as Redis counts them; nil if it does not know.
local function counted()
  for _, about in ipairs(redis.call('XINFO', 'GROUPS', stream)) do
    local is_ours, of
    for i = 1, #about, 2 do
      if about[i] == 'name' then
        is_ours = about[i + 1] == group
      elseif about[i] == 'entries-read' then
        of = about[i + 1]
      end
    end
    if is_ours then
      return of or nil
    end
  end
end

local more, ids, read, passed = 'now', {}, 0, 0
local before_read = counted()
for _ = 1, count - #found do
  local reply = redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', 1, 'STREAMS', stream, '>')
  if not reply then
    if #found == 0 and read == 0 then
      local about = redis.call('XINFO', 'STREAM', stream)
      for i = 1, #about, 2 do
        if about[i] == 'last-generated-id' then
          more = about[i + 1]
        end
      end
    end
    break
  end
  read = read + 1
  if read == 1 and before_read then
    -- Redis 8 and Valkey 9 set their counter right with the first read behind what was trimmed unread; older ones do not.
    passed = math.max((counted() or 0) - before_read - 1, 0)
  end
  local entry = reply[1][2][1]
  local id, fields, owner = entry[1], entry[2], me
  local key, weight = key_of(fields), weigh(fields)
  if key ~= '' then
    local last = redis.call('HGET', keys, key)
    local before
    owner, before = owner_of(last)
    if owner then
      redis.call('HSET', state, 'prev:' .. id, before)
    end
    owner = owner or me
    redis.call('HSET', keys, key, id)
  end
  local fits
  -- At once, not after the loop: the key's next entry may be in this very batch.
  if owner ~= me then
    redis.call('XCLAIM', stream, group, owner, 0, id, 'RETRYCOUNT', 0, 'JUSTID')
    bytes = bytes + weight
    fits = bytes <= limit
  else
    ids[#ids + 1] = id
    fits = tell(id, 0, 0, fields, key, weight)
  end
  if not fits then
    break
  end
end
if read > 0 then
  -- For group_info.lua: what was added and never read was lost.
  redis.call('HSET', state, 'read', tonumber(redis.call('HGET', state, 'read') or 0) + read)
  if passed > 0 then
    redis.call('HSET', state, 'passed', tonumber(redis.call('HGET', state, 'passed') or 0) + passed)
  end
end
if #ids > 0 then
  ids[#ids + 1] = 'RETRYCOUNT'
  ids[#ids + 1] = 0
  ids[#ids + 1] = 'JUSTID'
  redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
end
return { found, more, 0 }
