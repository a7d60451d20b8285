-- variant, nonce, number, record, time to live in ms, variants at most, chunks, selectors
-- -> nothing if it is not stored, else {nonce, chunks, ...} of fills whose chunks are of no use any more
local variant, nonce, selectors = ARGV[1], ARGV[2], ARGV[8]
local before = redis.call('HMGET', entry, 'n' .. variant, 's' .. variant, 'm' .. variant)
if not is_held_by(nonce) or (before[2] and tonumber(before[2]) > tonumber(ARGV[3])) then
  return false
end
local gone, m = {}, ARGV[7] .. ' ' .. selectors
note(gone, before[1], before[3])
local others = redis.call('HLEN', entry) - (before[1] and 4 or 0)
if not before[1] and others >= 4 * tonumber(ARGV[6]) then
  forget(gone, function()
    return true
  end)
elseif others > 0 and variant == string.rep('\0', 16) then
  -- The first slot says by which fields responses are selected: nobody finds those that others have selected.
  forget(gone, function(other, _, others)
    return other ~= variant and others ~= selectors
  end)
end
local left = redis.call('PTTL', entry)
redis.call('HSET', entry, 'n' .. variant, nonce, 's' .. variant, ARGV[3], 'r' .. variant, ARGV[4], 'm' .. variant, m)
-- The variants of a resource go together, with the last of them.
if tonumber(ARGV[5]) > left then
  redis.call('PEXPIRE', entry, ARGV[5])
end
redis.call('DEL', lease)
return gone
