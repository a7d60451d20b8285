-- variant -> nonce, number, record, or nothing
local stored = redis.call('HMGET', entry, 'n' .. ARGV[1], 's' .. ARGV[1], 'r' .. ARGV[1])
if not stored[1] then
  return false
end
return stored
