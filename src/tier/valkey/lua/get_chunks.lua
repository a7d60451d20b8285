-- the chunks, nothing in the place of one that is gone
return redis.call('MGET', unpack(KEYS))
