-- Appends one batch of a kept outbox and moves the member's position on, in one step that nobody can come between: in
-- whatever state Redis comes back, its streams and its positions agree.
--
-- KEYS  1  the journal: a hash with
--            generation, last:<g>:<member>  as in append.lua
--            open                   1; 0 from a raise until the pieces of its generation are installed
--            raised                 drawn by the last raise: only the installation that belongs to it is taken
--            kept:<member>          the member's pieces: where it is. A piece a line, of six parts with | between them: slots,
--                                   snapshot seen, target snapshot, up to which id, hint, stream as hex
--            nonce:<member>         drawn when the pieces were installed. A journal that was restored may come to the same
--                                   generation and the same batch a second time, but not to this
--            copied:<g>:<member>    number of the last batch whose copy in Postgres is confirmed
--            server                 the Postgres that the pieces belong to
--            probe                  what the first write writes
-- ARGV     generation, member, batch, previous batch (0: none), nonce,
--          number of a batch whose copy is confirmed ('': nothing new),
--          whether the position moves: 1, or '' for a batch of no rows, which asks whether an append is possible, and tells
--          of a copy that was confirmed since the last append,
--          the other pieces, the piece behind the batch, the first parts of a piece for a stream that refuses, its part up to
--          which id if the first event is refused, its hint, whether the piece of the batch is one of a single stream (1),
--          for each entry 20 characters: the greatest order value in the batch below its event's; blanks if there is none,
--          then the streams, the shapes and the runs of events, as in append.lua.
--
-- Streams are no keys, values are not unpacked and every call is caught, for the reasons given in append.lua. A script is
-- not rolled back: hence a write that does nothing comes first, and the position last.
local journal = KEYS[1]
local generation, member, batch, previous = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local mine = generation .. ':' .. member
local last_field, kept_field = 'last:' .. mine, 'kept:' .. member

-- Fence, as in append.lua.
local known = redis.pcall('HMGET', journal, 'generation', last_field, 'open', 'nonce:' .. member)
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
if known[3] ~= '1' then
  return {'FENCED', known[1]}
end
if known[4] ~= ARGV[5] then
  return {'ROLLED_BACK', 'the pieces of member ' .. member .. ' are not those that it started from'}
end
if (known[2] or '0') ~= previous then
  return {'ROLLED_BACK', 'the last batch was ' .. (known[2] or '0') .. ', not ' .. previous}
end

-- A server that is full, read-only or without its replicas says so here, before anything is appended; after it a script
-- can no longer be refused. Hence unconditional.
local probe = {'HSET', journal, 'probe', batch}
if ARGV[7] == '' and ARGV[6] ~= '' then
  probe[5], probe[6] = 'copied:' .. mine, ARGV[6]
end
local probed = redis.pcall(unpack(probe))
if type(probed) == 'table' and probed.err then
  return {'REFUSED', probed.err}
end
if ARGV[7] == '' then
  return {'OK'}
end

local before, width = ARGV[14], 20
local at = 15
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

-- A stream that refuses is read again from its first refused event on: from behind the order value before it.
local function piece(stream, entry)
  local from = string.sub(before, entry * width + 1, (entry + 1) * width)
  if string.find(from, '^ *$') then
    from = ARGV[11]
  end
  local hex = string.gsub(stream, '.', function(c)
    return string.format('%02x', string.byte(c))
  end)
  return ARGV[10] .. from .. '|' .. ARGV[12] .. '|' .. hex
end

-- A stream's first error leaves out the rest of that stream, so that nothing overtakes what was refused.
local answer, refused, pieces, entry, appended = {'OK'}, {}, {}, 0, 0
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
        pieces[#pieces + 1] = piece(streams[name], entry)
      else
        appended = appended + 1
      end
    else
      at = at + count
    end
    entry = entry + 1
  end
end

-- If all refused, nothing has happened, and the position stays: nothing is in doubt.
if #pieces > 0 and appended == 0 then
  local counted = redis.pcall('HSET', journal, last_field, batch)
  if type(counted) == 'table' and counted.err then
    return {'REFUSED', counted.err}
  end
  answer[1] = 'NOTHING'
  return answer
end

-- A piece of a single stream that refuses is replaced by the one for the refusal.
local state = {}
if ARGV[8] ~= '' then
  state[1] = ARGV[8]
end
if #pieces == 0 or ARGV[13] ~= '1' then
  state[#state + 1] = ARGV[9]
end
for _, text in ipairs(pieces) do
  state[#state + 1] = text
end
local position = {'HSET', journal, last_field, batch, kept_field, table.concat(state, '\n')}
if ARGV[6] ~= '' then
  position[7], position[8] = 'copied:' .. mine, ARGV[6]
end
-- The same command on the same key as the first write: nothing can refuse it now. If something does, what was appended is
-- not in the position, and the relay must not take it for an outage.
local written = redis.pcall(unpack(position))
if type(written) == 'table' and written.err then
  return {'HALF_DONE', written.err}
end
return answer
