-- Particle/Spark cloud handshakes in Wireshark and tshark, with the stage names of `analyze`.
-- Version: 1.1.0
-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Install: `analyze wireshark install`, or put this file into Wireshark's personal Lua plugin folder (Help > About >
-- Folders). Try it without installing: tshark -X lua_script:particle.lua -r capture.pcap -Y particle
--
-- How it works. The RSA handshake over TCP has no framing: which message a byte belongs to follows from its offset in
-- its direction of the stream (40 bytes nonce down, 256 bytes identity up, 384 bytes session key down, then records
-- `length[2] ciphertext[length]` both ways). So every segment is labelled by its stream offset, on the first pass, and
-- the labels are kept per frame: later passes (-2, a click in the GUI) only draw them. Each segment of a split message
-- carries the message's stage; the one that completes it shows the whole message. Wireshark's own TCP desegmentation
-- is not asked for, because it would take the stage away from all frames of a message but the last.
-- Over UDP the clear parts of DTLS are named too, and everything stock Wireshark can read is handed to its dissector.
-- Sources of the numbers: particle-iot/device-os communication/src/lightssl_message_channel.cpp, handshake.cpp,
-- dtls_message_channel.cpp (tags v0.4.0 to v6.2.0).
--
-- Only API of Wireshark 3.6 to 4.4 that did not change is used, and only Lua that 5.1 to 5.4 agree on.

-- Installed, and named with -X lua_script as well: once is enough.
if rawget(_G, "particle_handshake_loaded") then
  return
end
_G.particle_handshake_loaded = true

local VERSION = "1.1.0"

if set_plugin_info then
  set_plugin_info({
    version = VERSION,
    author = "particle-handshake-analyzer",
    description = "Particle/Spark cloud handshake over TCP and DTLS",
  })
end

local particle = Proto("particle", "Particle Cloud Handshake")

----------------------------------------------------------------------------------------------------------------------
-- Sizes and names of the protocol

local NONCE, IDENTITY, CIPHERTEXT, SIGNATURE = 40, 256, 128, 256
local DEVICE_ID_SIZE = 12
local SESSION_KEY = CIPHERTEXT + SIGNATURE
-- The largest ciphertext any device accepts is 1152 bytes and padding (MBEDTLS_SSL_MAX_CONTENT_LEN of device-os v3.x).
local MAX_RECORD = 1200
-- What may wait for a missing segment, per direction, before the gap is taken for final.
local MAX_HELD_BYTES, MAX_HELD_SEGMENTS = 65536, 256
local PT_TCP, PT_UDP = 2, 3 -- pinfo.port_type; epan/address.h

local UP, DOWN = "device-to-cloud", "cloud-to-device"
local TITLE = {
  ["nonce"] = "Nonce",
  ["identity"] = "Identity",
  ["session-key"] = "Session key",
  ["device-hello"] = "Device Hello",
  ["cloud-hello"] = "Cloud Hello",
  ["session"] = "Record",
}

----------------------------------------------------------------------------------------------------------------------
-- Fields

local f = {
  stage = ProtoField.string("particle.stage", "Stage"),
  direction = ProtoField.string("particle.direction", "Direction"),
  length = ProtoField.uint32("particle.length", "Message length", base.DEC, nil, nil, "Bytes the message has when complete"),
  have = ProtoField.uint32("particle.have", "Bytes so far", base.DEC, nil, nil, "Bytes of this message seen up to this segment"),
  missing = ProtoField.uint32("particle.missing", "Bytes not captured", base.DEC),
  fragment = ProtoField.bytes("particle.fragment", "Part of a split message"),
  first_frame = ProtoField.framenum("particle.first_frame", "Message begins in frame", base.NONE),
  last_frame = ProtoField.framenum("particle.last_frame", "Message is complete in frame", base.NONE),
  nonce = ProtoField.bytes("particle.nonce", "Nonce"),
  identity = ProtoField.bytes("particle.identity", "Identity ciphertext", base.NONE, "RSA-2048 to the server key the device has stored"),
  ciphertext = ProtoField.bytes("particle.session_key.ciphertext", "Session key ciphertext", base.NONE, "RSA-1024 to the device key the cloud has on file"),
  signature = ProtoField.bytes("particle.session_key.signature", "Signature", base.NONE, "By the cloud's private key, over the HMAC of the ciphertext"),
  record_index = ProtoField.uint32("particle.record.index", "Record number", base.DEC, nil, nil, "Counted from 0 in each direction"),
  record_length = ProtoField.uint16("particle.record.length", "Record length", base.DEC),
  record_fragment = ProtoField.bytes("particle.record.fragment", "Record ciphertext"),
  foreign = ProtoField.string("particle.foreign", "Not this protocol"),
  opaque = ProtoField.bytes("particle.opaque", "Bytes without framing"),
  type = ProtoField.uint8("particle.udp.type", "Record type", base.DEC),
  epoch = ProtoField.uint16("particle.udp.epoch", "Epoch", base.DEC),
  sequence = ProtoField.uint64("particle.udp.sequence", "Sequence number", base.DEC),
  cid = ProtoField.bytes("particle.udp.cid", "Connection id"),
  udp_length = ProtoField.uint16("particle.udp.length", "Record length", base.DEC),
  udp_fragment = ProtoField.bytes("particle.udp.fragment", "Record ciphertext"),
  public_key = ProtoField.bytes("particle.device_public_key", "Public key in the Certificate", base.NONE, "SubjectPublicKeyInfo as it travels in clear"),
  moved = ProtoField.bool("particle.moved", "Session moved", base.NONE, nil, nil, "The device resumed this session and may have a new address"),
  device_id = ProtoField.string("particle.device_id", "Device id"),
  verdict = ProtoField.string("particle.verdict", "Looks like", base.ASCII, "What these packets look like without any key, by the verdicts' names; `analyze` with the keys decides"),
  keep_alive = ProtoField.bool("particle.keep_alive", "Keep-alive"),
}
do
  local list = {}
  for _, field in pairs(f) do
    list[#list + 1] = field
  end
  particle.fields = list
end

-- Named by what is wrong, so that Expert Information groups them so.
local function wrong(id, text, kind, severity)
  return ProtoExpert.new("particle." .. id, text, kind, severity)
end

local e
do
  local group, severity = expert.group, expert.severity
  e = {
    foreign = wrong("not_the_cloud", "Something that is not a Particle cloud answers", group.PROTOCOL, severity.ERROR),
    nonce_long = wrong("nonce_long", "More than a nonce before the device has answered", group.PROTOCOL, severity.WARN),
    nonce_short = wrong("nonce_short", "The nonce is incomplete", group.PROTOCOL, severity.WARN),
    before_nonce = wrong("closed_before_nonce", "Closed before a byte of the nonce", group.RESPONSE_CODE, severity.ERROR),
    no_identity = wrong("no_identity", "The device never answered the nonce", group.RESPONSE_CODE, severity.ERROR),
    identity = wrong("identity_rejected", "The cloud closes after the device's 256 bytes", group.SECURITY, severity.ERROR),
    no_key = wrong("no_session_key", "No session key from the cloud", group.RESPONSE_CODE, severity.ERROR),
    key_short = wrong("session_key_truncated", "The session key is incomplete", group.PROTOCOL, severity.WARN),
    key_unusable = wrong("session_key_unusable", "The device gives up after the session key", group.SECURITY, severity.ERROR),
    hello = wrong("hello_unanswered", "The device's Hello gets no answer", group.RESPONSE_CODE, severity.ERROR),
    record_length = wrong("record.length.impossible", "Impossible record length", group.PROTOCOL, severity.ERROR),
    opaque = wrong("unframed", "Record framing is lost", group.UNDECODED, severity.NOTE),
    missing = wrong("not_captured", "Part of the message is not in the capture", group.SEQUENCE, severity.NOTE),
    mid = wrong("mid_session", "The handshake is not in the capture", group.SEQUENCE, severity.NOTE),
    server_certificate = wrong("server_certificate", "A Particle cloud sends no certificate", group.PROTOCOL, severity.ERROR),
    profile = wrong("profile_mismatch", "The server does not speak the device's profile", group.PROTOCOL, severity.ERROR),
    server_key = wrong("server_key_refused", "The device refuses the server's key", group.SECURITY, severity.ERROR),
    device_key = wrong("device_key_refused", "The cloud refuses the device or its key", group.SECURITY, severity.ERROR),
    alert = wrong("alert", "Fatal alert", group.RESPONSE_CODE, severity.ERROR),
    unanswered = wrong("connect_unanswered", "The device's first message gets no answer", group.RESPONSE_CODE, severity.WARN),
    device_silent = wrong("device_silent", "The device does not answer the cloud's flight", group.RESPONSE_CODE, severity.WARN),
    cloud_silent = wrong("cloud_silent", "The cloud does not answer the device's flight", group.RESPONSE_CODE, severity.WARN),
    refused = wrong("connect_refused", "Nobody listens there", group.RESPONSE_CODE, severity.ERROR),
    lost = wrong("session_lost", "The resumed session gets no answer", group.RESPONSE_CODE, severity.WARN),
    stock_failed = wrong("stock_dissector", "Wireshark's own dissector cannot read this", group.UNDECODED, severity.NOTE),
    moved = wrong("session_moved", "Resumed session, possibly from a new address", group.SEQUENCE, severity.NOTE),
  }
end
do
  local list = {}
  for _, item in pairs(e) do
    list[#list + 1] = item
  end
  particle.experts = list
end

-- What each of these looks like, in the verdicts' names.
local VERDICT = {
  [e.foreign] = "not-the-cloud",
  [e.nonce_short] = "no-nonce",
  [e.before_nonce] = "closed-before-nonce",
  [e.no_identity] = "no-identity",
  [e.identity] = "identity-rejected",
  [e.no_key] = "no-session-key",
  [e.key_short] = "session-key-truncated",
  [e.key_unusable] = "session-key-unusable",
  [e.hello] = "hello-unanswered",
  [e.server_certificate] = "profile-mismatch",
  [e.profile] = "profile-mismatch",
  [e.server_key] = "server-key-mismatch",
  [e.device_key] = "handshake-rejected",
  [e.alert] = "handshake-rejected",
  [e.unanswered] = "connect-unanswered",
  [e.device_silent] = "handshake-stalled",
  [e.cloud_silent] = "handshake-stalled",
  [e.refused] = "connect-refused",
  [e.lost] = "session-lost",
}

-- Says on an item what is wrong, with what it looks like.
-- `mended`: it went on all the same.
local function complain(item, expert_item, text, mended)
  if VERDICT[expert_item] and not mended then
    item:add(f.verdict, VERDICT[expert_item]):set_generated()
  end
  item:add_proto_expert_info(expert_item, text)
end

particle.prefs.keys = Pref.string("Key folder", "", "For Tools > Particle handshake: what `analyze` gets as --keys")
particle.prefs.program = Pref.string("Program", "", "For Tools > Particle handshake: where `analyze` is; empty: found by itself")
particle.prefs.tcp_ports = Pref.range("TCP ports", "5683", "TCP ports of the cloud; sessions on other ports are recognised by content", 65535)
particle.prefs.udp_ports = Pref.range("UDP ports", "5683,5684,4500", "UDP ports of the cloud; sessions on other ports are recognised by content", 65535)

----------------------------------------------------------------------------------------------------------------------
-- What other dissectors say about the frame

-- A field that this Wireshark does not have reads as nil.
local function extractor(name)
  local ok, field = pcall(Field.new, name)
  if not ok then
    return function()
      return nil
    end
  end
  -- The last occurrence: with tunnels there are several, and the innermost is dissected last.
  return function()
    local all = { field() }
    local info = all[#all]
    return info and info.value
  end
end

local tcp_stream = extractor("tcp.stream")
local tcp_seq = extractor("tcp.seq")
local tcp_seq_raw = extractor("tcp.seq_raw")
local tcp_ack = extractor("tcp.ack")
local tcp_len = extractor("tcp.len")
local tcp_completeness = extractor("tcp.completeness")
local tcp_syn = extractor("tcp.flags.syn")
local tcp_fin = extractor("tcp.flags.fin")
local tcp_rst = extractor("tcp.flags.reset")
local tcp_source_port = extractor("tcp.srcport")
local tcp_destination_port = extractor("tcp.dstport")
local udp_destination_port = extractor("udp.dstport")
local dns_name = extractor("dns.qry.name")
local icmp_type = extractor("icmp.type")
local icmp6_type = extractor("icmpv6.type")

local function every(name)
  local ok, field = pcall(Field.new, name)
  return ok and field or function() end
end

local dns_a, dns_aaaa = every("dns.a"), every("dns.aaaa")

-- An ICMP error quotes the datagram it is about; the quotation is not another packet of the session.
local function quoted()
  return icmp_type() ~= nil or icmp6_type() ~= nil
end

local function side(address, port)
  return tostring(address) .. " " .. tostring(port)
end

-- Passes that build no tree (the first of tshark -2) have no fields to read.
local fields_there = extractor("frame.number")

-- The payload of the innermost TCP segment.
local tcp_payload_range
do
  local ok, field = pcall(Field.new, "tcp.payload")
  tcp_payload_range = function()
    local all = ok and { field() } or {}
    local info = all[#all]
    return info and info.range
  end
end

local tcp_ports, udp_ports = {}, {}

----------------------------------------------------------------------------------------------------------------------
-- Bytes

-- The payload as far as it was captured.
local function text_of(tvb)
  return tvb:len() > 0 and tvb:raw(0, math.min(tvb:len(), tvb:reported_len())) or ""
end

-- Gives bytes to another dissector. What it throws over malformed bytes would end in a Lua error.
local function call(dissector, tvb, pinfo, tree)
  local ok, taken = pcall(dissector.call, dissector, tvb, pinfo, tree)
  if not ok then
    tree:add_proto_expert_info(e.stock_failed)
    return tvb:len()
  end
  return taken
end

-- The bytes [at, at + length) of the packet as far as they were captured, or nil when none was.
local function captured(tvb, at, length)
  local there = tvb:len() - at
  if there <= 0 or length <= 0 then
    return nil
  end
  if there < length then
    length = there
  end
  return tvb(at, length)
end

local function u16(text, at)
  local high, low = string.byte(text, at, at + 1)
  return high * 256 + low
end

-- Nonces and ciphertext look random: neither text nor a few values repeated.
local function printable_share(text)
  local printable = 0
  for i = 1, #text do
    local byte = string.byte(text, i)
    if (byte >= 0x20 and byte < 0x7F) or byte == 9 or byte == 10 or byte == 13 then
      printable = printable + 1
    end
  end
  return #text > 0 and printable / #text or 0
end

local function different(text)
  local seen, count = {}, 0
  for i = 1, #text do
    local byte = string.byte(text, i)
    if not seen[byte] then
      seen[byte] = true
      count = count + 1
    end
  end
  return count
end

local BANNERS = {
  { "^HTTP/", "HTTP response" },
  { "^GET ", "HTTP request" },
  { "^POST ", "HTTP request" },
  { "^HEAD ", "HTTP request" },
  { "^OPTIONS ", "HTTP request" },
  { "^CONNECT ", "HTTP request" },
  { "^PRI %* HTTP/2", "HTTP/2 preface" },
  { "^SSH%-", "SSH banner" },
  { "^220[ -]", "SMTP or FTP banner" },
  { "^%+OK ", "POP3 banner" },
  { "^%* OK", "IMAP banner" },
  { "^RFB 00", "VNC banner" },
  { "^%-ERR ", "Redis error" },
  { "^RTSP/1", "RTSP response" },
  { "^SIP/2%.0", "SIP response" },
}
local PAGE = { "^%s*<!doctype html", "^%s*<html", "^%s*<head", "^%s*<%?xml", "^%s*<script", "^%s*<meta" }

-- CoAP over TCP (RFC 8323) opens with a Capabilities and Settings Message: code 7.01, no token, nothing behind it.
local function coap_opening(text)
  if #text < 2 then
    return false
  end
  local first = string.byte(text, 1)
  return first % 16 == 0 and string.byte(text, 2) == 0xE1 and #text == 2 + math.floor(first / 16)
end

-- What this is, by its first bytes, when it is no part of a Particle session; nil when it may be one.
local function foreign_protocol(text)
  for _, banner in ipairs(BANNERS) do
    if string.find(text, banner[1]) then
      return banner[2]
    end
  end
  local head = string.lower(string.sub(text, 1, 64))
  for _, page in ipairs(PAGE) do
    if string.find(head, page) then
      return "HTML page"
    end
  end
  if #text >= 6 then
    local kind, major, minor, high, low, message = string.byte(text, 1, 6)
    local length = high * 256 + low
    if kind >= 20 and kind <= 23 and major == 3 and minor <= 4 and length > 0 and length <= 18432 then
      if kind ~= 22 or message == 1 or message == 2 then
        return "TLS record"
      end
    end
    if kind >= 20 and kind <= 23 and major == 0xFE and (minor == 0xFD or minor == 0xFF) and high == 0 and low == 0 then
      return "DTLS record"
    end
  end
  if coap_opening(text) then
    return "CoAP over TCP"
  end
  local sample = string.sub(text, 1, NONCE)
  if #sample >= 8 and printable_share(sample) >= 0.85 then
    return "text"
  end
  return nil
end

-- Whether text, from `at`, is whole records and nothing else.
local function framed(text, at)
  while at <= #text do
    if at + 1 > #text then
      return false
    end
    local length = u16(text, at)
    if length == 0 or length % 16 ~= 0 or length > MAX_RECORD then
      return false
    end
    at = at + 2 + length
  end
  return at == #text + 1
end

----------------------------------------------------------------------------------------------------------------------
-- State of the TCP streams. A "label" says what a range of a segment is; it is made once, on the first pass.

local streams = {} -- tcp.stream -> state of a stream that is ours
local candidates = {} -- tcp.stream -> what the heuristic saw so far; false: not ours
local datagrams = {} -- udp.stream -> state
local ids_by_name = {} -- "device cloud" addresses -> device id from a DNS answer; false: several devices asked
local ids_by_cid = {} -- connection id -> device id

function particle.init()
  streams, candidates, datagrams, ids_by_name, ids_by_cid = {}, {}, {}, {}, {}
end

-- A message of fixed size at a fixed place of its direction; its bytes may come in any order.
local function fixed(stage, start, need)
  return { stage = stage, start = start, need = need, have = 0, missing = 0, bytes = {} }
end

local function new_direction(name, messages, handshake)
  return {
    name = name,
    messages = messages, -- the fixed messages
    handshake = handshake, -- bytes before the first record
    base = nil, -- sequence number of offset 0
    pos = handshake, -- offset up to which the records were followed
    record = nil, -- the record being put together
    records = 0, -- records begun
    held = {}, -- segments that came before their predecessor, in order of offset
    held_bytes = 0,
    gap = false, -- bytes are missing for good
    unframed = false, -- where records begin is not known
    damaged = nil, -- stage of the record whose impossible length began that
    foreign = nil, -- what this is when it is not this protocol
    bytes = 0, -- payload bytes seen
    shift = 0, -- stream offset of the first byte when earlier ones were not captured
  }
end

local function new_stream()
  local nonce, key = fixed("nonce", 0, NONCE), fixed("session-key", NONCE, SESSION_KEY)
  return {
    up = new_direction(UP, { fixed("identity", 0, IDENTITY) }, IDENTITY),
    down = new_direction(DOWN, { nonce, key }, NONCE + SESSION_KEY),
    cloud = nil, -- the cloud's "address port"
    mid = false, -- the capture starts after the handshake
    begun = false,
    coap = false, -- CoAP over TCP on our port
    labels = {}, -- per frame and call
    left_over = {}, -- frames that TCP showed to no dissector
    ending = {}, -- what to say about the first FIN or RST, by frame
    closed = false,
  }
end

-- Puts the bytes of a segment that belong to a fixed message in place. Returns how many are new, and whether they
-- complete the message.
local function fill(message, from, text, count, frame)
  local new = 0
  for i = 0, count - 1 do
    if message.bytes[from + i] == nil then
      new = new + 1
      local byte = text and i < #text and string.sub(text, i + 1, i + 1) or false
      message.bytes[from + i] = byte
      message.have = message.have + 1
      if not byte then
        message.missing = message.missing + 1
      end
    end
  end
  message.first_frame = message.first_frame or frame
  if message.have == message.need and not message.last_frame then
    message.last_frame = frame
    if message.missing == 0 then
      local list = {}
      for i = 0, message.need - 1 do
        list[i + 1] = message.bytes[i]
      end
      message.data = table.concat(list)
    end
    return new, true
  end
  return new, false
end

-- The name of the record that begins at the direction's position.
local function record_stage(state, direction)
  if state.mid or direction.gap or direction.records > 0 then
    return "session"
  end
  return direction.name == UP and "device-hello" or "cloud-hello"
end

-- Follows the records through the next bytes of a direction (`text` may be shorter than `size`: not captured), and
-- appends what they are to `labels`; `at` is where in the segment they begin.
local function follow(state, direction, text, size, frame, at, labels)
  local used = 0
  while used < size do
    local left = size - used
    local record = direction.record
    if direction.unframed then
      labels[#labels + 1] = { stage = direction.damaged or "session", opaque = true, at = at + used, size = left }
      direction.pos = direction.pos + left
      return
    end
    if not record then
      record = { stage = record_stage(state, direction), index = direction.records, header = "", have = 0, missing = 0, parts = {}, first_frame = frame }
      direction.record = record
      direction.records = direction.records + 1
    end
    local count = math.min(left, record.need and record.need - record.have or 2 - #record.header)
    local piece = string.sub(text, used + 1, used + count)
    local label = labels[#labels]
    if not (label and label.message == record) then
      label = { stage = record.stage, message = record, at = at + used, size = 0, from = record.have }
      labels[#labels + 1] = label
    end
    label.size = label.size + count
    record.have = record.have + count
    record.missing = record.missing + count - #piece
    record.parts[#record.parts + 1] = piece
    direction.pos = direction.pos + count
    used = used + count
    if not record.need then
      record.header = record.header .. piece
      if record.missing > 0 then
        direction.unframed = true
      elseif #record.header == 2 then
        local length = u16(record.header, 1)
        record.need = 2 + length
        if length == 0 or length % 16 ~= 0 or length > MAX_RECORD then
          record.impossible = true
          direction.unframed = true
          direction.damaged = record.stage
        end
      end
    elseif record.have == record.need then
      record.last_frame = frame
      label.completes = true
      record.data = record.missing == 0 and table.concat(record.parts) or nil
    end
    label.have = record.have
    if direction.unframed or record.last_frame then
      record.parts = nil
      direction.record = nil
    end
  end
end

-- After a gap or a loss of framing: records can be followed again from a segment that is records and nothing else.
local function rejoin(direction, text)
  if direction.record == nil and (direction.unframed or direction.gap) then
    direction.unframed = not framed(text, 1)
    if not direction.unframed then
      direction.damaged = nil
    end
  end
end

-- Gives up on the bytes before the first held segment, or on whatever `frame` needs to go on.
local function skip(direction)
  local record = direction.record
  if record then
    record.parts = nil
    direction.record = nil
  end
  direction.gap = true
  direction.pos = direction.held[1].start
end

local function release(state, direction)
  while direction.held[1] and direction.held[1].start <= direction.pos do
    local held = table.remove(direction.held, 1)
    direction.held_bytes = direction.held_bytes - held.size
    local known = direction.pos - held.start
    local labels = held.labels
    labels[held.index] = { stage = labels[held.index].stage, again = true, at = held.at, size = math.min(known, held.size) }
    if known < held.size then
      local text = string.sub(held.text, known + 1)
      if known == 0 then
        rejoin(direction, text)
        table.remove(labels, held.index)
      end
      follow(state, direction, text, held.size - known, held.frame, held.at + known, labels)
    end
    for _, label in ipairs(labels) do
      label.direction, label.frame = direction.name, held.frame
    end
  end
end

-- Bytes that came before their predecessor: kept until it comes.
local function hold(state, direction, start, text, size, frame, at, labels)
  for _, held in ipairs(direction.held) do
    if held.start <= start and held.start + held.size >= start + size then
      labels[#labels + 1] = { stage = "session", again = true, at = at, size = size }
      return
    end
  end
  local stage = "session"
  if record_stage(state, direction) ~= "session" and start < direction.handshake + 18 then
    stage = record_stage(state, direction)
  end
  labels[#labels + 1] = { stage = stage, early = true, at = at, size = size }
  local place = #direction.held + 1
  while place > 1 and direction.held[place - 1].start > start do
    place = place - 1
  end
  local segment = { start = start, text = text, size = size, frame = frame, at = at, labels = labels, index = #labels }
  table.insert(direction.held, place, segment)
  direction.held_bytes = direction.held_bytes + size
  while direction.held_bytes > MAX_HELD_BYTES or #direction.held > MAX_HELD_SEGMENTS do
    skip(direction)
    release(state, direction)
  end
end

-- Labels the segment whose first byte is at stream offset `start`.
local function label_segment(state, direction, start, text, size, frame)
  local labels = {}
  direction.bytes = direction.bytes + size
  if not state.mid and start == 0 then
    direction.foreign = direction.foreign or foreign_protocol(text)
  end
  for _, message in ipairs(state.mid and {} or direction.messages) do
    local from = math.max(start, message.start)
    local to = math.min(start + size, message.start + message.need)
    if from < to then
      local piece = string.sub(text, from - start + 1, to - start)
      local new, completes = fill(message, from - message.start, piece, to - from, frame)
      labels[#labels + 1] = {
        again = new == 0,
        stage = message.stage,
        message = message,
        at = from - start,
        size = to - from,
        from = from - message.start,
        have = message.have,
        completes = completes,
        foreign = direction.foreign,
      }
    end
  end
  local first = state.mid and 0 or direction.handshake
  local from = math.max(start, first)
  if from < start + size and direction.foreign then
    labels[#labels + 1] = { foreign = direction.foreign, at = from - start, size = start + size - from }
  elseif from < start + size then
    local at = from - start
    local rest = string.sub(text, at + 1)
    if from > direction.pos then
      hold(state, direction, from, rest, size - at, frame, at, labels)
    elseif start + size <= direction.pos then
      labels[#labels + 1] = { stage = "session", again = true, at = at, size = size - at }
    else
      local known = direction.pos - from
      if known > 0 then
        labels[#labels + 1] = { stage = "session", again = true, at = at, size = known }
        rest = string.sub(rest, known + 1)
      else
        rejoin(direction, rest)
      end
      follow(state, direction, rest, size - at - known, frame, at + known, labels)
      release(state, direction)
    end
  end
  return labels
end

-- The side that the cloud is on, from the ports, or from who sent the nonce or the identity.
local function find_cloud(pinfo, size, offset)
  local from, to = side(pinfo.src, pinfo.src_port), side(pinfo.dst, pinfo.dst_port)
  if tcp_ports[pinfo.src_port] and not tcp_ports[pinfo.dst_port] then
    return from
  elseif tcp_ports[pinfo.dst_port] and not tcp_ports[pinfo.src_port] then
    return to
  elseif offset == 0 and size == NONCE then
    return from
  elseif offset == 0 and size == IDENTITY then
    return to
  end
  return pinfo.src_port < pinfo.dst_port and from or to
end

-- Where the first byte of this segment is in its direction of the stream.
local function stream_offset(direction)
  local seq, raw = tcp_seq(), tcp_seq_raw()
  if not seq then
    return direction.bytes + direction.shift
  end
  if not direction.base then
    -- Relative numbers start at 1; with that preference off, the first segment seen has to do.
    direction.base = (raw == nil or seq ~= raw) and 1 or seq
  end
  local offset = seq - direction.base
  if offset < -2147483648 then
    offset = offset + 4294967296
  end
  -- A SYN takes a number of its own before the data that comes with it.
  return offset + direction.shift + (tcp_syn() and 1 or 0)
end

-- What content says when the start of the connection was not captured.
local function settle_start(state, direction, text, size)
  state.begun = true
  local completeness = tcp_completeness() -- bit 0: SYN seen, bit 1: SYN-ACK seen
  if completeness == nil or completeness % 4 > 0 then
    return
  end
  if framed(text, 1) then
    state.mid = true
    for _, each in ipairs({ state.up, state.down }) do
      each.pos, each.handshake, each.messages = 0, 0, {}
    end
  elseif (direction == state.up and size == IDENTITY) or (direction == state.down and size == SESSION_KEY) then
    state.down.shift = NONCE
  end
end

-- The gap before the first held segment is final once the other side has acknowledged what is behind it.
local function settle_gap(state, direction)
  local acknowledged = tcp_ack()
  local held = direction.held[1]
  if acknowledged and held and direction.base and acknowledged - direction.base + direction.shift > held.start then
    skip(direction)
    release(state, direction)
  end
end

----------------------------------------------------------------------------------------------------------------------
-- Drawing

local function bytes_of(count)
  return count == 1 and "1 byte" or count .. " bytes"
end

local function draw_message(tree, label, message, range)
  local stage, length = label.stage, message.need
  if stage == "nonce" then
    tree:add(f.nonce, range)
  elseif stage == "identity" then
    tree:add(f.identity, range)
  elseif stage == "session-key" then
    tree:add(f.ciphertext, range(0, CIPHERTEXT))
    tree:add(f.signature, range(CIPHERTEXT, SIGNATURE))
  elseif length and length >= 2 then
    if message.index then
      tree:add(f.record_index, message.index):set_generated()
    end
    tree:add(f.record_length, range(0, 2))
    tree:add(f.record_fragment, range(2, length - 2))
  end
end

local function draw_label(tvb, tree, label)
  local message = label.message
  local range = captured(tvb, label.at, label.size)
  local title = label.stage and TITLE[label.stage] or "Data"
  local text
  if label.foreign then
    text = label.foreign
  elseif label.again then
    text = title .. ", sent again"
  elseif label.early then
    text = title .. ", before what precedes it"
  elseif label.opaque then
    text = "Bytes without framing"
  elseif message.need and label.size == message.need then
    text = title .. ", " .. bytes_of(message.need)
  elseif message.need then
    text = string.format("%s, %s of %d", title, bytes_of(label.size), message.need)
  else
    text = title .. ", " .. bytes_of(label.size)
  end
  local item = range and tree:add(particle, range) or tree:add(particle)
  item:set_text("Particle " .. text)
  if label.stage and not label.again then
    local stage = range and item:add(f.stage, range, label.stage) or item:add(f.stage, label.stage)
    stage:set_generated()
  end
  item:add(f.direction, label.direction):set_generated()
  if label.foreign then
    local what = range and item:add(f.foreign, range, label.foreign) or item:add(f.foreign, label.foreign)
    local who = label.direction == DOWN and "This is no Particle cloud" or "This is no Particle device"
    complain(what, e.foreign, who .. ": " .. label.foreign)
    return text
  end
  if label.opaque then
    local what = range and item:add(f.opaque, range) or item
    what:add_proto_expert_info(e.opaque)
    return text
  end
  if not message then
    return text
  end
  if message.need then
    item:add(f.length, message.need):set_generated()
  end
  if message.impossible then
    item:add_proto_expert_info(e.record_length, string.format("No record has %d bytes: a multiple of 16, at most %d", message.need - 2, MAX_RECORD))
  end
  if range and message.data and label.size == message.need and range:len() == label.size then
    draw_message(item, label, message, range)
  else
    if range then
      item:add(f.fragment, range)
    end
    if label.have then
      item:add(f.have, label.have):set_generated()
    end
    if message.first_frame ~= label.frame then
      item:add(f.first_frame, message.first_frame):set_generated()
    end
    if message.last_frame and message.last_frame ~= label.frame then
      item:add(f.last_frame, message.last_frame):set_generated()
    end
    if label.completes and message.data and not message.impossible then
      local whole = ByteArray.new(message.data, true):tvb(title .. " (reassembled)")
      draw_message(item, label, message, whole(0, #message.data))
    end
  end
  if label.completes and message.missing > 0 then
    item:add(f.missing, message.missing):set_generated()
    item:add_proto_expert_info(e.missing, bytes_of(message.missing) .. " of this message are not in the capture")
  end
  return text
end

----------------------------------------------------------------------------------------------------------------------
-- TCP

local stock_tcp = {} -- what stood on our TCP ports before

-- A frame may hold several segments (tunnels), and be dissected many times.
local function segment_key(pinfo, tvb)
  local first = math.min(tvb:len(), 16)
  local ends = side(pinfo.src, pinfo.src_port) .. " " .. side(pinfo.dst, pinfo.dst_port)
  return pinfo.number .. " " .. ends .. " " .. tvb:reported_len() .. " " .. (first > 0 and tvb(0, first):bytes():tohex() or "")
end

-- Wireshark's out-of-order reassembly hands over several segments at once; each is labelled by itself, later.
local function joined(tvb)
  local length = tcp_len()
  return length ~= nil and tvb:reported_len() ~= length
end

local function tcp_state(stream)
  local state = streams[stream]
  if not state then
    state = new_stream()
    streams[stream] = state
  end
  return state
end

local function label_frame(state, tvb, pinfo)
  local size = tvb:reported_len()
  local text = text_of(tvb)
  local from = side(pinfo.src, pinfo.src_port)
  state.cloud = state.cloud or find_cloud(pinfo, size)
  local direction = from == state.cloud and state.down or state.up
  local other = direction == state.up and state.down or state.up
  if not state.begun then
    settle_start(state, direction, text, size)
  end
  local offset = stream_offset(direction)
  if not pinfo.visited then
    settle_gap(state, other)
  end
  local labels = offset >= 0 and label_segment(state, direction, offset, text, size, pinfo.number) or {}
  for _, label in ipairs(labels) do
    label.direction, label.frame = direction.name, pinfo.number
  end
  if direction == state.down and not direction.foreign and not state.mid and labels[1] then
    labels[1].ahead = direction.messages[2].have > 0 and state.up.messages[1].have == 0
  end
  return labels
end

local function dissect_tcp(tvb, pinfo, tree, state)
  local key = segment_key(pinfo, tvb)
  local labels = state.labels[key]
  if not labels then
    labels = label_frame(state, tvb, pinfo)
    state.labels[key] = labels
  end
  local texts, new = {}, false
  for _, label in ipairs(labels) do
    texts[#texts + 1] = draw_label(tvb, tree, label)
    new = new or not label.again
  end
  if new then
    pinfo.cols.protocol:set("Particle")
    pinfo.cols.info:set(table.concat(texts, " | "))
  end
  if labels[1] and labels[1].ahead then
    tree:add_proto_expert_info(e.nonce_long)
  end
  if state.mid and new then
    tree:add_proto_expert_info(e.mid)
  end
  return tvb:len()
end

-- Called for a port of ours, for a conversation the heuristic claimed, and by Decode As.
local function tcp_segment(tvb, pinfo, tree)
  if not fields_there() then
    return tvb:len() -- a pass without a tree (tshark -2, the first one): a later one has all that is needed
  end
  local stream = tcp_stream()
  if stream == nil or tvb:reported_len() == 0 or quoted() then
    return 0
  end
  local state = tcp_state(stream)
  local stock = stock_tcp[pinfo.dst_port] or stock_tcp[pinfo.src_port]
  if not state.begun and stock and coap_opening(text_of(tvb)) then
    state.coap = true
  end
  if state.coap then
    return call(stock, tvb, pinfo, tree)
  end
  if joined(tvb) then
    return tvb:len()
  end
  return dissect_tcp(tvb, pinfo, tree, state)
end

-- Whether a first segment looks like a nonce: 40 random bytes on a fresh connection, before the other side has spoken.
local function opens_session(tvb)
  local completeness = tcp_completeness()
  if tvb:reported_len() ~= NONCE or tvb:len() ~= NONCE or (completeness ~= nil and completeness % 4 == 0) then
    return false
  end
  local text = tvb:raw(0, NONCE)
  return tcp_seq() == 1 and tcp_ack() == 1 and different(text) >= 26 and not foreign_protocol(text)
end

-- Sessions on any other port: after the nonce of one side, the other side's first bytes are 256.
local function tcp_heuristic(tvb, pinfo, tree)
  local stream = fields_there() and tcp_stream()
  if not stream or quoted() or joined(tvb) then
    return false
  end
  local candidate = candidates[stream]
  if candidate == false then
    return false
  end
  local state = streams[stream]
  local seen = state and state.labels[segment_key(pinfo, tvb)]
  if not seen and candidate ~= "claimed" then
    local from, size = side(pinfo.src, pinfo.src_port), tvb:reported_len()
    if not candidate and opens_session(tvb) then
      candidates[stream] = { cloud = from, up = 0 }
      state = tcp_state(stream)
      state.cloud = from
    elseif candidate and from ~= candidate.cloud and candidate.up + size <= IDENTITY then
      candidate.up = candidate.up + size
      if candidate.up == IDENTITY then
        candidates[stream] = "claimed"
        pinfo.conversation = particle
      end
    else
      candidates[stream] = false
      streams[stream] = nil
      return false
    end
  end
  return dissect_tcp(tvb, pinfo, tree, state) > 0
end

-- How a session ended, as far as that can be told without keys: said on the frame of the first FIN or RST.
local function ending(state, by_cloud, reset)
  local who = (by_cloud and "The cloud" or "The device") .. (reset and " resets" or " closes")
  if state.mid or state.coap or state.down.gap or state.up.gap then
    return nil
  end
  local nonce, key, identity = state.down.messages[1], state.down.messages[2], state.up.messages[1]
  if state.down.foreign then
    return e.foreign, who .. "; what answered is no Particle cloud: " .. state.down.foreign
  elseif nonce.have == 0 and identity.have == 0 then
    return e.before_nonce, who .. " before a byte of the nonce came"
  elseif nonce.have < NONCE and key.have == 0 then
    return e.nonce_short, string.format("%s with %d of the nonce's %d bytes", who, nonce.have, NONCE)
  elseif identity.have == 0 then
    return e.no_identity, who .. ": the device never answered the nonce"
  elseif identity.have < IDENTITY then
    return e.no_identity, string.format("%s with %d of the identity's %d bytes", who, identity.have, IDENTITY)
  elseif key.have == 0 and by_cloud then
    return e.identity, who .. " after the device's 256 bytes: it could not or would not use them"
  elseif key.have == 0 then
    return e.no_key, who .. " without a session key from the cloud"
  elseif key.have < SESSION_KEY then
    return e.key_short, string.format("%s with %d of the session key's %d bytes", who, key.have, SESSION_KEY)
  elseif state.up.records == 0 and not by_cloud then
    return e.key_unusable, who .. " after the session key without a Hello: the key or its signature did not fit"
  elseif state.up.records == 0 then
    return e.key_unusable, who .. ": the device said nothing after the session key"
  elseif state.down.records == 0 then
    return e.hello, who .. ": the device's Hello got no answer"
  end
  return nil
end

local function draw_ending(state, pinfo, tree)
  if not state.closed then
    state.closed = true
    local cloud = state.cloud or find_cloud(pinfo)
    local expert, text = ending(state, side(pinfo.src, pinfo.src_port) == cloud, tcp_rst())
    state.ending[pinfo.number] = expert and { expert, text }
  end
  local note = state.ending[pinfo.number]
  if note then
    local item = tree:add(particle)
    item:set_text("Particle: " .. note[2])
    complain(item, note[1], note[2])
  end
end

-- After all dissectors: the segments that TCP shows to nobody (out of order, sent again: its preference
-- no_subdissector_on_error), and how the connection ends.
local rest = Proto("particle_rest", "Particle Cloud Handshake, out of order and end")

-- A name that begins with a device's id (`<id>.udp.particle.io`, `<id>.v3.udp.particle.io`) leads to its cloud.
local function learn_name(pinfo)
  local asked = dns_name()
  local id = asked and string.match(tostring(asked), "^(%x+)%.")
  if not id or #id ~= 2 * DEVICE_ID_SIZE then
    return
  end
  for _, all in ipairs({ dns_a, dns_aaaa }) do
    for _, address in ipairs({ all() }) do
      local key = tostring(pinfo.dst) .. " " .. tostring(address.value)
      local before = ids_by_name[key]
      id = string.lower(id)
      ids_by_name[key] = (before == nil or before == id) and id
    end
  end
end

-- An ICMP error about a datagram of ours.
local function draw_refusal(tree)
  local kind, kind6 = icmp_type(), icmp6_type()
  if (kind == 3 or kind6 == 1) and udp_ports[udp_destination_port()] then
    local item = tree:add(particle)
    local said = "The network says that the cloud cannot be reached there"
    item:set_text("Particle: " .. said)
    complain(item, e.refused, said)
  end
end

function rest.dissector(_, pinfo, tree)
  if not fields_there() then
    return 0
  end
  if dns_name() then
    learn_name(pinfo)
  end
  if quoted() then
    draw_refusal(tree)
    return 0
  end
  local stream = tcp_stream()
  if not stream then
    return 0
  end
  local state = streams[stream]
  if not state then
    if candidates[stream] == false or not (tcp_ports[tcp_source_port()] or tcp_ports[tcp_destination_port()]) then
      return 0
    end
    state = tcp_state(stream)
  end
  local payload = not state.coap and tcp_payload_range()
  if payload and payload:len() > 0 then
    local tvb = payload:tvb()
    if not state.labels[segment_key(pinfo, tvb)] then
      dissect_tcp(tvb, pinfo, tree, state)
      state.left_over[pinfo.number] = true
    elseif state.left_over[pinfo.number] then
      dissect_tcp(tvb, pinfo, tree, state)
    end
  end
  if tcp_fin() or tcp_rst() then
    draw_ending(state, pinfo, tree)
  end
  return 0
end

----------------------------------------------------------------------------------------------------------------------
-- UDP: DTLS 1.2 with Particle's records around it

local CHANGE_CIPHER_SPEC, ALERT, HANDSHAKE, DATA, CID, MOVED_CID, MOVED = 20, 21, 22, 23, 25, 253, 254
local CID_SIZE, HEADER, DEVICE_ID = 8, 13, DEVICE_ID_SIZE
local MAX_FRAGMENT = 18432 -- RFC 6347 section 4.1
local IPSEC_PORT = 4500
-- Record lengths, AES-CCM's 16 bytes included: an empty CoAP acknowledgement, a Finished, the same padded behind a
-- connection id.
local ACK_LENGTH, FINISHED_LENGTH, FINISHED_CID_LENGTH = 20, 40, 48
local RECORD_NAME = {
  [CID] = "Record with connection id",
  [MOVED_CID] = "Record of a moved session, with connection id",
  [MOVED] = "Record of a moved session, with device id",
}
-- Handshake message types (RFC 5246, RFC 6347) and the stages they are.
local HANDSHAKE_STAGE = {
  [1] = "client-hello",
  [2] = "server-hello",
  [3] = "hello-verify",
  [12] = "server-key-exchange",
  [13] = "certificate-request",
  [14] = "server-hello-done",
  [15] = "certificate-verify",
  [16] = "client-key-exchange",
}
-- A Certificate message with a bare P-256 key: its length and the start of a SubjectPublicKeyInfo (RFC 5480, RFC 7250).
local RAW_KEY = "\0\0\91\48\89\48\19\6\7\42\134\72\206\61\2\1\6\8\42\134\72\206\61\3\1\7"
local RAW_KEY_SIZE = 91
-- A confirmable message of CoAP is sent again after 4 to 6 seconds (RFC 7252 section 4.2, device-os coap_channel.h).
local PATIENCE = 3
-- Records that a copy of one (a mirror, a capture on every interface) may follow.
local COPIES = 32
local FROM_DEVICE = { [1] = true, [15] = true, [16] = true }
local FROM_CLOUD = { [0] = true, [2] = true, [3] = true, [4] = true, [12] = true, [13] = true, [14] = true }

-- What an alert means here: by its number and who sends it. Anything else is said by its number.
-- Sources: RFC 5246 section 7.2; device-os: the only check of the server is the signature of its ServerKeyExchange under
-- the key the device has stored (library/ssl_cli.c of mbedTLS 2.9 to 2.22, decrypt_error).
local ALERT_NAME = {
  [0] = "close_notify", [10] = "unexpected_message", [20] = "bad_record_mac", [40] = "handshake_failure",
  [42] = "bad_certificate", [43] = "unsupported_certificate", [44] = "certificate_revoked",
  [45] = "certificate_expired", [46] = "certificate_unknown", [47] = "illegal_parameter", [48] = "unknown_ca",
  [49] = "access_denied", [50] = "decode_error", [51] = "decrypt_error", [70] = "protocol_version",
  [71] = "insufficient_security", [80] = "internal_error", [90] = "user_canceled", [100] = "no_renegotiation",
  [109] = "missing_extension", [110] = "unsupported_extension", [115] = "unknown_psk_identity",
  [116] = "certificate_required",
}
local NO_COMMON = { e.profile, "finds nothing in common with the other side" }
local FROM_DEVICE_ALERT = {
  [10] = { e.profile, "got a message it does not expect here, such as a certificate" },
  [40] = NO_COMMON,
  [43] = { e.profile, "got a key of another kind than P-256" },
  [47] = { e.profile, "got a message with values it does not take" },
  [50] = { e.profile, "got a message it cannot read" },
  [51] = { e.server_key, "cannot verify the server's signature: the server key it has stored is another one, or the message was altered" },
  [70] = { e.profile, "wants another version of the protocol" },
}
local REFUSES = { e.device_key, "refuses the device's key: not the one it has on file, or none on file" }
local FROM_CLOUD_ALERT = {
  [40] = NO_COMMON,
  [42] = REFUSES, [43] = REFUSES, [44] = REFUSES, [45] = REFUSES, [46] = REFUSES, [48] = REFUSES, [49] = REFUSES,
  [51] = { e.device_key, "cannot verify the device's signature: its private key does not fit the public key it showed, or the message was altered" },
  [70] = { e.profile, "wants another version of the protocol" },
  [80] = { e.alert, "has a fault of its own" },
  [115] = { e.device_key, "does not know this device" },
  [116] = { e.device_key, "wants a key the device did not show" },
}

local function alert_meaning(code, from_device)
  local who = from_device and "The device" or "The cloud"
  local meaning = (from_device and FROM_DEVICE_ALERT or FROM_CLOUD_ALERT)[code]
  local name = ALERT_NAME[code] and ALERT_NAME[code] .. " (" .. code .. ")" or tostring(code)
  if meaning then
    return { meaning[1], string.format("%s %s (fatal alert %s)", who, meaning[2], name) }
  end
  return { e.alert, string.format("%s ends the handshake with fatal alert %s", who, name) }
end

local dtls, stock_udp = nil, {}

-- The record at `at`, nil when there is none: { type, at, size, length, epoch, text ... }.
local function read_record(text, at, total)
  if #text < at + HEADER then
    return nil
  end
  local kind, major, minor = string.byte(text, at + 1, at + 3)
  local has_cid = kind == CID or kind == MOVED_CID
  local known = (kind >= CHANGE_CIPHER_SPEC and kind <= DATA) or has_cid or kind == MOVED
  if not known or major ~= 0xFE or (minor ~= 0xFD and minor ~= 0xFF) then
    return nil
  end
  local epoch = u16(text, at + 4)
  local header = HEADER + (has_cid and CID_SIZE or 0)
  if #text < at + header or (epoch == 0 and (has_cid or kind == MOVED)) then
    return nil
  end
  local length = u16(text, at + header - 1)
  if length == 0 or length > MAX_FRAGMENT or at + header + length > total then
    return nil
  end
  local record = { type = kind, at = at, header = header, length = length, size = header + length, epoch = epoch }
  record.sequence = u16(text, at + 6) * 4294967296 + u16(text, at + 8) * 65536 + u16(text, at + 10)
  if kind == MOVED and at + record.size + DEVICE_ID + 1 == total then
    record.trailer = #text == total and string.byte(text, total) == DEVICE_ID
    record.size = record.size + DEVICE_ID + 1
  end
  return record
end

local function read_records(text, total)
  local records, at = {}, 0
  while at < total do
    local record = read_record(text, at, total)
    if not record then
      break
    end
    records[#records + 1] = record
    at = at + record.size
  end
  return records, at
end

local function u24(text, at)
  return string.byte(text, at) * 65536 + u16(text, at + 1)
end

-- The handshake messages, or fragments of messages, in a clear record.
local function messages_of(text, record)
  local messages = {}
  local at, stop = record.at + record.header, record.at + record.header + record.length
  while at + 12 <= stop and #text >= at + 12 do
    local size = u24(text, at + 10)
    messages[#messages + 1] = {
      type = string.byte(text, at + 1),
      length = u24(text, at + 2),
      sequence = u16(text, at + 5),
      from = u24(text, at + 7),
      size = size,
      body = at + 12,
    }
    at = at + 12 + size
  end
  return messages
end

local function is_dtls(text, total)
  local record = total > 1 and read_record(text, 0, total)
  if not record then
    return false
  elseif record.epoch > 0 then
    return record.type ~= CHANGE_CIPHER_SPEC and record.length > 16
  elseif record.type == HANDSHAKE then
    return record.length >= 12
  end
  return record.length == (record.type == ALERT and 2 or 1)
end

-- A ClientHello that only Particle devices send: AES_128_CCM_8 with ECDSA and nothing else, raw public keys.
local function particle_hello(text)
  return #text > 60
    and string.byte(text, 1) == HANDSHAKE
    and string.byte(text, HEADER + 1) == 1
    and string.find(text, "\0\4\192\174\0\255\1\0", 40, true) ~= nil
    and string.find(text, "\0\20\0\2\1\2", 40, true) ~= nil
end

local function udp_key(pinfo)
  local from, to = side(pinfo.src, pinfo.src_port), side(pinfo.dst, pinfo.dst_port)
  return from < to and from .. " " .. to or to .. " " .. from
end

local function udp_known(pinfo)
  return datagrams[udp_key(pinfo)] ~= nil
end

local function udp_state(pinfo)
  local key = udp_key(pinfo)
  local state = datagrams[key]
  if not state then
    state = {
      device = nil, -- the device's "address port"
      labels = {}, -- per frame
      attempt = nil, -- the handshake or resumed session that records belong to
      attempts = {}, -- by client random
      answers = {}, -- what the cloud sent, by server random and by key exchange
      answer = nil, -- where the cloud's next messages go
      now = 0, -- seconds of the frame at hand
      last = {}, -- the latest records
      turn = 0,
      before = nil, -- the established session before the current attempt
    }
    datagrams[key] = state
  end
  return state
end

local function find_device(pinfo, records, text)
  local from, to = side(pinfo.src, pinfo.src_port), side(pinfo.dst, pinfo.dst_port)
  local first = records[1]
  if first and first.type >= CID then
    return from, true
  elseif first and first.type == HANDSHAKE and first.epoch == 0 then
    local message = messages_of(text, first)[1]
    if message and FROM_DEVICE[message.type] then
      return from, true
    elseif message and FROM_CLOUD[message.type] then
      return to, true
    end
  end
  if udp_ports[pinfo.src_port] and not udp_ports[pinfo.dst_port] then
    return to, false
  end
  return from, false
end

local function new_attempt(state, random)
  local old = state.attempt
  if old and old.finished_up and old.finished_down then
    state.before = old
  end
  local attempt = {
    messages = {}, -- the device's handshake messages: what came of each
    answer = { messages = {} },
    flight = false, -- the device answered the cloud's hello
    finished_up = false,
    finished_down = false,
    hello_length = nil, -- of the device's first application record
    answered = false, -- by any application record
    hellos = 0, -- ClientHellos with this random, since the cloud last spoke
    heard = false, -- the cloud answered at all
    asked = nil, -- when a resumed session first spoke
    offers_cid = false, -- in the ClientHello
    acknowledged = false,
    resumed = false,
  }
  state.attempt = attempt
  state.answer = attempt.answer
  if random then
    state.attempts[random] = attempt
  end
  return attempt
end

-- Whether a fragment of a handshake message holds bytes that no earlier one did.
local function is_new(messages, key, from, size, length)
  local ranges = messages[key]
  if not ranges then
    messages[key] = { { from, from + size } }
    return true
  end
  local to = from + size
  for _, range in ipairs(ranges) do
    if (range[1] <= from and to <= range[2]) or (range[1] == 0 and range[2] == length) then
      return false
    end
  end
  local merged = {}
  for _, range in ipairs(ranges) do
    if range[2] < from or range[1] > to then
      merged[#merged + 1] = range
    else
      from, to = math.min(from, range[1]), math.max(to, range[2])
    end
  end
  merged[#merged + 1] = { from, to }
  messages[key] = merged
  return true
end

-- What is wrong, said on a record: what it is, once.
-- `unless`: an attempt in which nothing is wrong after all once it goes on; known when a frame is drawn again.
local function note(label, expert_item, text, unless)
  if not label.copy then
    label.wrong = label.wrong or { expert_item, text, unless }
  end
end

local function ordinal(number)
  local ending = ({ "st", "nd", "rd" })[number % 10]
  return number .. ((ending and math.floor(number / 10) % 10 ~= 1) and ending or "th")
end

-- Whether a hello of the server is what a device of this profile can use: the suite, raw public keys, a connection id of
-- eight bytes where one was offered.
local function unfit_hello(text, message, offers_cid)
  local stop = math.min(message.body + message.size, #text)
  local at = message.body + 34
  if message.size ~= message.length or #text < message.body + message.size or at + 1 > stop then
    return nil
  end
  at = at + 1 + string.byte(text, at + 1)
  if at + 5 > stop then
    return nil
  elseif u16(text, at + 1) ~= 0xC0AE then
    return string.format("The server chooses cipher suite 0x%04x; the device offers only 0xc0ae", u16(text, at + 1))
  end
  local found, limit = {}, math.min(at + 5 + u16(text, at + 4), stop)
  at = at + 5
  while at + 4 <= limit do
    local size = u16(text, at + 3)
    found[u16(text, at + 1)] = string.sub(text, at + 5, at + 4 + size)
    at = at + 4 + size
  end
  if found[20] ~= "\2" then
    return "The server wants to show an X.509 certificate; the device knows it by its bare public key"
  elseif offers_cid and not (found[254] and #found[254] == CID_SIZE + 1) then
    return "The server gives no connection id of 8 bytes: this firmware then drops the finished handshake"
  end
  return nil
end

-- Whether a key exchange is signed by a key of another kind than the device has stored.
local function unfit_key(text, message)
  local body = string.sub(text, message.body + 1, message.body + message.size)
  if message.from > 0 or #body < 4 or string.byte(body, 1) ~= 3 then
    return message.from == 0 and #body >= 4 and "The server's key exchange is on no named curve; the device takes P-256 only" or nil
  elseif u16(body, 2) ~= 23 then
    return string.format("The server's key exchange is on curve %d; the device takes P-256 (23) only", u16(body, 2))
  end
  local at = 4 + string.byte(body, 4)
  if #body >= at + 2 and string.byte(body, at + 2) ~= 3 then
    return "The server's key exchange is not signed with ECDSA: its key is of another kind than the device has stored"
  end
  return nil
end

-- What was left undone by an attempt that another one follows.
local function given_up(attempt)
  if attempt.finished_up and attempt.finished_down then
    if attempt.hello_length and not attempt.answered then
      return e.hello, "The attempt before this one ended with the device's Hello unanswered"
    end
  elseif attempt.alerted or attempt.resumed then
    return nil
  elseif attempt.flight then
    return e.cloud_silent, "The attempt before this one ended without the cloud's answer to the device's key"
  elseif attempt.answer.keyed then
    return e.device_silent, "The device began anew after the server's key: the server key it has stored may not be this server's"
  elseif not attempt.heard then
    return e.unanswered, "The attempt before this one got no answer from the cloud"
  end
  return nil
end

local function device_message(state, text, message, label)
  if message.type == 1 and message.from == 0 then
    local random = string.sub(text, message.body + 3, message.body + 34)
    if state.attempts[random] then
      state.attempt = state.attempts[random]
    else
      local before = state.attempt
      new_attempt(state, random)
      if before then
        local expert_item, said = given_up(before)
        if expert_item then
          note(label, expert_item, said)
        end
      end
    end
  end
  local attempt = state.attempt or new_attempt(state)
  if message.type == 1 and message.from == 0 then
    attempt.offers_cid = string.find(text, "\0\254\0\1\0", message.body + 34, true) ~= nil
    attempt.hellos = attempt.hellos + (label.copy and 0 or 1)
    if attempt.hellos > 1 then
      note(label, e.unanswered, string.format("No answer from the cloud: the device asks for the %s time", ordinal(attempt.hellos)), attempt)
    end
  end
  attempt.flight = attempt.flight or message.type == 15 or message.type == 16
  local new = is_new(attempt.messages, message.sequence * 256 + message.type, message.from, message.size, message.length)
  if not new and message.type ~= 1 and not attempt.finished_down then
    note(label, e.cloud_silent, "No answer from the cloud: the device sends its flight again", attempt)
  end
  -- Every copy of a ClientHello is one: the device asks again.
  return (new or message.type == 1) and (HANDSHAKE_STAGE[message.type] or (message.type == 11 and "device-certificate")) or nil
end

local function cloud_message(state, text, message, label)
  local attempt = state.attempt or new_attempt(state)
  attempt.heard, attempt.hellos = true, 0
  if message.type == 3 then
    local new = is_new(attempt.messages, message.sequence * 256 + message.type, message.from, message.size, message.length)
    state.answer = attempt.answer
    return new and "hello-verify" or nil
  elseif message.type == 2 and message.from == 0 then
    local random = string.sub(text, message.body + 3, message.body + 34)
    local known = state.answers[random]
    if not known then
      if attempt.answer.random then
        attempt.answer = { messages = {} }
      end
      attempt.answer.random = random
      known = attempt.answer
      known.whole = #text >= message.body + message.size
      state.answers[random] = known
    end
    state.answer = known
  elseif message.type == 12 then
    local body = string.sub(text, message.body + 1, message.body + message.size)
    state.answers[body] = state.answers[body] or state.answer
    state.answer = state.answers[body]
  end
  local new = is_new(state.answer.messages, message.sequence * 256 + message.type, message.from, message.size, message.length)
  local unfit = nil
  if message.type == 2 and message.from == 0 then
    unfit = unfit_hello(text, message, attempt.offers_cid)
  elseif message.type == 12 then
    state.answer.keyed = true
    unfit = unfit_key(text, message)
  end
  if unfit then
    note(label, e.profile, unfit)
  elseif not new and not attempt.flight and not attempt.alerted then
    note(label, e.device_silent, "No answer from the device: the cloud sends its flight again", attempt)
  end
  return new and (HANDSHAKE_STAGE[message.type] or (message.type == 11 and "server-certificate")) or nil
end

-- The stage of a protected record: what it is follows from what came before it, and from its size.
local function protected_stage(state, from_device, record, label)
  local attempt = state.attempt
  local established = attempt and attempt.finished_up and attempt.finished_down
  if not attempt then
    attempt = new_attempt(state)
    attempt.resumed = true
  elseif from_device and not attempt.resumed and not established and not attempt.flight and not state.before then
    if record.type ~= HANDSHAKE and record.sequence > 0 then
      attempt = new_attempt(state)
      attempt.resumed = true
    end
  end
  if not from_device then
    attempt.heard = true
  elseif attempt.resumed and not attempt.heard then
    attempt.asked = attempt.asked or state.now
    if state.now - attempt.asked > PATIENCE then
      note(label, e.lost, string.format("The resumed session gets no answer, for %.0f seconds now", state.now - attempt.asked))
    end
  end
  if attempt.resumed then
    local first = from_device and not attempt.hello_length
    attempt.hello_length = attempt.hello_length or (from_device and record.length) or nil
    return first and "resumed" or "session"
  elseif record.type == ALERT then
    return nil
  elseif state.before and not attempt.flight then
    return "session"
  elseif record.type == HANDSHAKE and record.length ~= FINISHED_LENGTH then
    return nil
  elseif record.type == HANDSHAKE then
    local key = from_device and "finished_up" or "finished_down"
    local again = attempt[key]
    attempt[key] = true
    return not again and (from_device and "device-finished" or "cloud-finished") or nil
  elseif from_device and record.type == CID and record.length == FINISHED_CID_LENGTH and (record.sequence == 0 or not attempt.finished_up or not attempt.finished_down) then
    local again = attempt.finished_up
    attempt.finished_up = true
    return not again and "device-finished" or nil
  elseif from_device and not attempt.hello_length then
    attempt.hello_length = record.length
    return "device-hello"
  elseif from_device and not attempt.answered and record.length == attempt.hello_length then
    note(label, e.hello, "The device's Hello is not acknowledged: it sends it again", attempt)
    return nil -- the Hello once more
  elseif not from_device and attempt.hello_length then
    attempt.answered = true
    if not attempt.acknowledged and record.length == ACK_LENGTH then
      attempt.acknowledged = true
      return "hello-ack"
    end
  end
  return "session"
end

-- Whether this very record was seen a moment ago: the network or the capture doubled it, nobody sent it again.
local function is_copy(state, text, record)
  local bytes = string.sub(text, record.at + 1, record.at + record.size)
  for _, earlier in ipairs(state.last) do
    if earlier == bytes then
      return true
    end
  end
  state.last[state.turn % COPIES + 1] = bytes
  state.turn = state.turn + 1
  return false
end

local function label_datagram(state, text, total, from_device, records)
  local labels = { from_device = from_device }
  for _, record in ipairs(records) do
    local label = { record = record, stages = {}, copy = is_copy(state, text, record) }
    labels[#labels + 1] = label
    if record.header > HEADER then
      state.cid = string.sub(text, record.at + 12, record.at + 11 + CID_SIZE)
    end
    if record.trailer then
      local at = record.at + record.size - DEVICE_ID - 1
      state.id = string.gsub(string.sub(text, at + 1, at + DEVICE_ID), ".", function(byte)
        return string.format("%02x", string.byte(byte))
      end)
    end
    local id = state.id or (state.cid and ids_by_cid[state.cid])
    if id and state.cid then
      ids_by_cid[state.cid] = id
    end
    if record.epoch > 0 then
      label.stages[1] = protected_stage(state, from_device, record, label)
    elseif record.type == HANDSHAKE then
      for _, message in ipairs(messages_of(text, record)) do
        local stage
        if from_device then
          stage = device_message(state, text, message, label)
        else
          stage = cloud_message(state, text, message, label)
        end
        label.stages[#label.stages + 1] = stage
        if message.type == 11 and message.from == 0 and string.sub(text, message.body + 1, message.body + 26) == RAW_KEY then
          -- Stock Wireshark knows that this is a bare key from the ServerHello, and takes it for X.509 without one.
          label.raw_key = message.body + 3
          label.alone = not state.answer.whole
        end
        label.server_certificate = label.server_certificate or (not from_device and message.type == 11)
        if message.type <= 2 and string.find(text, "\0\54\0", message.body + 34, true) then
          state.rfc_cid = true -- RFC 9146: stock Wireshark reads those records
        end
      end
    elseif record.type == CHANGE_CIPHER_SPEC and state.attempt then
      state.attempt.flight = state.attempt.flight or from_device
    elseif record.type == ALERT and record.length == 2 and #text >= record.at + record.size then
      local level, code = string.byte(text, record.at + record.header + 1, record.at + record.header + 2)
      if level == 2 then
        local meaning = alert_meaning(code, from_device)
        note(label, meaning[1], meaning[2])
        if state.attempt then
          state.attempt.alerted = true
        end
      end
    end
  end
  return labels
end

local function draw_own_record(tvb, tree, label, text)
  local record = label.record
  local range = captured(tvb, record.at, record.size)
  local item = tree:add(particle, range)
  item:set_text("Particle " .. text)
  item:add(f.type, tvb(record.at, 1))
  item:add(f.epoch, tvb(record.at + 3, 2))
  item:add(f.sequence, tvb(record.at + 5, 6))
  if record.header > HEADER then
    item:add(f.cid, tvb(record.at + 11, record.header - HEADER))
  end
  item:add(f.udp_length, tvb(record.at + record.header - 2, 2))
  local fragment = captured(tvb, record.at + record.header, record.length)
  if fragment and record.epoch > 0 then
    item:add(f.udp_fragment, fragment)
  end
  if record.type >= MOVED_CID then
    item:add(f.moved, true):set_generated()
    item:add_proto_expert_info(e.moved)
  end
  if record.trailer then
    local at = record.at + record.size - DEVICE_ID - 1
    local id = string.lower(tvb(at, DEVICE_ID):bytes():tohex())
    item:add(f.device_id, tvb(at, DEVICE_ID), id)
    text = text .. ", device " .. id
  end
  return item, text
end

-- Gives the records in [from, to) of the datagram to the stock dissector.
local function hand_over(tvb, pinfo, tree, from, to)
  if dtls and to > from and tvb:len() > from then
    call(dtls, tvb(from, math.min(to, tvb:len()) - from):tvb(), pinfo, tree)
  end
end

-- A type 254 record is an application record (23) but for its first byte, also for decryption.
local function hand_over_moved(text, pinfo, tree, record)
  local first = record.at + 1
  if dtls and #text >= record.at + record.header + record.length then
    local plain = string.char(DATA) .. string.sub(text, first + 1, record.at + record.header + record.length)
    call(dtls, ByteArray.new(plain, true):tvb("Record as it was encrypted"), pinfo, tree)
  end
end

local function went_on(wrong_here)
  local attempt = wrong_here[3]
  if not attempt then
    return false
  elseif wrong_here[1] == e.hello then
    return attempt.answered
  end
  return attempt.finished_up and attempt.finished_down
end

-- The device's id where the wire gave it away: behind a record of a moved session, or in the name it asked for.
local function known_id(pinfo, state, labels)
  local here = state.id or (state.cid and ids_by_cid[state.cid])
  if here then
    return here
  end
  local device, cloud = tostring(pinfo.src), tostring(pinfo.dst)
  if not labels.from_device then
    device, cloud = cloud, device
  end
  return ids_by_name[device .. " " .. cloud] or nil
end

local function draw_datagram(tvb, pinfo, tree, state, labels, text)
  local notes, pending, last = {}, nil, 0
  local device_id = known_id(pinfo, state, labels)
  for _, label in ipairs(labels) do
    local record, item, note = label.record, nil, nil
    local own = RECORD_NAME[record.type]
    if record.type == CID and state.rfc_cid then
      own = nil
    elseif label.alone then
      own = "Device certificate, a bare public key"
    end
    if own then
      if pending then
        hand_over(tvb, pinfo, tree, pending, record.at)
        pending = nil
      end
      item, note = draw_own_record(tvb, tree, label, own)
      if record.type == MOVED then
        hand_over_moved(text, pinfo, tree, record)
      end
      notes[#notes + 1] = note
    else
      pending = pending or record.at
      if #label.stages > 0 or label.raw_key or label.server_certificate or label.wrong or device_id then
        item = tree:add(particle, captured(tvb, record.at, record.size))
      end
    end
    last = record.at + record.size
    if item then
      if not own then
        item:set_text("Particle " .. (label.stages[1] and table.concat(label.stages, ", ") or "handshake over DTLS"))
      end
      for _, stage in ipairs(label.stages) do
        item:add(f.stage, captured(tvb, record.at, record.size), stage):set_generated()
      end
      item:add(f.direction, labels.from_device and UP or DOWN):set_generated()
      local key = label.raw_key and captured(tvb, label.raw_key, RAW_KEY_SIZE)
      if key then
        item:add(f.public_key, key)
      end
      if label.server_certificate then
        complain(item, e.server_certificate, "The server shows a certificate: a Particle cloud sends none, the device knows its bare key")
      end
      if label.wrong and not label.server_certificate then
        complain(item, label.wrong[1], label.wrong[2], went_on(label.wrong))
      end
      if device_id then
        if not record.trailer then
          item:add(f.device_id, device_id):set_generated()
        end
        device_id = nil
      end
    end
  end
  if pending then
    hand_over(tvb, pinfo, tree, pending, tvb:reported_len())
  end
  if #notes > 0 then
    if labels[1] and labels[1].record.type >= CID then
      pinfo.cols.protocol:set("Particle")
      pinfo.cols.info:set(table.concat(notes, ", "))
    else
      pinfo.cols.info:append(", " .. table.concat(notes, ", "))
    end
  end
  return last
end

local function dissect_udp(tvb, pinfo, tree)
  local total = tvb:reported_len()
  local text = text_of(tvb)
  if total == 1 then
    pinfo.cols.protocol:set("Particle")
    pinfo.cols.info:set("Keep-alive")
    local item = tree:add(particle, tvb())
    item:set_text("Particle keep-alive, 1 byte")
    item:add(f.keep_alive, true):set_generated()
    return 1
  end
  local state = udp_state(pinfo)
  local key = segment_key(pinfo, tvb)
  local labels = state.labels[key]
  if not labels then
    local records = read_records(text, total)
    local device, sure = find_device(pinfo, records, text)
    if sure or not state.device then
      state.device = device
    end
    state.now = pinfo.rel_ts
    labels = label_datagram(state, text, total, side(pinfo.src, pinfo.src_port) == state.device, records)
    if fields_there() and not quoted() then
      state.labels[key] = labels
    end
  end
  if #labels == 0 then
    hand_over(tvb, pinfo, tree, 0, total)
  else
    draw_datagram(tvb, pinfo, tree, state, labels, text)
  end
  return tvb:len()
end

-- Called for a port of ours, for a conversation the heuristic claimed, and by Decode As.
local function udp_datagram(tvb, pinfo, tree)
  local total = tvb:reported_len()
  local text = text_of(tvb)
  local stock = stock_udp[pinfo.dst_port] or stock_udp[pinfo.src_port] or dtls
  -- One byte is a keep-alive; on port 4500 it may be that of an IPsec gateway (RFC 3948).
  local ipsec = pinfo.dst_port == IPSEC_PORT or pinfo.src_port == IPSEC_PORT
  local alive = total == 1 and (not ipsec or udp_known(pinfo))
  if quoted() or not (alive or is_dtls(text, total)) then
    return stock and call(stock, tvb, pinfo, tree) or 0
  end
  return dissect_udp(tvb, pinfo, tree)
end

local function udp_heuristic(tvb, pinfo, tree)
  local total = tvb:reported_len()
  if total < HEADER + 17 or tvb:len() < HEADER or quoted() then
    return false
  end
  local text = text_of(tvb)
  local first = string.byte(text, 1)
  local ours = false
  if first == MOVED or first == MOVED_CID or first == CID then
    local records, stop = read_records(text, total)
    ours = stop == total and (first ~= MOVED or records[1].trailer)
  elseif first == HANDSHAKE then
    ours = is_dtls(text, total) and particle_hello(text)
  end
  if not ours then
    return false
  end
  pinfo.conversation = particle
  dissect_udp(tvb, pinfo, tree)
  return true
end

----------------------------------------------------------------------------------------------------------------------
-- Registration

function particle.dissector(tvb, pinfo, tree)
  if pinfo.port_type == PT_UDP then
    return udp_datagram(tvb, pinfo, tree)
  end
  return tcp_segment(tvb, pinfo, tree)
end

local function ports_of(range)
  local ports = {}
  for part in string.gmatch(tostring(range), "[^,%s]+") do
    local first, last = string.match(part, "^(%d+)%-?(%d*)$")
    first, last = tonumber(first), tonumber(last)
    if first then
      for port = first, math.min(last or first, first + 1023) do
        ports[port] = true
      end
    end
  end
  return ports
end

local function bind(name, stock, old, new)
  local ports = DissectorTable.get(name)
  for port in pairs(old) do
    if not new[port] then
      ports:remove(port, particle)
      if stock[port] then
        ports:add(port, stock[port])
      end
    end
  end
  for port in pairs(new) do
    if not old[port] then
      local ok, dissector = pcall(ports.get_dissector, ports, port)
      stock[port] = ok and dissector or nil
      ports:add(port, particle)
    end
  end
  return new
end

do
  local ok, dissector = pcall(Dissector.get, "dtls")
  dtls = ok and dissector or nil
end
tcp_ports = bind("tcp.port", stock_tcp, {}, ports_of(particle.prefs.tcp_ports))
udp_ports = bind("udp.port", stock_udp, {}, ports_of(particle.prefs.udp_ports))

function particle.prefs_changed()
  tcp_ports = bind("tcp.port", stock_tcp, tcp_ports, ports_of(particle.prefs.tcp_ports))
  udp_ports = bind("udp.port", stock_udp, udp_ports, ports_of(particle.prefs.udp_ports))
end

particle:register_heuristic("tcp", tcp_heuristic)
particle:register_heuristic("udp", udp_heuristic)
register_postdissector(rest)
