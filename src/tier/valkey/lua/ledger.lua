local control, ledger, log, gateways = KEYS[1], KEYS[2], KEYS[3], KEYS[4]

-- An epoch is over, too, when the server has dropped one of its keys to save memory: the counts tell.
local function is_current(epoch)
  local kept = redis.call('HMGET', control, 'epoch', 'matchers', 'members')
  return kept[1] == epoch
    and tonumber(kept[2]) == redis.call('ZCARD', ledger)
    and tonumber(kept[3]) == redis.call('HLEN', gateways)
end

-- Calls `each(id, applied, beats)` for all gateways that are registered; the numbers are text.
local function for_members(each)
  local kept = redis.call('HGETALL', gateways)
  for at = 1, #kept, 2 do
    local applied, beats = string.match(kept[at + 1], '^(%d+) (%d+)$')
    each(kept[at], applied, beats)
  end
end

local function members()
  local found = {}
  for_members(function(id, _, beats)
    table.insert(found, id)
    table.insert(found, beats)
  end)
  return found
end

local function count_members()
  redis.call('HSET', control, 'members', redis.call('HLEN', gateways))
end

-- Lua's own conversion would round what has more than 14 digits.
local function digits(number)
  return string.format('%.0f', number)
end
