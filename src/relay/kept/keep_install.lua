-- Writes what each member of a new generation starts from, and opens the journal for it. Between the raise, which closed
-- it, and this nobody appends: a member that is fenced could otherwise go on from pieces that are about to be replaced.
--
-- KEYS  1  the journal: see keep_append.lua
-- ARGV  generation, what its raise has drawn, the Postgres that the pieces belong to, for how many generations the last
--       numbers stay, and for each member its number, its nonce and its pieces
-- Returns 1, or why nothing was done, in words.
--
-- All that counts is one write: it is done as a whole or not at all. A piece of a member that is none any more is emptied
-- by it, too, for a user who may not HDEL must not leave it behind. What is removed after it does no harm where it stays.
local journal, generation, raised, server, kept = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local fields = redis.pcall('HGETALL', journal)
if fields.err then
  return fields.err
end
local known = {}
for i = 1, #fields, 2 do
  known[fields[i]] = fields[i + 1]
end
if not known.generation then
  return 'the journal is gone'
end
if known.generation ~= generation then
  return 'the journal is at generation ' .. known.generation .. ', not ' .. generation
end
if known.open ~= '0' then
  return 'the journal of generation ' .. generation .. ' is open already'
end

-- A journal that was restored may be raised to the same generation once more, by others or by a late script. What these
-- pieces rest on is then no longer in it.
if known.raised ~= raised then
  return 'the journal of generation ' .. generation .. ' was raised by somebody else'
end

local command, new = {'HSET', journal, 'open', '1', 'server', server}, {}
local function set(field, value)
  new[field] = true
  command[#command + 1], command[#command + 2] = field, value
end
for i = 5, #ARGV, 3 do
  set('nonce:' .. ARGV[i], ARGV[i + 1])
  set('kept:' .. ARGV[i], ARGV[i + 2])
end

local old = {}
for field in pairs(known) do
  local kind, of = string.match(field, '^(%a+):(%d+)')
  of = tonumber(of)
  if kind == 'kept' and not new[field] then
    command[#command + 1], command[#command + 2] = field, ''
    old[#old + 1] = field
  elseif kind == 'nonce' and not new[field] or kind == 'copied' then
    old[#old + 1] = field
  elseif (kind == 'batch' or kind == 'names') and of < tonumber(generation) then
    old[#old + 1] = field
  elseif kind == 'last' and of < tonumber(generation) - tonumber(kept) then
    old[#old + 1] = field
  end
end

local written = redis.pcall(unpack(command))
if type(written) == 'table' and written.err then
  return written.err
end
for _, field in ipairs(old) do
  local removed = redis.pcall('HDEL', journal, field)
  if type(removed) == 'table' and removed.err and string.sub(field, 1, 5) ~= 'last:' then
    redis.pcall('HSET', journal, field, string.sub(field, 1, 6) == 'batch:' and ';' or '')
  end
end
return 1
