-- Appends one batch and journals what was appended, in one step that nobody can come between.
--
-- KEYS  1  the journal: a hash with
--            generation             the share-out of slots in force
--            names:<g>:             by which columns the rows are named in generation g
--            last:<g>:<member>      number of the last batch that this member appended in generation g
--            batch:<g>:<member>:<r> the rows of an appended batch that may not be settled. r numbers the record, not the
--                                   batch: a record whose rows are settled is written over, so that there are never more
--                                   of them than batches in flight, whatever else Redis may refuse
-- ARGV     generation, member, batch, previous batch (0: none), record,
--          the packed rows of this batch, behind a semicolon; empty for a batch of no rows, which only asks whether an
--          append is possible,
--          how many streams, their names,
--          how many shapes, and for each how many field names and the names,
--          then for each run of events of one stream and one shape: how many they are, number of the stream, number of
--          the shape, and the values of each.
--
-- Streams are not declared as keys: one that the ACL forbids would fail the call as a whole, without saying which. On a
-- cluster they must be, as KEYS 2 and so on: see streams.rs.
-- Values are never unpacked for a whole batch: Lua's limit there is about 8,000. Each argument costs: Redis's Lua hashes
-- every byte of every string that it makes, so that nothing is glued together here which could be sent as it is.
-- Every call is caught: an error in the middle would leave behind what was done so far, and say nothing of it.
local journal = KEYS[1]
local generation, member, batch, previous = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local mine = generation .. ':' .. member
local last_field, record, rows = 'last:' .. mine, 'batch:' .. mine .. ':' .. ARGV[5], ARGV[6]

-- Fence. A generation that Redis has gone past is refused; one that Redis does not know yet means that Redis lost it.
local known = redis.pcall('HMGET', journal, 'generation', last_field)
if known.err then
  return {'REFUSED', known.err}
end
if not known[1] then
  return {'ROLLED_BACK', 'the journal is gone'}
end
if known[1] ~= generation then
  if tonumber(known[1]) > tonumber(generation) then
    return {'FENCED', known[1]}
  end
  return {'ROLLED_BACK', 'the journal is at generation ' .. known[1] .. ', not ' .. generation}
end
if (known[2] or '0') ~= previous then
  return {'ROLLED_BACK', 'the last batch was ' .. (known[2] or '0') .. ', not ' .. previous}
end

local at = 7
local function take()
  at = at + 1
  return ARGV[at - 1]
end

local streams = {}
for i = 0, tonumber(take()) - 1 do
  streams[tostring(i)] = take()
end

-- One XADD command a shape, whose stream and values are replaced for each event.
local shapes = {}
for i = 0, tonumber(take()) - 1 do
  local command = {'XADD', '', '*'}
  local first, count = #command + 2, tonumber(take())
  for field = 0, count - 1 do
    command[first + 2 * field - 1] = take()
    command[first + 2 * field] = ''
  end
  shapes[tostring(i)] = {command, first, count, #command}
end

-- The first write. A server that is full, read-only or without its replicas says so here, before anything is appended;
-- after it a script can no longer be refused. Hence unconditional. The record comes with it, for it must never be missing
-- once something is appended: all rows count as appended until a stream refuses, and then it is written anew.
local written
if rows == '' then
  written = redis.pcall('HSET', journal, last_field, batch)
else
  written = redis.pcall('HSET', journal, last_field, batch, record, rows)
end
if type(written) == 'table' and written.err then
  return {'REFUSED', written.err}
end
if rows == '' then
  return {'OK'}
end

-- A stream's first error leaves out the rest of that stream, so that nothing overtakes what was refused.
local answer, refused, skipped, position = {'OK'}, {}, {}, 0
local pcall, unpack, total = redis.pcall, unpack, #ARGV
while at <= total do
  local events, name, shape = tonumber(ARGV[at]), ARGV[at + 1], shapes[ARGV[at + 2]]
  local command, first, count, length = shape[1], shape[2], shape[3], shape[4]
  at = at + 3
  command[2] = streams[name]
  for _ = 1, events do
    if not refused[name] then
      for field = first, length, 2 do
        command[field] = ARGV[at]
        at = at + 1
      end
      local added = pcall(unpack(command, 1, length))
      if type(added) == 'table' and added.err then
        refused[name] = true
        answer[#answer + 1], answer[#answer + 2] = streams[name], added.err
      end
    else
      at = at + count
    end
    if refused[name] then
      skipped[#skipped + 1] = position
    end
    position = position + 1
  end
end

if #skipped > 0 then
  -- The same command on the same key as the first write: nothing can refuse it now.
  redis.pcall('HSET', journal, record, table.concat(skipped, ',') .. rows)
  if #skipped == position then
    answer[1] = 'NOTHING'
  end
end
return answer
