"""What Wireshark gets from us: the Lua dissector and menu, a profile, a source of packets; where each belongs."""

from __future__ import annotations

from analyzer.wireshark.folders import Place, default_folder, places, plugin_folders
from analyzer.wireshark.installation import State, install, install_all, present, uninstall
from analyzer.wireshark.pieces import MENU, NAME, lua_path, lua_version

__all__ = [
    "MENU",
    "NAME",
    "Place",
    "State",
    "default_folder",
    "install",
    "install_all",
    "lua_path",
    "lua_version",
    "places",
    "plugin_folders",
    "present",
    "uninstall",
]
