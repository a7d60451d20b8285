-- number -> {nonce, chunks, ...} of fills whose chunks are of no use any more
local gone = {}
forget(gone, function(_, number)
  return number < tonumber(ARGV[1])
end)
return gone
