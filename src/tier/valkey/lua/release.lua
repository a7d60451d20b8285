-- nonce, hit-for-miss in ms or 0, the variant that is outdated or nothing -> {nonce, chunks, ...} of fills whose chunks are of no use any more
local gone = {}
if is_held_by(ARGV[1]) then
  forget(gone, function(variant)
    return variant == ARGV[3]
  end)
  local span = tonumber(ARGV[2])
  if span > 0 then
    take('h', 0, span)
  else
    redis.call('DEL', lease)
  end
end
return gone
