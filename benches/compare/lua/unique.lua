-- `-- PREFIX`: requests for PREFIX1, PREFIX2, and so on, each once.
dofile(os.getenv("COMPARE_LUA") .. "/report.lua")

local before, after, n

init = function(args)
   local sample = wrk.format("GET", args[1] .. "@")
   before, after = sample:match("^(.-)@(.*)$")
   n = 0
end

request = function()
   n = n + 1
   return before .. n .. after
end
