-- Removes what points to entries that are not pending any more: fields of the hash of the keys, and of the group's state.
-- They are left behind when somebody else acknowledges an entry, or when its message was trimmed or deleted. Not while they lead
-- to an entry of the same key that is still pending (read.lua).
--
-- KEYS  1 stream  2 hash of the keys  3 hash of the group's state
-- ARGV  1 group  2 "keys" or "state"  3 cursor
-- Returns {cursor, how many}; cursor = "0" at the end, "denied" when HSCAN is not allowed.
local stream, group = KEYS[1], ARGV[1]
local hash = ARGV[2] == 'keys' and KEYS[2] or KEYS[3]
local page = redis.pcall('HSCAN', hash, ARGV[3], 'COUNT', 200)
if page.err then
  return { 'denied', 0 }
end
local function leads_to_pending(id)
  while id do
    if #redis.call('XPENDING', stream, group, id, id, 1) > 0 then
      return true
    end
    id = redis.call('HGET', KEYS[3], 'prev:' .. id)
  end
  return false
end

local removed = 0
for i = 1, #page[2], 2 do
  local field, id = page[2][i], page[2][i + 1]
  local leads = true
  if ARGV[2] == 'state' then
    local marked = string.match(field, '^entry:(.*)$')
    id, leads = marked or string.match(field, '^prev:(.*)$'), not marked
  end
  local is_left = id and #redis.call('XPENDING', stream, group, id, id, 1) == 0
  if is_left and not (leads and leads_to_pending(id)) then
    removed = removed + redis.call('HDEL', hash, field)
  end
end
return { page[1], removed }
