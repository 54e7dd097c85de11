-- Replaces one part of an item (its catalogue entry, or its popularity) unless what is there is
-- newer, and tells readers that the item changed. Nothing of the other part is touched.
-- KEYS: item, items:changed, trending, item:features.
-- ARGV: item id, fields of the part's version and log time, version, log time, lifetime of a
--       tombstone, items to keep in trending, number of the part's other fields, their names, and
--       those that it has now, with values.
local id, version_field, log_time_field = ARGV[1], ARGV[2], ARGV[3]
local version, log_time_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local tombstone_ttl, keep, owned = ARGV[6], tonumber(ARGV[7]), tonumber(ARGV[8])

local stored = redis.call('HMGET', KEYS[1], version_field, log_time_field)
local stored_at = tonumber(stored[2] or 0)
-- A job that lost its state counts from one again: its later log time makes it newer.
if stored[1] and tonumber(stored[1]) > version and stored_at >= log_time_ms then
  return 0
end

redis.call('HDEL', KEYS[1], unpack(ARGV, 9, 8 + owned))
-- The log times of signals come from many partitions; the latest of them guards the part.
local guard_ms = string.format('%.0f', math.max(stored_at, log_time_ms))
redis.call(
  'HSET', KEYS[1], version_field, ARGV[4], log_time_field, guard_ms, unpack(ARGV, 9 + owned)
)

-- Where the item belongs follows from both parts, whichever of them came last.
local found = redis.call('HMGET', KEYS[1], 'deleted', 'shown', 'trending')
local deleted, shown, weight = found[1], found[2], found[3]
if deleted then
  redis.call('EXPIRE', KEYS[1], tombstone_ttl)
else
  redis.call('PERSIST', KEYS[1])
end
if shown and weight then
  redis.call('ZADD', KEYS[3], weight, id)
  redis.call('ZREMRANGEBYRANK', KEYS[3], 0, -keep - 1)
else
  redis.call('ZREM', KEYS[3], id)
end

-- Segments are told apart (engagement.lua); they follow when the catalogue shows or hides the item.
local trends = version_field == 'version' and redis.call('HGET', KEYS[4], 'trends')
if trends then
  trends = cjson.decode(trends)
  for at = 1, #trends, 2 do
    if shown then
      redis.call('ZADD', trends[at], trends[at + 1], id)
      redis.call('ZREMRANGEBYRANK', trends[at], 0, -keep - 1)
    else
      redis.call('ZREM', trends[at], id)
    end
  end
  if deleted then
    redis.call('EXPIRE', KEYS[4], tombstone_ttl)
  else
    redis.call('PERSIST', KEYS[4])
  end
end

-- Strictly growing, so that a reader that goes on after the last it saw misses none.
local time = redis.call('TIME')
local now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local last = redis.call('ZRANGE', KEYS[2], -1, -1, 'WITHSCORES')
local changed_at_ms = math.max(now_ms, tonumber(last[2] or 0) + 1)
redis.call('ZADD', KEYS[2], string.format('%.0f', changed_at_ms), id)
return 1
