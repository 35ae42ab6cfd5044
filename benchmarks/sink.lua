-- What nginx's own PUT lacks of S3: ETags, uploads by parts, listings of what was put, latency. Objects are files; an
-- object of parts is a directory of them. What is known of each object is in memory that the workers share.
local ffi = require "ffi"
ffi.cdef "int mkdir(const char *path, unsigned int mode);"

local sink = {}
local root
local objects = ngx.shared.objects
local uploads = ngx.shared.uploads
local sorted = {}
local PAGE_KEYS = 1000

function sink.serve(directory)
  root = directory
end

local function etag_of(name, size)
  return string.format('"%08x-%d"', ngx.crc32_short(name), size)
end

local function note(name, size)
  objects:set(name, size .. " " .. ngx.time())
  uploads:incr("changes", 1, 0)
end

local function answer(text)
  ngx.header["Content-Type"] = "application/xml"
  ngx.header["Content-Length"] = #text
  ngx.print(text)
  return ngx.exit(ngx.HTTP_OK)
end

local function begin()
  local id = tostring(uploads:incr("last", 1, 0))
  uploads:set("bytes " .. id, 0)
  return answer("<InitiateMultipartUploadResult><UploadId>" .. id .. "</UploadId></InitiateMultipartUploadResult>")
end

local function complete(name, id)
  ngx.req.read_body()
  local path, at = root .. "/objects/" .. name, #root + 10
  while true do
    at = string.find(path, "/", at, true)
    if not at then break end
    ffi.C.mkdir(string.sub(path, 1, at - 1), 493)
    at = at + 1
  end
  assert(os.rename(root .. "/parts/" .. id, path))
  local size = uploads:get("bytes " .. id)
  note(name, size)
  return answer("<CompleteMultipartUploadResult><ETag>" .. etag_of(name, size) .. "</ETag></CompleteMultipartUploadResult>")
end

local function quoted(key)
  return (string.gsub(ngx.escape_uri(key), "%%2F", "/"))
end

-- The keys of a bucket in their order, and the pages that were made of them, until something is put.
local function bucket_named(name)
  local changes = uploads:get("changes") or 0
  local found = sorted[name]
  if not found or found.changes ~= changes then
    found = {changes = changes, keys = {}, pages = {}}
    local start = name .. "/"
    for _, each in ipairs(objects:get_keys(0)) do
      if string.sub(each, 1, #start) == start then
        found.keys[#found.keys + 1] = string.sub(each, #start + 1)
      end
    end
    table.sort(found.keys)
    sorted[name] = found
  end
  return found
end

local function position(keys, key)
  local low, high = 1, #keys + 1
  while low < high do
    local middle = math.floor((low + high) / 2)
    if keys[middle] < key then low = middle + 1 else high = middle end
  end
  return low
end

local function given(value)
  return type(value) == "string" and value or ""
end

local function page(name, bucket, prefix, after)
  local keys, out = bucket.keys, {}
  local at = position(keys, after > prefix and after or prefix)
  if keys[at] == after and after ~= "" then at = at + 1 end
  local function is_wanted()
    return keys[at] and string.sub(keys[at], 1, #prefix) == prefix
  end
  while #out < PAGE_KEYS and is_wanted() do
    local full = name .. "/" .. keys[at]
    local size, when = string.match(objects:get(full), "^(%d+) (%d+)$")
    out[#out + 1] = "<Contents><Key>" .. quoted(keys[at]) .. "</Key><LastModified>"
      .. os.date("!%Y-%m-%dT%H:%M:%S.000Z", tonumber(when)) .. "</LastModified><ETag>&quot;"
      .. string.gsub(etag_of(full, tonumber(size)), '"', "") .. "&quot;</ETag><Size>" .. size
      .. "</Size><StorageClass>STANDARD</StorageClass></Contents>"
    at = at + 1
  end
  local next = ""
  if is_wanted() then
    next = "<NextContinuationToken>after:" .. quoted(keys[at - 1]) .. "</NextContinuationToken>"
  end
  return '<?xml version="1.0" encoding="UTF-8"?>'
    .. '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>' .. name
    .. "</Name><Prefix>" .. quoted(prefix) .. "</Prefix><KeyCount>" .. #out .. "</KeyCount><MaxKeys>"
    .. PAGE_KEYS .. "</MaxKeys><EncodingType>url</EncodingType><IsTruncated>"
    .. (next ~= "" and "true" or "false") .. "</IsTruncated>" .. next .. table.concat(out) .. "</ListBucketResult>"
end

local function list(name, args)
  local bucket = bucket_named(name)
  local token = given(args["continuation-token"])
  local after = token ~= "" and string.match(token, "^after:(.*)$") or given(args["start-after"])
  local asked = given(args.prefix) .. "\n" .. after
  if not bucket.pages[asked] then
    bucket.pages[asked] = page(name, bucket, given(args.prefix), after)
  end
  return answer(bucket.pages[asked])
end

-- Before anything else is done with a request.
function sink.asked(wait_seconds)
  if wait_seconds > 0 then ngx.sleep(wait_seconds) end
  local method, args = ngx.req.get_method(), ngx.req.get_uri_args()
  local name = string.sub(ngx.var.uri, 2)
  if name == "-/empty" then
    objects:flush_all()
    objects:flush_expired()
    uploads:incr("changes", 1, 0)
    return answer("")
  elseif name == "-/changes" then
    return answer(tostring(uploads:get("changes") or 0))
  elseif method == "POST" and args.uploads then
    return begin()
  elseif method == "POST" and args.uploadId then
    return complete(name, args.uploadId)
  elseif method == "PUT" then
    ngx.ctx.name, ngx.ctx.upload = name, args.uploadId
    local target = "/objects/" .. name
    if args.uploadId then
      target = "/parts/" .. args.uploadId .. "/" .. args.partNumber
    elseif objects:get(name) then
      os.remove(root .. target)
    end
    ngx.req.set_uri(target)
  elseif method == "GET" and not string.find(name, "/.", 1) then
    return list((string.gsub(name, "/$", "")), args)
  else
    ngx.req.set_uri("/objects/" .. name)
  end
end

-- Before an answer's head is sent.
function sink.answered()
  if ngx.status ~= 201 or not ngx.ctx.name then return end
  local size = tonumber(ngx.var.content_length)
  ngx.status = 200
  ngx.header.Location = nil
  if ngx.ctx.upload then
    uploads:incr("bytes " .. ngx.ctx.upload, size)
    ngx.header.ETag = etag_of(ngx.ctx.upload, size)
  else
    note(ngx.ctx.name, size)
    ngx.header.ETag = etag_of(ngx.ctx.name, size)
  end
end

return sink
