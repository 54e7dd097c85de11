-- Writes a user's vector unless a newer version is there.
-- KEYS: embedding. ARGV: version, lifetime, value (int64 version, then float32s).
local head = redis.call('GETRANGE', KEYS[1], 0, 7)
if #head == 8 and struct.unpack('<i8', head) > tonumber(ARGV[1]) then
  return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'EX', ARGV[2])
return 1
