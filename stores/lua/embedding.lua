-- Writes a user's vectors unless a newer version is there; deletes them where the user was to be
-- forgotten.
-- KEYS: vectors for good, of the day, of the visit, and when the user was forgotten.
-- ARGV: version, log time, log time of being forgotten (0: never), three lifetimes of vectors and
--       that of having been forgotten, and the three values (int64 version, then the vector); an
--       empty one is left as it is.
local version, log_time_ms, forgotten_ms = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

-- What a slower writer brings of before the user was forgotten.
if log_time_ms > 0 and log_time_ms < tonumber(redis.call('GET', KEYS[4]) or 0) then
  return 0
end
if forgotten_ms > 0 then
  redis.call('DEL', KEYS[1], KEYS[2], KEYS[3])
  redis.call('SET', KEYS[4], forgotten_ms, 'EX', ARGV[7])
end
local head = redis.call('GETRANGE', KEYS[1], 0, 7)
if #head == 8 and struct.unpack('<i8', head) > version then
  return 0
end
for number = 1, 3 do
  local value = ARGV[7 + number]
  if value ~= '' then
    redis.call('SET', KEYS[number], value, 'EX', ARGV[3 + number])
  end
end
return 1
