"""Verdict rules for the RSA/AES handshake over TCP."""
