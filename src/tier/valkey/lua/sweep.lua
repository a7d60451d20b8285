-- epoch, gateway, beats -> 1
if not is_current(ARGV[1]) then
  return false
end
local known = redis.call('HGET', gateways, ARGV[2])
if known and string.match(known, ' (%d+)$') == ARGV[3] then
  redis.call('HDEL', gateways, ARGV[2])
  count_members()
end
return 1
