-- Answers a challenge of another process with our name (enter.lua): we live.
--
-- KEYS  1 hash of the group's state
-- ARGV  1 consumer  2 token
-- Returns 1 when there was a challenge.
local state, me, token = KEYS[1], ARGV[1], ARGV[2]
local owner = redis.call('HGET', state, 'consumer:' .. me)
if not owner then
  -- The state is gone: a Redis that lost its data.
  redis.call('HSET', state, 'consumer:' .. me, token)
elseif owner ~= token then
  return redis.error_reply('DISPLACED another process uses this consumer name')
end
return redis.call('HDEL', state, 'challenge:' .. me)
