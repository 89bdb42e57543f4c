-- Acknowledges entries that are still ours, and frees their keys if nothing of them was given out since.
--
-- One whose message is gone from the stream comes without its key, and before its turn perhaps: what says behind which one it
-- came stays (read.lua), for the sweep to remove (sweep.lua).
--
-- Not those that another consumer took over from us: it is working on them, and the key's next entry must wait for it.
--
-- KEYS  1 stream  2 hash of the keys  3 hash of the group's state
-- ARGV  1 group  2 consumer  3 its token  4… for each entry: id, key ("" for none)
-- Returns how many were ours.
local stream, keys, state, group, me, token = KEYS[1], KEYS[2], KEYS[3], ARGV[1], ARGV[2], ARGV[3]
if (redis.call('HGET', state, 'consumer:' .. me) or token) ~= token then
  return redis.error_reply('DISPLACED another process uses this consumer name')
end
local done = 0
for i = 4, #ARGV, 2 do
  local id, key = ARGV[i], ARGV[i + 1]
  if #redis.call('XPENDING', stream, group, id, id, 1, me) > 0 then
    done = done + redis.call('XACK', stream, group, id)
    redis.call('HDEL', state, 'entry:' .. id)
    if key ~= '' then
      redis.call('HDEL', state, 'prev:' .. id)
      if redis.call('HGET', keys, key) == id then
        redis.call('HDEL', keys, key)
      end
    end
  end
end
return done
