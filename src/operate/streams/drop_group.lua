-- Removes a consumer group that nobody uses any more. In one step, so that no consumer can come in between.
--
-- KEYS  1 stream
-- ARGV  1 group  2 a consumer that was seen within so many milliseconds is active: since Redis 7.2 idle counts from when it
--       last asked, before that from when it last got entries  3 pending entries, and  4 the last
--       delivered id, as whoever asks has seen them
-- Returns what became of it: "gone" (there is no such group), "active" and a consumer, "changed" and the pending
-- entries, "dropped" and the pending entries that went with it.
local function of(list, name)
  for i = 1, #list, 2 do
    if list[i] == name then
      return list[i + 1]
    end
  end
end
if redis.call('EXISTS', KEYS[1]) == 0 then
  return {'gone'}
end
local group
for _, one in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  if of(one, 'name') == ARGV[1] then
    group = one
  end
end
if not group then
  return {'gone'}
end
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  if of(consumer, 'idle') < tonumber(ARGV[2]) then
    return {'active', of(consumer, 'name')}
  end
end
local pending = of(group, 'pending')
if tostring(pending) ~= ARGV[3] or of(group, 'last-delivered-id') ~= ARGV[4] then
  return {'changed', pending}
end
redis.call('XGROUP', 'DESTROY', KEYS[1], ARGV[1])
return {'dropped', pending}
