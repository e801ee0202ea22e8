"""Pure protocol knowledge: bytes in, facts out. No files, clocks, networks, keys on disk; never imports ``analyzer``."""
