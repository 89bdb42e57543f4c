-- Says that we are alive: sets the idle time of everything on our pending list to zero, so that nobody takes it over.
--
-- XCLAIM with JUSTID, which counts no attempt. Only what is on our list: what another consumer took from us stays there. It
-- drops what is gone from the stream.
--
-- A paused consumer reads nothing. With nothing pending either, Redis would see it idle, and others would take it for gone
-- (forget.lua). A read of our own pending entries, behind the last one that there can be, says otherwise.
--
-- KEYS  1 stream  2 hash of the group's state
-- ARGV  1 group  2 consumer  3 its token  4 entries a step
-- Returns {ids, gone}: what is on our list, and how many were dropped from it.
local stream, state, group, me, token, step = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if (redis.call('HGET', state, 'consumer:' .. me) or token) ~= token then
  return redis.error_reply('DISPLACED another process uses this consumer name')
end
local ours, gone = {}, 0
local from = '-'
repeat
  local page = redis.call('XPENDING', stream, group, from, '+', step, me)
  local ids = {}
  for _, row in ipairs(page) do
    ids[#ids + 1] = row[1]
  end
  if #ids > 0 then
    from = '(' .. ids[#ids]
    ids[#ids + 1] = 'JUSTID'
    local claimed = redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
    for _, id in ipairs(claimed) do
      ours[#ours + 1] = id
    end
    gone = gone + #page - #claimed
  end
until #page < step
if #ours == 0 then
  redis.call('XREADGROUP', 'GROUP', group, me, 'COUNT', 1, 'STREAMS', stream, '18446744073709551614-0')
end
return { ours, gone }
