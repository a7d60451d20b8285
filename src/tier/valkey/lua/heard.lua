-- epoch, number -> gateways that have not taken it over
if not is_current(ARGV[1]) then
  return false
end
-- A write, for WAIT to tell whether the replicas have it.
redis.call('HSET', control, 'heard', ARGV[2])
local missing, number = {}, tonumber(ARGV[2])
for_members(function(id, applied)
  if tonumber(applied) < number then
    table.insert(missing, id)
  end
end)
return missing
