-- Raises the journal to a new generation and returns every row in it. From here on a late append of an older
-- generation is refused; whatever it appended before is in the answer.
--
-- KEYS  1  the journal
-- ARGV  1  the generation that Postgres knows
-- Returns the new generation, the one before ('' when there is no journal), the packed rows of each batch, and what it
-- knows of the last batch of each member: field and number, one after the other.
--
-- In doubt it may be run again: it then raises once more and returns the same rows. It writes once, at its end, so that
-- whatever is refused, nothing was done.
local journal = KEYS[1]
local fields = redis.call('HGETALL', journal)
local before, batches, last = '', {}, {}
for i = 1, #fields, 2 do
  if fields[i] == 'generation' then
    before = fields[i + 1]
  elseif string.sub(fields[i], 1, 6) == 'batch:' then
    batches[#batches + 1] = fields[i + 1]
  elseif string.sub(fields[i], 1, 5) == 'last:' then
    last[#last + 1], last[#last + 2] = fields[i], fields[i + 1]
  end
end
local generation = math.max(tonumber(ARGV[1]), tonumber(before) or 0) + 1
-- %d, not tostring: Lua prints a large number as 1e+15.
local text = string.format('%d', generation)
redis.call('HSET', journal, 'generation', text)
return {text, before, batches, last}
