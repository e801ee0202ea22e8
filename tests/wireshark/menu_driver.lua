-- Stands in for Wireshark's windows, so that the menu can be used without a screen: every action of the menu is called
-- once, and what it shows is printed. The packets "open" are those of the file in PARTICLE_CAPTURE.
local capture, folder = os.getenv("PARTICLE_CAPTURE"), os.getenv("PARTICLE_KEYS")
local program, frame = os.getenv("PARTICLE_PROGRAM"), tonumber(os.getenv("PARTICLE_FRAME"))
local actions, filter, written, shown = {}, "", {}, nil

function gui_enabled()
  return true
end
function register_menu(name, action)
  actions[string.match(name, "/(.*)$")] = action
end
function get_preference(name)
  return ({ ["particle.keys"] = folder, ["particle.program"] = program })[name]
end
function set_filter(text)
  filter = text
end
function get_filter()
  return filter
end
function apply_filter()
  print("filter: " .. filter)
end
function open_capture_file(name)
  local file = assert(io.open(name, "rb"))
  print("opened: " .. #file:read("*a") .. " bytes")
  file:close()
  written[#written + 1] = name
end
ProgDlg = { new = function() return { update = function() end, close = function() end } end }
TextWindow = {
  new = function(title)
    print("window: " .. title)
    return {
      set = function(_, text) print(text) end,
      add_button = function(_, label, press) print("button: " .. label); shown = shown or press end,
    }
  end,
}
Field = {
  new = function()
    return function()
      return { value = 1 }
    end
  end,
}
local tap = {}
Listener = { new = function() return setmetatable(tap, { __index = { remove = function() end } }) end }
Dumper = {
  new = function(name)
    written[#written + 1] = name
    local from, to = assert(io.open(capture, "rb")), assert(io.open(name, "wb"))
    to:write(from:read("*a"))
    from:close()
    to:close()
    return { dump_current = function() end, close = function() end }
  end,
}
function retap_packets()
  tap.packet({})
end
local draw
local proto = Proto
function Proto(...)
  local made = proto(...)
  return setmetatable({}, {
    __newindex = function(_, name, value)
      if name == "dissector" then
        draw = value
      end
    end,
    __index = made,
  })
end
function register_postdissector() end

-- Wireshark gives each script an environment of its own.
local menu = assert(io.open(os.getenv("PARTICLE_MENU")))
assert(load(menu:read("*a"), "particle_menu", "t", _ENV))()
menu:close()
draw(nil, { visited = true, number = frame, src = "10.77.0.11", dst = "10.77.0.1", src_port = 5784, dst_port = 5684 }, { visible = true })
for _, name in ipairs({ "Why can't it connect?", "Explain this packet", "Follow device", "Open annotated copy", "Help" }) do
  print("action: " .. name)
  actions[name]()
end
if shown then
  shown()
end
for _, name in ipairs(written) do
  local left = io.open(name, "rb")
  print((left and "left: " or "gone: ") .. name)
  if left then
    left:close()
  end
end
