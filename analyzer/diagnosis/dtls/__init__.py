"""Verdict rules of the DTLS handshake: raw public keys, signatures in the clear, sessions that outlive an address."""
