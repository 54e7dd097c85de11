-- Writes a user's context, features, aggregates and session unless what is there is newer; adds
-- interactions. First deletes all of them where the user was to be forgotten.
-- KEYS: context, interactions, user:features, user:agg, when the user was forgotten, the user's
--       traces, and session where the user is, or was, in one.
-- ARGV: version, log time, context (empty: none), lifetimes of context, interactions, features and
--       aggregates, session, and of having been forgotten; interactions to keep; log time of being
--       forgotten (0: never), how keys of sessions begin; count of (score, interaction) pairs and
--       the pairs, count of feature fields and the fields with their values, the same of aggregates,
--       then the session's fields with their values.
local version, log_time_ms = tonumber(ARGV[1]), tonumber(ARGV[2])
local context, keep, forgotten_ms = ARGV[3], tonumber(ARGV[9]), tonumber(ARGV[10])

local function slice(from)
  local last = from + 2 * tonumber(ARGV[from])
  return {unpack(ARGV, from + 1, last)}, last + 1
end

local function stored()
  -- A context starts with these two, so that its JSON needn't be parsed.
  local head = redis.call('GETRANGE', KEYS[1], 0, 63)
  local stored_version, stored_at = head:match('^{"version":(%d+),"log_time_ms":(%d+)')
  return tonumber(stored_version or 0), tonumber(stored_at or 0)
end

local function forget()
  local session = redis.call('HGET', KEYS[3], 'active_session')
  if session then
    redis.call('DEL', ARGV[11] .. session)
  end
  for _, trace in ipairs(redis.call('ZRANGE', KEYS[6], 0, -1)) do
    redis.call('DEL', trace)
  end
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[6])
  if KEYS[7] then
    redis.call('DEL', KEYS[7])
  end
  redis.call('SET', KEYS[5], forgotten_ms, 'EX', ARGV[8])
end

-- What a slower writer brings of before the user was forgotten.
if log_time_ms < tonumber(redis.call('GET', KEYS[5]) or 0) then
  return 0
end
local stored_version, stored_at = stored()
if forgotten_ms > 0 and stored_at <= forgotten_ms then
  forget()
  stored_version, stored_at = 0, 0
end

local interactions, at = slice(12)
if #interactions > 0 then
  redis.call('ZADD', KEYS[2], unpack(interactions))
  redis.call('ZREMRANGEBYRANK', KEYS[2], 0, -keep - 1)
  redis.call('EXPIRE', KEYS[2], ARGV[5])
end
-- A job that lost its state counts from one again: its later log time makes it newer.
if stored_version > version and stored_at >= log_time_ms then
  return 0
end
if context == '' then
  return 1
end
redis.call('SET', KEYS[1], context, 'EX', ARGV[4])
local features, aggregates
features, at = slice(at)
aggregates, at = slice(at)
for key, fields in pairs({[KEYS[3]] = features, [KEYS[4]] = aggregates}) do
  if #fields > 0 then
    redis.call('DEL', key)
    redis.call('HSET', key, unpack(fields))
    redis.call('EXPIRE', key, ARGV[6])
  end
end
if KEYS[7] and ARGV[at] then
  redis.call('HSET', KEYS[7], unpack(ARGV, at))
  redis.call('EXPIRE', KEYS[7], ARGV[7])
end
return 1
