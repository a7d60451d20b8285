-- `-- PREFIX KEYS HOW`: requests for PREFIX1 to PREFIX<KEYS>, drawn once before the run; `skewed` the n-th as often as 1/n
-- (Zipf), `even` each as often as any other.
dofile(os.getenv("COMPARE_LUA") .. "/report.lua")

local requests, at = {}, 0
local DRAWN = 65536

local function skewed(keys)
   local sums, sum = {}, 0
   for n = 1, keys do
      sum = sum + 1 / n
      sums[n] = sum
   end
   return function()
      local wanted, low, high = math.random() * sum, 1, keys
      while low < high do
         local middle = math.floor((low + high) / 2)
         if sums[middle] < wanted then low = middle + 1 else high = middle end
      end
      return low
   end
end

local function even(keys)
   return function() return math.random(keys) end
end

init = function(args)
   local prefix, keys = args[1], tonumber(args[2])
   local draw = (args[3] == "even" and even or skewed)(keys)
   local made = {}
   math.randomseed(20261125)
   for i = 1, DRAWN do
      local key = draw()
      made[key] = made[key] or wrk.format("GET", prefix .. string.format("%d", key))
      requests[i] = made[key]
   end
end

request = function()
   at = at % DRAWN + 1
   return requests[at]
end
