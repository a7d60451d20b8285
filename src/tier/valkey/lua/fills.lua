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

-- A variant is four fields of the entry: "n", the fill that has brought it; "s", the number of its stamp; "r", its record; and "m", how many
-- chunks its body has, and the names of the fields by which the target's responses are selected.

-- Notes a fill whose chunks are of no use any more.
local function note(gone, nonce, m)
  local chunks = m and string.match(m, '^%d+')
  if nonce and chunks and chunks ~= '0' then
    table.insert(gone, nonce)
    table.insert(gone, chunks)
  end
end

-- Forgets the variants of which `is_dead(variant, number, selectors)` says so, and notes their fills.
local function forget(gone, is_dead)
  local kept, fields = redis.call('HGETALL', entry), {}
  for at = 1, #kept, 2 do
    fields[kept[at]] = kept[at + 1]
  end
  for field, nonce in pairs(fields) do
    local variant = string.sub(field, 2)
    local m = fields['m' .. variant]
    local selectors = m and string.match(m, '^%d+ (.*)$')
    if string.sub(field, 1, 1) == 'n' and is_dead(variant, tonumber(fields['s' .. variant]), selectors) then
      note(gone, nonce, m)
      redis.call('HDEL', entry, field, 's' .. variant, 'r' .. variant, 'm' .. variant)
    end
  end
end
