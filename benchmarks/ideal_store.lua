-- What nginx doesn't do by itself for the ideal store: ETags that are those of the listing, latency, and listings
-- of a part of a bucket (prefix, start-after, delimiter). Listings of a whole bucket are files.
local store = {}
local root
local buckets = {}

function store.serve(directory)
  root = directory
end

-- A bucket's index has a line for each object, in the order of the keys: ETag, size, key.
local function bucket_named(name)
  if not buckets[name] then
    local found = {keys = {}, etags = {}, sizes = {}, by_key = {}}
    local file = io.open(root .. "/index/" .. name)
    if not file then return nil end
    for line in file:lines() do
      local etag, size, key = string.match(line, "^(%S+) (%d+) (.*)$")
      local at = #found.keys + 1
      found.keys[at], found.etags[at], found.sizes[at] = key, etag, size
      found.by_key[key] = '"' .. etag .. '"'
    end
    file:close()
    buckets[name] = found
  end
  return buckets[name]
end

-- The first position whose key is not below this one.
local function position(keys, key)
  local low, high = 1, #keys + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if keys[middle] < key then low = middle + 1 else high = middle end
  end
  return low
end

local function quoted(key)
  return (string.gsub(ngx.escape_uri(key), "%%2F", "/"))
end

local function given(value)
  return type(value) == "string" and value or ""
end

local function part(bucket, args)
  local keys, prefix, delimiter = bucket.keys, given(args.prefix), given(args.delimiter)
  local most = tonumber(args["max-keys"]) or 1000
  local token = given(args["continuation-token"])
  local after = token ~= "" and string.match(token, "^after:(.*)$") or given(args["start-after"])
  local at = position(keys, after > prefix and after or prefix)
  if keys[at] == after and after ~= "" then at = at + 1 end
  -- A common prefix that was told covers all that begins with it.
  if delimiter ~= "" and after ~= "" and string.sub(after, -#delimiter) == delimiter then
    at = position(keys, after .. "\255")
  end
  local out, told, last = {}, 0, nil
  local function is_wanted()
    return keys[at] and string.sub(keys[at], 1, #prefix) == prefix
  end
  while told < most and is_wanted() do
    local stop = delimiter ~= "" and string.find(keys[at], delimiter, #prefix + 1, true)
    if stop then
      last = string.sub(keys[at], 1, stop + #delimiter - 1)
      out[#out + 1] = "<CommonPrefixes><Prefix>" .. quoted(last) .. "</Prefix></CommonPrefixes>"
      at = position(keys, last .. "\255")
    else
      last = keys[at]
      out[#out + 1] = "<Contents><Key>" .. quoted(last) .. "</Key><LastModified>"
        .. store.modified .. "</LastModified><ETag>&quot;" .. bucket.etags[at] .. "&quot;</ETag><Size>"
        .. bucket.sizes[at] .. "</Size><StorageClass>STANDARD</StorageClass></Contents>"
      at = at + 1
    end
    told = told + 1
  end
  local next = ""
  if is_wanted() then
    next = "<NextContinuationToken>after:" .. quoted(last) .. "</NextContinuationToken>"
  end
  return '<?xml version="1.0" encoding="UTF-8"?>'
    .. '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>' .. ngx.var.bucket
    .. "</Name><Prefix>" .. quoted(prefix) .. "</Prefix><KeyCount>" .. told .. "</KeyCount><MaxKeys>" .. most
    .. "</MaxKeys><EncodingType>url</EncodingType><IsTruncated>" .. (next ~= "" and "true" or "false")
    .. "</IsTruncated>" .. next .. table.concat(out) .. "</ListBucketResult>"
end

-- Runs for each request, after the address was rewritten to that of a file.
function store.answer(wait_seconds)
  if wait_seconds > 0 then ngx.sleep(wait_seconds) end
  local name, key = string.match(ngx.var.uri, "^/objects/([^/]+)/(.*)$")
  if name then
    local bucket = bucket_named(name)
    ngx.header.ETag = bucket and bucket.by_key[key]
    return
  end
  local args = ngx.req.get_uri_args()
  local asked = given(args.prefix) .. given(args["start-after"]) .. given(args.delimiter)
  local bucket = ngx.var.bucket and bucket_named(ngx.var.bucket)
  if asked ~= "" and bucket then
    ngx.header["Content-Type"] = "application/xml"
    ngx.print(part(bucket, args))
    return ngx.exit(ngx.HTTP_OK)
  end
end

return store
