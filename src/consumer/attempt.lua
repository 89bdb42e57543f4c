-- Starts (or takes back) an attempt at one entry: sets its delivery counter, if the entry is still ours.
--
-- The counter in Redis is the number of attempts that were started, and nothing else: it survives a crash of the consumer,
-- and is set to a number rather than raised, so that repeating this script after a lost answer counts nothing twice. The
-- check comes first because XCLAIM takes an entry from whoever has it: another consumer may have taken ours over while we
-- were frozen, and it is the owner now.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3 entry id  4 attempts  5 "1" to fetch the fields
-- Returns nil when the entry is not ours, else the fields: an empty list when not asked for, or when the message is gone.
local mine = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1, ARGV[2])
if #mine == 0 then
  return nil
end
-- JUSTID: without it the counter would be raised by one more.
redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'RETRYCOUNT', ARGV[4], 'JUSTID')
if ARGV[5] ~= '1' then
  return {}
end
local found = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])
if #found == 0 then
  return {}
end
return found[1][2]
