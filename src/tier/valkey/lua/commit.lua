-- variant, nonce, number, record, time to live in ms, variants at most -> 1 if it is stored
local variant, nonce = ARGV[1], ARGV[2]
local number = redis.call('HGET', entry, 's' .. variant)
if not is_held_by(nonce) or (number and tonumber(number) > tonumber(ARGV[3])) then
  return 0
end
if not number and redis.call('HLEN', entry) >= 3 * tonumber(ARGV[6]) then
  redis.call('UNLINK', entry)
end
local left = redis.call('PTTL', entry)
redis.call('HSET', entry, 'n' .. variant, nonce, 's' .. variant, ARGV[3], 'r' .. variant, ARGV[4])
-- The variants of a resource go together, with the last of them.
if tonumber(ARGV[5]) > left then
  redis.call('PEXPIRE', entry, ARGV[5])
end
redis.call('DEL', lease)
return 1
