-- Says that we are alive: sets the idle time of everything on our pending list to zero, so that nobody takes it over.
--
-- XCLAIM with JUSTID, which counts no attempt. Only what is on our list: what another consumer took from us stays there.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3 entries a step
-- Returns the ids.
local stream, group, me, step = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
local ours = {}
local from = '-'
repeat
  local page = redis.call('XPENDING', stream, group, from, '+', step, me)
  local ids = {}
  for _, row in ipairs(page) do
    ids[#ids + 1] = row[1]
    ours[#ours + 1] = row[1]
  end
  if #ids > 0 then
    from = '(' .. ids[#ids]
    ids[#ids + 1] = 'JUSTID'
    redis.call('XCLAIM', stream, group, me, 0, unpack(ids))
  end
until #page < step
return ours
