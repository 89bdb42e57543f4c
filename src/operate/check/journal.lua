-- Does what an append does, as far as it can be taken back: writes into the journal and removes it again, and learns
-- whether each stream's key can hold a stream.
--
-- KEYS  1    the journal
-- ARGV  the streams' keys
-- Returns for each stream the type of its key ('none': nobody has written to it yet); fails as an append would fail.
--
-- Who may not ask for the type learns it from an XADD that cannot add: without NOMKSTREAM it makes no stream, and an id
-- below every other one is refused by a stream that has entries. One that was made empty keeps an id of 0-1 and no entry.
local journal, probe = KEYS[1], 'outflow-check'
redis.call('HSET', journal, probe, '1')
redis.call('HDEL', journal, probe)
local types = {}
for i, stream in ipairs(ARGV) do
  local answer = redis.pcall('TYPE', stream)
  if answer.err then
    local added = redis.pcall('XADD', stream, 'NOMKSTREAM', 'MAXLEN', '0', '0-1', probe, '1')
    types[i] = 'stream'
    if type(added) == 'table' and added.err and string.find(added.err, 'WRONGTYPE', 1, true) then
      types[i] = 'no stream'
    end
  else
    types[i] = answer.ok
  end
end
return types
