-- Takes a consumer's name for a process that starts, unless another one that lives has it.
--
-- Each process has a token of its own. Whoever finds somebody else's leaves a challenge, and a live owner answers it within
-- half a second or so (present.lua). One that does not answer is dead, frozen or cut off, and the name is taken from it.
-- How long to wait for the answer is a guess, and nothing rests on it: every script that changes anything looks at the token
-- first, so that an owner that was only frozen finds itself displaced when it wakes up, whatever it was about to do.
--
-- KEYS  1 hash of the group's state
-- ARGV  1 consumer  2 token  3 whether we have left a challenge ("1")  4 whether we have waited long enough ("1")
-- Returns "entered"; "challenged" when the answer is to be waited for; "answered" when the owner lives.
local state, me, token = KEYS[1], ARGV[1], ARGV[2]
local owner = redis.call('HGET', state, 'consumer:' .. me)
if owner and owner ~= token then
  local challenger = redis.call('HGET', state, 'challenge:' .. me)
  if ARGV[3] ~= '1' then
    redis.call('HSET', state, 'challenge:' .. me, token)
    return 'challenged'
  end
  if challenger ~= token then
    return 'answered'
  end
  if ARGV[4] ~= '1' then
    return 'challenged'
  end
end
redis.call('HSET', state, 'consumer:' .. me, token)
redis.call('HDEL', state, 'challenge:' .. me)
return 'entered'
