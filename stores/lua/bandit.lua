-- Writes what is known of an item in a segment unless what is there is newer.
-- Tells of it in the list of changes, in the same moment.
-- KEYS: bandit, its changes. ARGV: most changes, item, segment, version, log time, then the other
-- fields with their values.
local version, log_time_ms = tonumber(ARGV[4]), tonumber(ARGV[5])

local stored = redis.call('HMGET', KEYS[1], 'version', 'log_time_ms')
-- A job that lost its state counts from one again: its later log time makes it newer.
if stored[1] and tonumber(stored[1]) > version and tonumber(stored[2]) >= log_time_ms then
  return 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[4], 'log_time_ms', ARGV[5], unpack(ARGV, 6))
redis.call('XADD', KEYS[2], 'MAXLEN', '~', ARGV[1], '*', 'item', ARGV[2], 'segment', ARGV[3])
return 1
