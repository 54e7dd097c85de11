-- Replaces an item unless what is there is newer, and tells readers that it changed.
-- KEYS: item, items:changed, trending.
-- ARGV: item id, version, log time, lifetime of a tombstone or '' for an item that lives, trending
--       weight or '' for an item that isn't shown, items to keep in trending, fields with values.
local id, version, log_time_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local tombstone_ttl, weight, keep = ARGV[4], ARGV[5], tonumber(ARGV[6])

local stored = redis.call('HMGET', KEYS[1], 'version', 'log_time_ms')
local stored_at = tonumber(stored[2] or 0)
-- A job that lost its state counts from one again: its later log time makes it newer.
if stored[1] and tonumber(stored[1]) > version and stored_at >= log_time_ms then
  return 0
end

redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], unpack(ARGV, 7))
-- The log times of an item come from two topics; the latest of them guards it.
redis.call('HSET', KEYS[1], 'log_time_ms', string.format('%.0f', math.max(stored_at, log_time_ms)))
if tombstone_ttl ~= '' then
  redis.call('EXPIRE', KEYS[1], tombstone_ttl)
end

if weight == '' then
  redis.call('ZREM', KEYS[3], id)
else
  redis.call('ZADD', KEYS[3], weight, id)
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -keep - 1)
end

-- Strictly growing, so that a reader that goes on after the last it saw misses none.
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
local changed_at_ms = math.max(now_ms, tonumber(last[2] or 0) + 1)
redis.call('ZADD', KEYS[2], string.format('%.0f', changed_at_ms), id)
return 1
