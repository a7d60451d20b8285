-- epoch, number, limit -> sequence, floor, {matcher, number, ...} of those with a higher number, at least limit if there are so many
if not is_current(ARGV[1]) then
  return false
end
local after, limit = '(' .. ARGV[2], tonumber(ARGV[3])
local found = redis.call('ZRANGEBYSCORE', ledger, after, '+inf', 'WITHSCORES', 'LIMIT', 0, limit)
if #found == 2 * limit then
  -- All with the last one's number: the next part begins after it.
  found = redis.call('ZRANGEBYSCORE', ledger, after, found[#found], 'WITHSCORES')
end
local kept = redis.call('HMGET', control, 'sequence', 'floor')
return {tonumber(kept[1]), tonumber(kept[2]), found}
