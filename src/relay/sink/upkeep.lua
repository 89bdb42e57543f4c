-- Looks at one stream and trims it, in one step: between the look and the trim nothing is delivered, claimed or
-- acknowledged, and no group is created.
--
-- KEYS  1  the stream
-- ARGV  when ('never', 'consumed' or 'length'), keep_read in ms, keep_read_entries, max_len (0: no limit), max_age in ms
--       (0: no limit), whether to look at the consumers (1 or 0), how many groups must exist, their names
-- Returns {'ABSENT'}; {'REFUSED', why}; or {'OK', time of Redis in ms, entries, trimmed because
--         they were read, trimmed because of a limit, how many of these the group that lost most had not read, names of the
--         groups that do not exist, groups}, and of each group {name, last delivered id, pending, lag ('': not known), oldest
--         entry that is pending ('': none), ms since its consumers were seen ('': not known)}.
--
-- What may go is what every group has read and acknowledged. Of each group that is all before its oldest pending entry, or
-- before the last delivered one if nothing is pending. A pending entry that was trimmed or deleted holds nothing back.
-- Ids are compared as texts: Lua's numbers have 53 bits, and an id has 128.
-- `~` removes whole nodes only. An entry at or beyond the id that it is given is never removed.
-- Ids of entries are read by XRANGE, of one entry at a time: no command tells them without what is in the entry.
local key = KEYS[1]
local when, keep_read, keep_entries = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local max_len, max_age, sees_consumers = tonumber(ARGV[4]), tonumber(ARGV[5]), ARGV[6] == '1'
-- Entries that one XTRIM with a limit of its own removes: less than a millisecond. Without one it is a hundred nodes.
local STEP = 10000
-- Pending entries that are gone and are passed over, for each group.
local GONE_MAX = 100

local function call(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then
    error(reply)
  end
  return reply
end

local function is_before(one, other)
  local ms, seq = string.match(one, '^(%d+)%-(%d+)$')
  local other_ms, other_seq = string.match(other, '^(%d+)%-(%d+)$')
  if ms == other_ms then
    ms, other_ms = seq, other_seq
  end
  if #ms ~= #other_ms then
    return #ms < #other_ms
  end
  return ms < other_ms
end

local function first_from(id)
  local entries = call('XRANGE', key, id, '+', 'COUNT', 1)
  return entries[1] and entries[1][1]
end

-- The oldest entry that is pending and still there, and from where on the group needs what is there.
local function needed_from(group)
  local from = '-'
  if group.pending > 0 then
    for _ = 1, GONE_MAX do
      local pending = call('XPENDING', key, group.name, from, '+', 1)[1]
      local entry = pending and first_from(pending[1])
      if not entry then
        return nil, group.last
      end
      if entry == pending[1] then
        return entry, is_before(entry, group.last) and entry or group.last
      end
      from = entry
    end
    return nil, is_before(from, group.last) and from or group.last
  end
  return nil, group.last
end

local function seen_ago(name)
  local least = ''
  for _, consumer in ipairs(call('XINFO', 'CONSUMERS', key, name)) do
    for i = 1, #consumer, 2 do
      if consumer[i] == 'idle' and (least == '' or consumer[i + 1] < least) then
        least = consumer[i + 1]
      end
    end
  end
  return least
end

local function groups_of(found)
  local groups, exists = {}, {}
  for _, fields in ipairs(found) do
    local group = {lag = ''}
    for i = 1, #fields, 2 do
      local name, value = fields[i], fields[i + 1]
      if name == 'name' then
        group.name = value
      elseif name == 'pending' then
        group.pending = value
      elseif name == 'last-delivered-id' then
        group.last = value
      elseif name == 'lag' and type(value) == 'number' then
        group.lag = value
      end
    end
    if group.lag == '' and not first_from('(' .. group.last) then
      group.lag = 0
    end
    group.oldest, group.needed = needed_from(group)
    group.seen_ago = sees_consumers and seen_ago(group.name) or ''
    groups[#groups + 1] = group
    exists[group.name] = true
  end
  local missing = {}
  for i = 8, 7 + tonumber(ARGV[7]) do
    if not exists[ARGV[i]] then
      missing[#missing + 1] = ARGV[i]
    end
  end
  return groups, missing
end

local function id_of_age(now, age)
  return string.format('%.0f-0', math.max(now - age, 0))
end

-- Removes what every group has read and nothing asks to keep.
local function trim_read(now, length, groups)
  local cut = id_of_age(now, keep_read)
  for _, group in ipairs(groups) do
    if is_before(group.needed, cut) then
      cut = group.needed
    end
  end
  if keep_entries == 0 then
    return call('XTRIM', key, 'MINID', '~', cut)
  end
  local room = length - keep_entries
  if room <= 0 then
    return 0
  end
  local trimmed = call('XTRIM', key, 'MINID', '~', cut, 'LIMIT', math.min(room, STEP))
  if trimmed == 0 and room > STEP then
    -- Nodes may hold more entries than a step.
    trimmed = call('XTRIM', key, 'MINID', '~', cut, 'LIMIT', string.format('%.0f', room))
  end
  return trimmed
end

-- How many of the entries from `oldest` to `first`, which are gone, a group had not read. Never less than it was; more only
-- if Redis does not know the group's lag, or if pending entries had been deleted.
local function unread_by(group, oldest, first, left, gone)
  local unread = 0
  if not first or is_before(group.last, first) then
    unread = group.lag == '' and gone or math.max(group.lag - left, 0)
  end
  if group.pending > 0 then
    local to = first and '(' .. first or '+'
    unread = unread + #call('XPENDING', key, group.name, oldest, to, string.format('%.0f', gone))
  end
  return math.min(unread, gone)
end

-- Removes what is over a limit, read or not.
local function trim_over(now, groups, missing)
  local limit = max_age > 0 and id_of_age(now, max_age)
  local oldest = first_from('-')
  local is_old = oldest and limit and is_before(oldest, limit)
  if not oldest or not (is_old or max_len > 0 and call('XLEN', key) > max_len) then
    return 0, 0
  end
  local gone = 0
  if max_len > 0 then
    gone = call('XTRIM', key, 'MAXLEN', '~', string.format('%.0f', max_len))
  end
  if is_old then
    gone = gone + call('XTRIM', key, 'MINID', '~', limit)
  end
  if when == 'length' and #groups == 0 and #missing == 0 then
    -- Nobody reads it as a group, and nobody is waited for.
    return gone, 0
  elseif gone == 0 or #groups == 0 or #missing > 0 then
    return gone, gone
  end
  local first, left, unread = first_from('-'), call('XLEN', key), 0
  for _, group in ipairs(groups) do
    unread = math.max(unread, unread_by(group, oldest, first, left, gone))
  end
  return gone, unread
end

local function run()
  local length = call('XLEN', key)
  local found = redis.pcall('XINFO', 'GROUPS', key)
  if found.err and string.find(found.err, 'no such key', 1, true) then
    return {'ABSENT'}
  elseif found.err then
    error(found)
  end
  local time = call('TIME')
  local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  local groups, missing = groups_of(found)
  local read, over, unread = 0, 0, 0
  if when == 'consumed' and #groups > 0 and #missing == 0 then
    read = trim_read(now, length, groups)
  end
  if when ~= 'never' then
    over, unread = trim_over(now, groups, missing)
  end
  local of = {}
  for i, group in ipairs(groups) do
    of[i] = {group.name, group.last, group.pending, group.lag, group.oldest or '', group.seen_ago}
  end
  return {'OK', now, length - read - over, read, over, unread, missing, of}
end

local ended, answer = pcall(run)
if ended then
  return answer
end
return {'REFUSED', type(answer) == 'table' and answer.err or tostring(answer)}
