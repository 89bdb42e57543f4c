-- Takes over everything from consumers that give no sign of life, or that gave their entries back.
--
-- A live consumer says so for all its entries at once (heartbeat.lua); so one entry that has been idle for too long means
-- that its consumer is gone, and then all of its entries are taken, in this one step: a key's entries must not end up with
-- two consumers. Messages that were deleted from the stream are dropped from the pending list by XCLAIM.
--
-- KEYS  1 stream  2 hash of the group's state
-- ARGV  1 group  2 consumer  3 its token  4 idle milliseconds  5 entries a step
-- Returns {taken, gone, consumers}: how many entries are ours now, how many were gone from the stream, whose they were.
local stream, state, group, me, token, step = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[5])
if (redis.call('HGET', state, 'consumer:' .. me) or token) ~= token then
  return redis.error_reply('DISPLACED another process uses this consumer name')
end
local owners, known = {}, { [me] = true }
for _, row in ipairs(redis.call('XPENDING', stream, group, 'IDLE', ARGV[4], '-', '+', step)) do
  if not known[row[2]] then
    known[row[2]] = true
    owners[#owners + 1] = row[2]
  end
end
local taken, gone = 0, 0
for _, owner in ipairs(owners) do
  local from = '-'
  repeat
    local page = redis.call('XPENDING', stream, group, from, '+', step, owner)
    local ids = {}
    for _, row in ipairs(page) do
      ids[#ids + 1] = row[1]
    end
    if #ids > 0 then
      from = '(' .. ids[#ids]
      ids[#ids + 1] = 'JUSTID'
      local claimed = #redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
      taken = taken + claimed
      gone = gone + #page - claimed
    end
  until #page < step
end
return { taken, gone, owners }
