-- Gives back what is left on our pending list at a stop: makes it look idle for so long that the next consumer that looks
-- takes it over (reclaim.lua). The counters stay: attempts that were made were made. And the name is free again.
--
-- KEYS  1 stream  2 hash of the group's state
-- ARGV  1 group  2 consumer  3 its token  4 idle milliseconds  5 entries a step
-- Returns how many.
local stream, state, group, me, token, step = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
if (redis.call('HGET', state, 'consumer:' .. me) or token) ~= token then
  return redis.error_reply('DISPLACED another process uses this consumer name')
end
redis.call('HDEL', state, 'consumer:' .. me, 'challenge:' .. me)
local count = 0
local from = '-'
repeat
  local page = redis.call('XPENDING', stream, group, from, '+', step, me)
  local ids = {}
  for _, row in ipairs(page) do
    ids[#ids + 1] = row[1]
  end
  if #ids > 0 then
    count = count + #ids
    from = '(' .. ids[#ids]
    ids[#ids + 1] = 'IDLE'
    ids[#ids + 1] = ARGV[4]
    ids[#ids + 1] = 'JUSTID'
    redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
  end
until #page < step
return count
