-- Moves an entry to the dead-letter stream: copied there and acknowledged here in one step, so that a crash in between
-- can neither lose it nor bury it twice.
--
-- XADD comes first: a full Redis (OOM), or a dead-letter key of another type, ends the script there, and the entry stays
-- pending. The fields are copied inside Redis: whoever failed on a large payload need not send it back.
--
-- KEYS  1 stream  2 dead-letter stream  3 hash of the keys (acknowledge.lua)  4 hash of the group's state
-- ARGV  1 group  2 consumer  3 its token  4 entry id  5 key ("" for none)  6… fields to add, name and value in turn
-- Returns the new entry's id; "" when the message is gone (it is acknowledged); nil when the entry is not ours any more.
local state, me, token = KEYS[4], ARGV[2], ARGV[3]
if (redis.call('HGET', state, 'consumer:' .. me) or token) ~= token then
  return redis.error_reply('DISPLACED another process uses this consumer name')
end
local mine = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[4], ARGV[4], 1, ARGV[2])
if #mine == 0 then
  return nil
end
local found = redis.call('XRANGE', KEYS[1], ARGV[4], ARGV[4])
local dead = ''
if #found > 0 then
  local fields = found[1][2]
  -- Lua's unpack takes about 8,000 values. An entry with more fields than that is not one of ours: keep its beginning.
  local kept = math.min(#fields, 6000)
  local all = {}
  for i = 1, kept do
    all[#all + 1] = fields[i]
  end
  for i = 6, #ARGV do
    all[#all + 1] = ARGV[i]
  end
  if kept < #fields then
    all[#all + 1] = 'dead_values_left_out'
    all[#all + 1] = tostring(#fields - kept)
  end
  dead = redis.call('XADD', KEYS[2], '*', unpack(all))
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[4])
redis.call('HDEL', state, 'entry:' .. ARGV[4], 'prev:' .. ARGV[4])
if ARGV[5] ~= '' and redis.call('HGET', KEYS[3], ARGV[5]) == ARGV[4] then
  redis.call('HDEL', KEYS[3], ARGV[5])
end
return dead
