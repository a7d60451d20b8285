local entry, lease = KEYS[1], KEYS[2]

-- The kind ("f" for a fill, "h" for hit-for-miss), who holds it, and until when; nothing where there is none.
local function leased()
  local kept = redis.call('GET', lease)
  if not kept then
    return nil
  end
  local kind, holder, till = string.match(kept, '^(%a) (%d+) (%d+)$')
  return kind, holder, tonumber(till)
end

local function is_held_by(nonce)
  local kind, holder = leased()
  return kind == 'f' and holder == nonce
end

-- It is remembered for longer than it holds: while nobody else has taken it, its holder may still store what it has.
local function take(kind, holder, span)
  local value = string.format('%s %s %.0f', kind, holder, now() + span)
  redis.call('SET', lease, value, 'PX', string.format('%.0f', span + 60000))
end
