-- epoch, limit of the log, limit of the ledger, invalidation, matcher, ... -> number, settled, {gateway, beats, ...}
if not is_current(ARGV[1]) then
  return false
end
local limit = tonumber(ARGV[3])
local number = redis.call('HINCRBY', control, 'sequence', 1)
redis.call('XADD', log, 'MAXLEN', '=', ARGV[2], digits(number) .. '-0', 'epoch', ARGV[1], 'covers', ARGV[4])
for at = 5, #ARGV do
  redis.call('ZADD', ledger, digits(number), ARGV[at])
end
while redis.call('ZCARD', ledger) > limit do
  local floor = redis.call('ZRANGE', ledger, 0, 0, 'WITHSCORES')[2]
  redis.call('ZREMRANGEBYSCORE', ledger, '-inf', floor)
  redis.call('HSET', control, 'floor', floor)
end
redis.call('HSET', control, 'matchers', redis.call('ZCARD', ledger))
return {number, tonumber(redis.call('HGET', control, 'settled')), members()}
