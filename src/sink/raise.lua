-- Raises the journal to a new generation and returns every row in it. From here on a late append of an older
-- generation is refused; whatever it appended before is in the answer.
--
-- KEYS  1  the journal
-- ARGV  1  the generation that Postgres knows
-- Returns the new generation, the one before ('' when there is no journal), and the packed rows of each batch.
--
-- In doubt it may be run again: it then raises once more and returns the same rows.
local journal = KEYS[1]
local fields = redis.call('HGETALL', journal)
local before, batches = '', {}
for i = 1, #fields, 2 do
  if fields[i] == 'generation' then
    before = fields[i + 1]
  elseif string.sub(fields[i], 1, 6) == 'batch:' then
    batches[#batches + 1] = fields[i + 1]
  end
end
local generation = math.max(tonumber(ARGV[1]), tonumber(before) or 0) + 1
-- %d, not tostring: Lua prints a large number as 1e+15.
local text = string.format('%d', generation)
redis.call('HSET', journal, 'generation', text)
return {text, before, batches}
