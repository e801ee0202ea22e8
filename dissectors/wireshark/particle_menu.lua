-- Tools > Particle handshake: what `analyze` says of the packets that are open, inside Wireshark.
-- Version: 1.1.0
-- SPDX-License-Identifier: GPL-2.0-or-later
--
-- Install: `analyze wireshark install`. It needs particle.lua beside it (its preferences are Protocols > PARTICLE).
--
-- How it works. A tap sees every packet that is open, saved or not, in a live capture too, and a dumper writes it to a
-- file of its own; `analyze` reads that file and answers in lines that begin with what they are (`session`, `remark`,
-- `report`; analyzer/exports/menu.py). The file is only the user's to read, and removed at once; an annotated copy is
-- removed when the next one is made and when Wireshark ends. The answer itself never touches the disk.
--
-- Only API of Wireshark 3.6 to 4.4 is used, and only Lua that 5.1 to 5.4 agree on.

if not gui_enabled() then
  return
end

local VERSION = "1.1.0"

if set_plugin_info then
  set_plugin_info({
    version = VERSION,
    author = "particle-handshake-analyzer",
    description = "Particle/Spark cloud handshake: the verdict, in the Tools menu",
  })
end

local WINDOWS = package.config:sub(1, 1) == "\\"
local NOT_FOUND = "`analyze` was not found: install it, run `analyze wireshark install` once, or name the program in "
  .. "Edit > Preferences > Protocols > PARTICLE."
local BUTTONS = 4 -- "go to" buttons beside the one that asks

----------------------------------------------------------------------------------------------------------------------
-- The packet that is selected

-- Wireshark draws the full tree of one packet only: the one it shows. This sees it.
local here = { number = nil }
local watch = Proto("particle_here", "Particle Cloud Handshake, the packet that is shown")

function watch.dissector(_, pinfo, tree)
  if pinfo.visited and tree and tree.visible then
    here.number = pinfo.number
    here.from, here.to = tostring(pinfo.src), tostring(pinfo.dst)
    here.from_port, here.to_port = pinfo.src_port, pinfo.dst_port
  end
  return 0
end

function watch.init()
  here.number = nil
end
register_postdissector(watch)

----------------------------------------------------------------------------------------------------------------------
-- Files and programs

local kept = {} -- annotated copies that Wireshark may have open

local function remove_kept()
  for name in pairs(kept) do
    os.remove(name)
    kept[name] = nil
  end
end

-- Lua closes its state when Wireshark ends.
if setmetatable then
  kept = setmetatable(kept, { __gc = remove_kept })
end

-- A new file that only its owner can read: on Unix tmpname makes it so (mkstemp), on Windows the folder is the user's own.
local function private_file()
  local name = os.tmpname()
  if WINDOWS then
    name = (os.getenv("TEMP") or ".") .. "\\particle" .. string.gsub(name, "[^%w]", "") .. os.time() .. ".pcapng"
  end
  return name
end

local function quoted(word)
  if WINDOWS then
    return '"' .. string.gsub(word, '"', "") .. '"'
  end
  return "'" .. string.gsub(word, "'", "'\\''") .. "'"
end

local function there(name)
  local file = io.open(name, "r")
  if file then
    file:close()
  end
  return file ~= nil
end

local function preference(name)
  local ok, value = pcall(get_preference, "particle." .. name)
  return ok and type(value) == "string" and value or ""
end

-- The command's first words: what the preference names, else what `analyze wireshark install` left, else the PATH.
local function program()
  local named = preference("program")
  if named ~= "" then
    return quoted(named)
  end
  local script = WINDOWS and "analyze-particle.bat" or "analyze-particle"
  local folders = { persconffile_path("extcap") }
  local home = os.getenv("HOME")
  if home and not WINDOWS then
    table.insert(folders, 1, home .. "/.local/lib/wireshark/extcap")
  end
  for _, folder in ipairs(folders) do
    local name = folder .. (WINDOWS and "\\" or "/") .. script
    if there(name) then
      return quoted(name)
    end
  end
  return "analyze"
end

local function keys()
  local folder = preference("keys")
  return folder ~= "" and " --keys " .. quoted(folder) or ""
end

-- What a command prints, errors too.
local function output_of(command)
  command = command .. " 2>&1"
  if WINDOWS then
    command = '"' .. command .. '"' -- cmd takes the outer quotes away
  end
  local ok, pipe = pcall(io.popen, command, "r")
  if not ok or not pipe then
    return ""
  end
  local text = pipe:read("*a") or ""
  pipe:close()
  return text
end

----------------------------------------------------------------------------------------------------------------------
-- The packets that are open

local link_type = Field.new("frame.encap_type")

local function file_type()
  local id = wtap_name_to_file_type_subtype and (wtap_name_to_file_type_subtype("nsecpcap") or wtap_name_to_file_type_subtype("pcap"))
  return id or (wtap_filetypes and (wtap_filetypes.PCAP_NSEC or wtap_filetypes.PCAP))
end

-- Writes every packet that is open to `name`. Returns how many, or nil and why not. The file has one link type, that of
-- the first packet; one of another (a decrypted message of an annotated copy) leaves an empty frame, so that numbers stay.
local function write_packets(name)
  local dumper, count, problem = nil, 0, nil
  local blank = ByteArray.new(string.rep("00", 60))
  local tap = Listener.new("frame")
  function tap.packet(pinfo)
    if problem then
      return
    end
    local ok, said = pcall(function()
      dumper = dumper or Dumper.new(name, file_type(), link_type().value)
      dumper:dump_current()
    end)
    if not ok and count > 0 then
      ok, said = pcall(dumper.dump, dumper, pinfo.abs_ts, PseudoHeader.none(), blank)
    end
    if ok then
      count = count + 1
    else
      problem = tostring(said)
    end
  end
  function tap.draw() end
  function tap.reset() end
  local ok, said = pcall(retap_packets)
  tap:remove()
  if dumper then
    dumper:close()
  end
  if not ok then
    return nil, tostring(said)
  elseif problem then
    return nil, "The open packets cannot be written to a file: " .. problem
  elseif count == 0 then
    return nil, "No packets are open."
  end
  return count
end

local function tell_problem(text)
  local window = TextWindow.new("Particle handshake")
  window:set(text)
end

-- Runs `analyze` on what is open: { sessions, remarks (by frame), report }, or nil when the user was told why not.
local function answer()
  local name = private_file()
  local count, problem = write_packets(name)
  if not count then
    os.remove(name)
    tell_problem(problem)
    return nil
  end
  local text = output_of(program() .. " wireshark tell " .. quoted(name) .. keys())
  os.remove(name)
  text = string.gsub(text, "\r\n", "\n")
  local start, stop = string.find(text, "\nreport\n", 1, true)
  if not start then
    local said = string.gsub(text, "^%s+", "")
    local missing = said == "" or string.find(said, "not found", 1, true) or string.find(said, "not recognized", 1, true)
    tell_problem(missing and NOT_FOUND .. (said ~= "" and "\n\n" .. said or "") or said)
    return nil
  end
  local found = { sessions = {}, remarks = {}, report = string.sub(text, stop + 1) }
  for line in string.gmatch(string.sub(text, 1, start), "[^\n]+") do
    local cells = {}
    for cell in string.gmatch(line .. "\t", "([^\t]*)\t") do
      cells[#cells + 1] = cell
    end
    if cells[1] == "session" then
      found.sessions[#found.sessions + 1] = {
        id = cells[2],
        first = tonumber(cells[3]),
        last = tonumber(cells[4]),
        frame = tonumber(cells[5]),
        device = cells[6],
        address = cells[7],
        port = tonumber(cells[8]),
        cloud = cells[9],
        cloud_port = tonumber(cells[10]),
        filter = cells[11],
        verdict = cells[12],
      }
    elseif cells[1] == "remark" then
      local frame = tonumber(cells[2])
      found.remarks[frame] = found.remarks[frame] or {}
      table.insert(found.remarks[frame], cells[3])
    end
  end
  return found
end

----------------------------------------------------------------------------------------------------------------------
-- Going to a packet

-- A filter is applied when Wireshark comes to its events; a progress bar lets it.
local function let_events_pass()
  pcall(function()
    local wait = ProgDlg.new("Particle handshake", "Going there")
    wait:update(0.5, "")
    wait:close()
  end)
end

-- There is no call for it; a filter that only one packet passes selects that packet, and it stays selected afterwards.
local function go_to(number)
  local before = get_filter() or ""
  set_filter("frame.number == " .. number)
  apply_filter()
  let_events_pass()
  set_filter(before)
  apply_filter()
end

local function ask_frame(title, use)
  new_dialog(title, function(text)
    local number = tonumber(string.match(text or "", "%d+"))
    if number then
      use(number)
    end
  end, "Frame number")
end

local function add_goto(window, frames)
  local seen, count = {}, 0
  for _, frame in ipairs(frames) do
    if frame and not seen[frame] and count < BUTTONS then
      seen[frame], count = true, count + 1
      window:add_button("Go to frame " .. frame, function()
        go_to(frame)
      end)
    end
  end
  window:add_button("Go to frame ...", function()
    ask_frame("Go to frame", go_to)
  end)
end

----------------------------------------------------------------------------------------------------------------------
-- The menu

local function why()
  local found = answer()
  if not found then
    return
  end
  local window = TextWindow.new("Particle handshake: why can't it connect?")
  local frames, healthy = {}, {}
  for _, session in ipairs(found.sessions) do
    local list = session.verdict == "healthy" and healthy or frames
    list[#list + 1] = session.frame
  end
  for _, frame in ipairs(healthy) do
    frames[#frames + 1] = frame
  end
  window:set(found.report)
  add_goto(window, frames)
end

local function is_of(session, packet)
  local device = session.address == packet.from and session.port == packet.from_port
  local cloud = session.cloud == packet.from and session.cloud_port == packet.from_port
  if device then
    return session.cloud == packet.to and session.cloud_port == packet.to_port
  end
  return cloud and session.address == packet.to and session.port == packet.to_port
end

-- The session of the packet that is shown: by its ends and its place.
local function session_here(found)
  for _, session in ipairs(found.sessions) do
    if here.number and is_of(session, here) and session.first <= here.number and here.number <= session.last then
      return session
    end
  end
  return nil
end

local function explain(number)
  local found = answer()
  if not found then
    return
  end
  local lines = { "Frame " .. number, "" }
  for _, remark in ipairs(found.remarks[number] or {}) do
    lines[#lines + 1] = "  " .. remark
  end
  if #lines == 2 then
    lines[3] = "  There is nothing to say of it by itself."
  end
  local session = number == here.number and session_here(found)
  if session then
    lines[#lines + 1] = ""
    lines[#lines + 1] = string.format("Session %s, frames %d to %d: %s", session.id, session.first, session.last, session.verdict)
  end
  local window = TextWindow.new("Particle handshake: packet " .. number)
  window:set(table.concat(lines, "\n") .. "\n")
  add_goto(window, { session and session.frame or nil })
end

local function explain_here()
  if here.number then
    explain(here.number)
  else
    ask_frame("Explain a packet", explain)
  end
end

local function open_annotated()
  local name, copy = private_file(), private_file()
  local count, problem = write_packets(name)
  if not count then
    os.remove(name)
    os.remove(copy)
    tell_problem(problem)
    return
  end
  -- Written into the file that is there already, so that it stays private.
  local text = output_of(program() .. " annotate " .. quoted(name) .. keys() .. " --output " .. quoted(copy))
  os.remove(name)
  if string.find(text, "packets annotated", 1, true) then
    remove_kept()
    kept[copy] = true
    open_capture_file(copy, "")
  else
    os.remove(copy)
    local missing = text == "" or string.find(text, "not found", 1, true) or string.find(text, "not recognized", 1, true)
    tell_problem(missing and NOT_FOUND or text)
  end
end

local function follow_device()
  if not here.number then
    tell_problem("Select a packet of the device first.")
    return
  end
  local found = answer()
  if not found then
    return
  end
  local session = session_here(found)
  if not session then
    tell_problem("Frame " .. here.number .. " belongs to no device session.")
    return
  end
  local filters, seen = {}, {}
  for _, other in ipairs(found.sessions) do
    local same = session.device ~= "" and other.device == session.device
    same = same or (other.address == session.address and (other.device == "" or session.device == ""))
    if same and other.filter ~= "" and not seen[other.filter] then
      seen[other.filter] = true
      filters[#filters + 1] = "(" .. other.filter .. ")"
    end
  end
  set_filter(table.concat(filters, " or "))
  apply_filter()
end

local HELP = [[
Tools > Particle handshake

Why can't it connect?   Runs `analyze` on the packets that are open and shows its report: what is wrong, how sure that
                        is, and what to do. The buttons lead to the packets.
Explain this packet     What is to be said of the selected packet.
Open annotated copy     Opens a copy with what was found as comments on the packets.
Follow device           Shows all attempts of the device that the selected packet belongs to.

With keys it says which key is wrong: name the folder in Edit > Preferences > Protocols > PARTICLE. `analyze keys FOLDER`
says what is in one. The same place names the program, if it is not found.
Columns, colours and filter buttons: Edit > Configuration Profiles > Particle.
Stages: filter by particle.stage; what looks wrong without keys: particle.verdict, Analyze > Expert Information.
]]

local function help()
  local window = TextWindow.new("Particle handshake: help")
  window:set(HELP)
end

-- What goes wrong is said, not thrown.
local function guarded(action)
  return function(...)
    local ok, said = pcall(action, ...)
    if not ok then
      tell_problem("This went wrong: " .. tostring(said))
    end
  end
end

local MENU = "Particle handshake/"
register_menu(MENU .. "Why can't it connect?", guarded(why), MENU_TOOLS_UNSORTED)
register_menu(MENU .. "Explain this packet", guarded(explain_here), MENU_TOOLS_UNSORTED)
register_menu(MENU .. "Open annotated copy", guarded(open_annotated), MENU_TOOLS_UNSORTED)
register_menu(MENU .. "Follow device", guarded(follow_device), MENU_TOOLS_UNSORTED)
register_menu(MENU .. "Help", guarded(help), MENU_TOOLS_UNSORTED)
