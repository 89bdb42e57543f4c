-- Starts (or takes back) attempts: sets the delivery counters of those entries that are still ours.
--
-- The counter in Redis is the number of attempts that were started, and nothing else: it survives a crash of the consumer,
-- and is set to a number rather than raised, so that repeating this script after a lost answer counts nothing twice. The
-- check comes first because XCLAIM takes an entry from whoever has it: another consumer may have taken ours over while we
-- were frozen, and it is the owner now.
--
-- A crash says nothing about an entry that others were being handled beside: how many of its attempts began in company and
-- have no outcome is kept in the group's state, and whoever finds such an entry later tries it alone before it is blamed.
--
-- KEYS  1 stream  2 hash of the group's state
-- ARGV  1 group  2 consumer  3 its token  4… for each entry: id, attempts, how many of them do not count, "1" to fetch the
--       fields
-- Returns for each entry: nil when it is not ours, else the fields: an empty list when not asked for, or when the message is
-- gone.
local stream, state, group, me, token = KEYS[1], KEYS[2], ARGV[1], ARGV[2], ARGV[3]
if (redis.call('HGET', state, 'consumer:' .. me) or token) ~= token then
  return redis.error_reply('DISPLACED another process uses this consumer name')
end
local begun = {}
for i = 4, #ARGV, 4 do
  local id = ARGV[i]
  local fields = false
  if #redis.call('XPENDING', stream, group, id, id, 1, me) > 0 then
    if ARGV[i + 2] == '0' then
      redis.call('HDEL', state, 'entry:' .. id)
    else
      redis.call('HSET', state, 'entry:' .. id, ARGV[i + 2])
    end
    -- JUSTID: without it the counter would be raised by one more.
    redis.call('XCLAIM', stream, group, me, 0, id, 'RETRYCOUNT', ARGV[i + 1], 'JUSTID')
    fields = {}
    if ARGV[i + 3] == '1' then
      local found = redis.call('XRANGE', stream, id, id)
      if #found > 0 then
        fields = found[1][2]
      end
    end
  end
  begun[#begun + 1] = fields
end
return begun
