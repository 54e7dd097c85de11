-- Writes what an answer was made of, unless its user was forgotten since then.
-- KEYS: trace of the answer, trace of the ranking, the user's traces, when the user was forgotten.
-- ARGV: time of the request and of the user's state in ms; the two traces (ranking empty: it is
--       there already), 1 where the ranking is of this user alone; lifetimes of answer and ranking
--       in seconds; how many keys a user's traces may be.
local at_ms, state_ms, answer, ranking = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3], ARGV[4]
local own, ranking_s, most = ARGV[5] == '1', tonumber(ARGV[7]), tonumber(ARGV[8])

-- What all share tells nothing of anybody, and others need it.
if ranking ~= '' and not own then
  redis.call('SET', KEYS[2], ranking, 'EX', ranking_s)
end
if state_ms <= tonumber(redis.call('GET', KEYS[4]) or 0) then
  return 0
end
if ranking ~= '' and own then
  redis.call('SET', KEYS[2], ranking, 'EX', ranking_s)
end
redis.call('SET', KEYS[1], answer, 'EX', ARGV[6])
redis.call('ZADD', KEYS[3], at_ms, KEYS[1])
if own then
  redis.call('ZADD', KEYS[3], at_ms, KEYS[2])
end
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', at_ms - 1000 * ranking_s)
while redis.call('ZCARD', KEYS[3]) > most do
  redis.call('DEL', redis.call('ZPOPMIN', KEYS[3])[1])
end
redis.call('EXPIRE', KEYS[3], ranking_s)
return 1
