"""Whether a line is a server's: words that only the open servers' logs hold, whatever stands before them."""

from __future__ import annotations

from enum import StrEnum

#: A module's name in bunyan's records, or a sentence that no device and no tool prints.
_SURE = (
    *('"name":"DeviceServer.js"', '"name":"Device.js"', '"name":"Handshake.js"', '"name":"CryptoStream.js"'),
    *('"name":"CryptoManager.js"', '"name":"ChunkingStream.js"', '"name":"main.js"', '"name":"WebhookManager.js"'),
    *("DeviceServer.js/", "Handshake.js/", "Device.js/", " DeviceServer.js:", " Handshake.js:", " Device.js:"),
    *("Connection from: ", "Core disconnected: ", "Device disconnected", "Session ended for ", "Core online!"),
    *("Device online!", "handshake data decryption failed", "get_hello timed out", "read_coreid timed out"),
    *("Loading server key from", "Device startup failed", "core startup failed", "Your device server IP address"),
    *("key passed to device during handshake", "no public key found for device", "static class init!"),
    *("onSocketData called", "Handshake decryption error", "couldn't find key for core", "wrong device public keys"),
    *("server started {", "Server started on port", "Device was already connected", "I saved a key given during"),
    *("Expected to find public key for core", "Failed handling find key for core", "RSA_padding_check_PKCS1"),
    *("CryptoStream transform error", "RSA_PKCS1_PADDING is no longer supported", "Handshake did not complete in"),
    *("Bad Counter", "RSA_EAY_PRIVATE_DECRYPT", "oaep decoding error", "Hey! That's not a key BRO"),
    *("Creating NEW server key", "Error during decryption (probably incorrect key)", "plaintext was "),
)


class Sign(StrEnum):
    """What a line is a sign of."""

    SERVER = "server"


def sign_of(line: str) -> Sign | None:
    """Whether ``line`` can only be a server's. Cheap: for every line until one is found."""
    return Sign.SERVER if any(word in line for word in _SURE) else None
