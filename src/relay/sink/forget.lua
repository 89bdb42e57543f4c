-- Drops from the journal what is known to be settled: everything of older generations (their rows were settled by the
-- recovery that raised this one), and the named records of this member. The numbers of the last batches stay for some
-- generations: by them others see, when they come to this one, whether Redis still knows what it acknowledged.
--
-- KEYS  1  the journal
-- ARGV  generation, member, number of its last batch, for how many generations the last numbers stay, how many records are
--       settled, their numbers
-- Returns 1; 0 when the journal has moved on: at another generation somebody else looks after it, and a later batch of this
-- member may be in one of the records; or why something stays. A record that may not be dropped is emptied, and dropped
-- another time.
local journal, generation, member, last, kept = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local refused

local function drop(field)
  local dropped = redis.pcall('HDEL', journal, field)
  if type(dropped) ~= 'table' then
    return
  end
  refused = dropped.err
  local held = redis.pcall('HMGET', journal, field)
  if string.sub(field, 1, 6) == 'batch:' and held[1] and held[1] ~= ';' then
    redis.pcall('HSET', journal, field, ';')
  end
end

local known = redis.pcall('HMGET', journal, 'generation', 'last:' .. generation .. ':' .. member)
if known.err then
  return known.err
end
if known[1] ~= generation or (known[2] or '0') ~= last then
  return 0
end
for i = 6, 5 + tonumber(ARGV[5]) do
  drop('batch:' .. generation .. ':' .. member .. ':' .. ARGV[i])
end
local fields = redis.pcall('HKEYS', journal)
if fields.err then
  return fields.err
end
for _, field in ipairs(fields) do
  local kind, of = string.match(field, '^(%a+):(%d+):')
  if of and of ~= generation and (kind ~= 'last' or tonumber(of) < tonumber(generation) - tonumber(kept)) then
    drop(field)
  end
end
return refused or 1
