-- Counts a request against the limits of its user and of all users, if both have room for it.
-- A token bucket and a sliding window for each; domain/rate_limits.py says the same, and why.
-- KEYS: usage of the user, usage of all.
-- ARGV: now in ms, or "" for this server's clock; seconds until an unused key is forgotten;
--       rate and burst of the user, rate and burst of all.
-- Answers 1 or 0 (which refuses), then for each: left, wait until one more, wait until all, as text.
local WINDOW, SLOT = 1000, 100
local SLOTS = WINDOW / SLOT

local now_ms = tonumber(ARGV[1])
if not now_ms then
  local time = redis.call('TIME')
  now_ms = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

local function usage_of(key, rate, burst)
  local usage = { tokens = burst, at_ms = now_ms, slots = {}, rate = rate, burst = burst }
  local stored = redis.call('GET', key)
  if not stored then
    return usage
  end
  local before = cjson.decode(stored)
  usage.at_ms = math.max(now_ms, before[2])
  usage.tokens = math.min(burst, before[1] + (usage.at_ms - before[2]) * rate / 1000)
  local oldest = math.floor(usage.at_ms / SLOT) - SLOTS
  for at = 3, #before, 2 do
    if before[at] >= oldest then
      table.insert(usage.slots, { before[at], before[at + 1] })
    end
  end
  return usage
end

local function in_window(usage)
  local oldest, inside_ms = math.floor(usage.at_ms / SLOT) - SLOTS, SLOT - 1 - usage.at_ms % SLOT
  local sum = 0
  for _, slot in ipairs(usage.slots) do
    sum = sum + (slot[1] == oldest and math.floor(slot[2] * inside_ms / SLOT) or slot[2])
  end
  return sum
end

local function leaving_ms(usage)
  local first = usage.slots[1] and usage.slots[1][1] or 0
  local begins_ms = (first + SLOTS) * SLOT - usage.at_ms
  return begins_ms > 0 and begins_ms or begins_ms + SLOT
end

local function room(usage)
  local in_second = usage.burst - in_window(usage)
  local bucket_ms = math.max(0, (1 - usage.tokens) * 1000 / usage.rate)
  local window_ms = in_second < 1 and leaving_ms(usage) or 0
  local full_ms = (usage.burst - usage.tokens) * 1000 / usage.rate
  return math.min(usage.tokens, in_second), math.max(bucket_ms, window_ms), full_ms
end

local function spend(usage)
  local slot, last = math.floor(usage.at_ms / SLOT), usage.slots[#usage.slots]
  usage.tokens = usage.tokens - 1
  if last and last[1] == slot then
    last[2] = last[2] + 1
  else
    table.insert(usage.slots, { slot, 1 })
  end
end

local function keep(key, usage)
  local stored = { usage.tokens, usage.at_ms }
  for _, slot in ipairs(usage.slots) do
    table.insert(stored, slot[1])
    table.insert(stored, slot[2])
  end
  redis.call('SET', key, cjson.encode(stored), 'EX', ARGV[2])
end

local both = {
  usage_of(KEYS[1], tonumber(ARGV[3]), tonumber(ARGV[4])),
  usage_of(KEYS[2], tonumber(ARGV[5]), tonumber(ARGV[6])),
}
local allowed = room(both[1]) >= 1 and room(both[2]) >= 1
local answer = { allowed and 1 or 0 }
for at, usage in ipairs(both) do
  if allowed then
    spend(usage)
    keep(KEYS[at], usage)
  end
  for _, number in ipairs({ room(usage) }) do
    table.insert(answer, tostring(number))
  end
end
return answer
