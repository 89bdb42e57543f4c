-- Gives back what is left on our pending list at a stop: makes it look idle for so long that the next consumer that looks
-- takes it over (reclaim.lua). The counters stay: attempts that were made were made.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3 idle milliseconds  4 entries a step
-- Returns how many.
local stream, group, me, step = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[4])
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
    ids[#ids + 1] = ARGV[3]
    ids[#ids + 1] = 'JUSTID'
    redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
  end
until #page < step
return count
