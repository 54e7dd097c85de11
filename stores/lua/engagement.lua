-- Replaces what people did with an item unless what is there is newer, and its places in trending.
-- KEYS: item:features, item.
-- ARGV: item id, version, log time, items to keep in trending, number of trending sets that it is
--       in, their keys with its weights, then the other fields with their values.
local id, version, log_time_ms = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local keep, last = tonumber(ARGV[4]), 5 + 2 * tonumber(ARGV[5])

local stored = redis.call('HMGET', KEYS[1], 'version', 'log_time_ms', 'trends')
-- A job that lost its state counts from one again: its later log time makes it newer.
if stored[1] and tonumber(stored[1]) > version and tonumber(stored[2]) >= log_time_ms then
  return 0
end

if stored[3] then
  local before = cjson.decode(stored[3])
  for at = 1, #before, 2 do
    redis.call('ZREM', before[at], id)
  end
end
local shown = redis.call('HGET', KEYS[2], 'shown')
local trends = {}
for at = 6, last, 2 do
  trends[#trends + 1], trends[#trends + 2] = ARGV[at], ARGV[at + 1]
  if shown then
    redis.call('ZADD', ARGV[at], ARGV[at + 1], id)
    redis.call('ZREMRANGEBYRANK', ARGV[at], 0, -keep - 1)
  end
end

redis.call(
  'HSET', KEYS[1], 'version', ARGV[2], 'log_time_ms', ARGV[3], 'trends', cjson.encode(trends),
  unpack(ARGV, last + 1)
)
return 1
