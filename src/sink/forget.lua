-- Drops from the journal what is known to be settled: everything of older generations (their rows were settled by the
-- recovery that raised this one), and the named batches of this member. The numbers of the last batches stay for some
-- generations: by them the other members see, when they come to this one, whether Redis still knows what it acknowledged.
--
-- KEYS  1  the journal
-- ARGV  generation, member, for how many generations the last numbers stay, how many batches are settled, their numbers
-- Returns 1, or 0 when the journal is at another generation by now: then somebody else looks after it.
local journal, generation, member, kept = KEYS[1], ARGV[1], ARGV[2], ARGV[3]
if redis.call('HGET', journal, 'generation') ~= generation then
  return 0
end
for _, field in ipairs(redis.call('HKEYS', journal)) do
  local kind, of = string.match(field, '^(%a+):(%d+):')
  if of and of ~= generation and (kind ~= 'last' or tonumber(of) < tonumber(generation) - tonumber(kept)) then
    redis.call('HDEL', journal, field)
  end
end
for i = 5, 4 + tonumber(ARGV[4]) do
  redis.call('HDEL', journal, 'batch:' .. generation .. ':' .. member .. ':' .. ARGV[i])
end
return 1
