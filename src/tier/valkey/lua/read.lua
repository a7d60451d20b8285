-- epoch, applied, limit -> 0 where the log does not go back so far, else 1, {number, invalidation, ...}
if not is_current(ARGV[1]) then
  return false
end
local applied = tonumber(ARGV[2])
local found = {}
if applied >= tonumber(redis.call('HGET', control, 'sequence')) then
  return {1, found}
end
local later = redis.call('XRANGE', log, digits(applied + 1) .. '-0', '+', 'COUNT', ARGV[3])
if not later[1] or later[1][1] ~= digits(applied + 1) .. '-0' then
  return {0}
end
for _, entry in ipairs(later) do
  table.insert(found, tonumber(string.match(entry[1], '^%d+')))
  table.insert(found, entry[2][4])
end
return {1, found}
