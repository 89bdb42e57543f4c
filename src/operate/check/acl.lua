-- Which of the given commands the caller may run, without running them. This asks for no more than EVAL, which the
-- relay needs anyway; ACL DRYRUN would ask for an administrator.
--
-- ARGV  for each command: how many words, and the words
-- Returns one character a command: 1, 0, or - for one that the server does not have, about which it raises an error;
-- or '?' alone where Redis (before 7.0) cannot tell.
if not redis.acl_check_cmd then
  return '?'
end
local answer, at = {}, 1
while at <= #ARGV do
  local count = tonumber(ARGV[at])
  local is_known, may = pcall(redis.acl_check_cmd, unpack(ARGV, at + 1, at + count))
  answer[#answer + 1] = not is_known and '-' or may and '1' or '0'
  at = at + 1 + count
end
return table.concat(answer)
