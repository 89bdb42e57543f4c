-- Raises the journal to a new generation and returns every row in it. From here on a late append of an older
-- generation is refused; whatever it appended before is in the answer. The journal of a kept outbox is closed with it, and
-- takes nothing of the new generation either, until its pieces are written anew.
--
-- KEYS  1  the journal
-- ARGV  1  the generation that Postgres knows  2  by which columns the rows of the new generation are named
--       3  which Postgres that is; '': not known, or written later (keep_install.lua)
--       4  a text that nobody else draws, for the installation that follows; '': none follows
-- Returns the new generation, the one before ('' when there is no journal), of each batch by which columns its rows are
-- named ('': not known) and the packed rows, and what it knows of the last batch of each member: field and number, one after
-- the other; and, empty unless the outbox is or was a kept one: the pieces of each member, the last batch of each whose copy
-- is confirmed (both as field and value, one after the other); and the Postgres that the journal belonged to ('': not known).
--
-- In doubt it may be run again: it then raises once more and returns the same rows. It writes once, behind all else that
-- may be refused, so that then nothing was done.
local journal = KEYS[1]
local fields = redis.call('HGETALL', journal)
local before, batches, last, names, used = '', {}, {}, {}, {}
local pieces, copied, server = {}, {}, ''
for i = 1, #fields, 2 do
  if fields[i] == 'generation' then
    before = fields[i + 1]
  elseif string.sub(fields[i], 1, 6) == 'names:' then
    names[fields[i]] = fields[i + 1]
  elseif string.sub(fields[i], 1, 5) == 'last:' then
    last[#last + 1], last[#last + 2] = fields[i], fields[i + 1]
  elseif fields[i] == 'server' then
    server = fields[i + 1]
  elseif fields[i + 1] == '' then
    -- Emptied, because it could not be removed (keep_install.lua).
  elseif string.sub(fields[i], 1, 5) == 'kept:' then
    pieces[#pieces + 1], pieces[#pieces + 2] = fields[i], fields[i + 1]
  elseif string.sub(fields[i], 1, 7) == 'copied:' then
    copied[#copied + 1], copied[#copied + 2] = fields[i], fields[i + 1]
  end
end
for i = 1, #fields, 2 do
  local of = string.match(fields[i], '^batch:(%d+):')
  if of then
    local field = 'names:' .. of .. ':'
    used[field] = true
    batches[#batches + 1], batches[#batches + 2] = names[field] or '', fields[i + 1]
  end
end
local generation = math.max(tonumber(ARGV[1]), tonumber(before) or 0) + 1
-- %d, not tostring: Lua prints a large number as 1e+15.
local text = string.format('%d', generation)
local raised = {'generation', text, 'names:' .. text .. ':', ARGV[2], 'open', '0'}
if ARGV[3] ~= '' then
  raised[7], raised[8] = 'server', ARGV[3]
end
if ARGV[4] ~= '' then
  raised[#raised + 1], raised[#raised + 2] = 'raised', ARGV[4]
end
redis.call('HSET', journal, unpack(raised))
-- Generations that appended nothing, of recoveries that did not come to their end.
for field in pairs(names) do
  if not used[field] then
    redis.pcall('HDEL', journal, field)
  end
end
return {text, before, batches, last, pieces, copied, server}
