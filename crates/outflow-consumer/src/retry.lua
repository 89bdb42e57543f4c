-- Puts a dead letter back at the end of the stream that it came from, without what was added to it, and deletes it here:
-- in one step, so that a crash in between can neither lose it nor put it back twice.
--
-- KEYS  1 dead-letter stream  2 stream
-- ARGV  1 the dead letter's id
-- Returns the new entry's id; nil when there is no such dead letter any more; "" when it is not whole.
local found = redis.call('XRANGE', KEYS[1], ARGV[1], ARGV[1])
if #found == 0 then
  return nil
end
local all = found[1][2]
local fields = {}
for i = 1, #all, 2 do
  if all[i] == 'dead_values_left_out' then
    return ''
  end
  if string.sub(all[i], 1, 5) ~= 'dead_' then
    fields[#fields + 1] = all[i]
    fields[#fields + 1] = all[i + 1]
  end
end
local id = redis.call('XADD', KEYS[2], '*', unpack(fields))
redis.call('XDEL', KEYS[1], ARGV[1])
return id
