-- `-- PREFIX KEYS`: requests for PREFIX1 to PREFIX<KEYS>, the n-th as often as 1/n (Zipf), drawn once before the run.
dofile(os.getenv("COMPARE_LUA") .. "/report.lua")

local requests, at = {}, 0
local DRAWN = 65536

init = function(args)
   local prefix, keys = args[1], tonumber(args[2])
   local sums, sum = {}, 0
   for n = 1, keys do
      sum = sum + 1 / n
      sums[n] = sum
   end
   local made = {}
   math.randomseed(20261125)
   for i = 1, DRAWN do
      local wanted, low, high = math.random() * sum, 1, keys
      while low < high do
         local middle = math.floor((low + high) / 2)
         if sums[middle] < wanted then low = middle + 1 else high = middle end
      end
      made[low] = made[low] or wrk.format("GET", prefix .. low)
      requests[i] = made[low]
   end
end

request = function()
   at = at % DRAWN + 1
   return requests[at]
end
