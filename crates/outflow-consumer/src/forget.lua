-- Removes consumers that have been gone for long and have nothing pending.
--
-- In one step: XGROUP DELCONSUMER drops what a consumer has pending, so that an entry given to it between the look and the
-- deletion would be lost. Never ourselves.
--
-- KEYS  1 stream  2 hash of the group's state
-- ARGV  1 group  2 consumer  3 its token  4 idle milliseconds
-- Returns the names of the removed.
local removed = {}
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local about = {}
  for i = 1, #consumer, 2 do
    about[consumer[i]] = consumer[i + 1]
  end
  if about.name ~= ARGV[2] and about.pending == 0 and about.idle > tonumber(ARGV[4]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], about.name)
    redis.call('HDEL', KEYS[2], 'consumer:' .. about.name, 'challenge:' .. about.name)
    removed[#removed + 1] = about.name
  end
end
return removed
