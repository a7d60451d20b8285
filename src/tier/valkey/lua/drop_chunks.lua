-- -> 1
redis.call('UNLINK', unpack(KEYS))
return 1
