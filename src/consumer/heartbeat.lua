-- Says that we still work on these entries: sets their idle time to zero, so that no other consumer takes them over.
-- Only those that are still ours: a bare XCLAIM would take back what another consumer rightly took from us.
--
-- KEYS  1 stream
-- ARGV  1 group  2 consumer  3… entry ids
-- Returns how many are still ours.
local kept = 0
for i = 3, #ARGV do
  local mine = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[i], ARGV[i], 1, ARGV[2])
  if #mine > 0 then
    redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[i], 'JUSTID')
    kept = kept + 1
  end
end
return kept
