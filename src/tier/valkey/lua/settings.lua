-- epoch, gateway, its settings -> {gateway, settings, ...}
if not is_current(ARGV[1]) then
  return false
end
-- Beside the control, whose own fields have other names. Those of gateways that have left are forgotten here.
local kept, registered, found = redis.call('HGETALL', control), {}, {}
for_members(function(id)
  registered[id] = true
end)
for at = 1, #kept, 2 do
  local id = string.match(kept[at], '^of (%d+)$')
  if id and not registered[id] then
    redis.call('HDEL', control, kept[at])
  elseif id and id ~= ARGV[2] then
    table.insert(found, id)
    table.insert(found, kept[at + 1])
  end
end
if registered[ARGV[2]] then
  redis.call('HSET', control, 'of ' .. ARGV[2], ARGV[3])
end
return found
