-- run, new epoch -> the epoch in force
local kept = redis.call('HMGET', control, 'epoch', 'run')
if kept[1] and kept[2] == ARGV[1] and is_current(kept[1]) then
  return kept[1]
end
redis.call('UNLINK', control, ledger, log, gateways)
redis.call('HSET', control, 'epoch', ARGV[2], 'run', ARGV[1], 'sequence', 0, 'floor', 0, 'settled', 0,
  'matchers', 0, 'members', 0)
return ARGV[2]
