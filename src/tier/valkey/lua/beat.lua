-- epoch, gateway, applied, beats -> sequence
if not is_current(ARGV[1]) then
  return false
end
local applied, beats = tonumber(ARGV[3]), tonumber(ARGV[4])
local known = redis.call('HGET', gateways, ARGV[2])
if known then
  -- A heartbeat that was delayed takes nothing back.
  local applied_before, beats_before = string.match(known, '^(%d+) (%d+)$')
  applied = math.max(applied, tonumber(applied_before))
  beats = math.max(beats, tonumber(beats_before))
end
redis.call('HSET', gateways, ARGV[2], digits(applied) .. ' ' .. digits(beats))
count_members()
return tonumber(redis.call('HGET', control, 'sequence'))
