"""DTLS 1.2 as Particle devices speak it: raw public keys, one cipher suite, sessions that outlive an address."""
