-- epoch -> 1
if not is_current(ARGV[1]) then
  return false
end
redis.call('HSET', control, 'settled', 1)
return 1
