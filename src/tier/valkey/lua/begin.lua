-- variant, nonce, unfit nonce or nothing, lease in ms -> "stored", nonce, number, record | "lead" | "follow" | "hfm"
local fields = {'n' .. ARGV[1], 's' .. ARGV[1], 'r' .. ARGV[1]}
local stored = redis.call('HMGET', entry, unpack(fields))
if stored[1] and stored[1] ~= ARGV[3] then
  return {'stored', stored[1], stored[2], stored[3]}
end
local kind, holder, till = leased()
if kind and now() < till then
  if kind == 'h' then
    return {'hfm'}
  end
  if holder ~= ARGV[2] then
    return {'follow'}
  end
end
take('f', ARGV[2], tonumber(ARGV[4]))
return {'lead'}
