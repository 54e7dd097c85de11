-- Replaces the neighbours of an item unless what is there is newer.
-- KEYS: neighbors. ARGV: version, log time, lifetime, then the other fields with their values.
local version, log_time_ms = tonumber(ARGV[1]), tonumber(ARGV[2])

local stored = redis.call('HMGET', KEYS[1], 'version', 'log_time_ms')
-- A job that lost its state counts from one again: its later log time makes it newer.
if stored[1] and tonumber(stored[1]) > version and tonumber(stored[2]) >= log_time_ms then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'log_time_ms', ARGV[2], unpack(ARGV, 4))
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
