-- nonce, hit-for-miss in ms or 0 -> 1
if is_held_by(ARGV[1]) then
  local span = tonumber(ARGV[2])
  if span > 0 then
    take('h', 0, span)
  else
    redis.call('DEL', lease)
  end
end
return 1
