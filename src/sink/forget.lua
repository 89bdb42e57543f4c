-- Drops from the journal what is known to be settled: everything of older generations (their rows were settled by the
-- recovery that raised this one), and the named batches of this member.
--
-- KEYS  1  the journal
-- ARGV  generation, member, how many batches are settled, their numbers
-- Returns 1, or 0 when the journal is at another generation by now: then somebody else looks after it.
local journal, generation, member = KEYS[1], ARGV[1], ARGV[2]
if redis.call('HGET', journal, 'generation') ~= generation then
  return 0
end
for _, field in ipairs(redis.call('HKEYS', journal)) do
  local of = string.match(field, '^%a+:(%d+):')
  if of and of ~= generation then
    redis.call('HDEL', journal, field)
  end
end
for i = 4, 3 + tonumber(ARGV[3]) do
  redis.call('HDEL', journal, 'batch:' .. generation .. ':' .. member .. ':' .. ARGV[i])
end
return 1
