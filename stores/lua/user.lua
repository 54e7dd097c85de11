-- Writes a user's context, features and session unless what is there is newer; adds interactions.
-- KEYS: context, interactions, user:features, and session where the user is in one.
-- ARGV: version, log time, context, four lifetimes (in the order of KEYS), interactions to keep,
--       count of (score, interaction) pairs and the pairs, count of feature fields and the fields
--       with their values, then the session's fields with their values.
local version, log_time_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local context, keep = ARGV[3], tonumber(ARGV[8])

local function slice(from, pairs_count)
  local last = from + 2 * pairs_count - 1
  return {unpack(ARGV, from, last)}, last + 1
end

local function stored_is_newer()
  -- A context starts with these two, so that its JSON needn't be parsed.
  local head = redis.call('GETRANGE', KEYS[1], 0, 63)
  local stored, stored_at = head:match('^{"version":(%d+),"log_time_ms":(%d+)')
  -- A job that lost its state counts from one again: its later log time makes it newer.
  return stored and tonumber(stored) > version and tonumber(stored_at) >= log_time_ms
end

local interactions, at = slice(10, tonumber(ARGV[9]))
if #interactions > 0 then
  redis.call('ZADD', KEYS[2], unpack(interactions))
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -keep - 1)
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
if stored_is_newer() then
  return 0
end
redis.call('SET', KEYS[1], context, 'EX', ARGV[4])
local features, after = slice(at + 1, tonumber(ARGV[at]))
redis.call('HSET', KEYS[3], unpack(features))
redis.call('EXPIRE', KEYS[3], ARGV[6])
if KEYS[4] then
  redis.call('HSET', KEYS[4], unpack(ARGV, after))
  redis.call('EXPIRE', KEYS[4], ARGV[7])
end
return 1
