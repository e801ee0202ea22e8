"""Prefix-preserving pseudonyms of IP addresses: Crypto-PAn.

How it works. Bit by bit, an address keeps or flips its bit as a pseudorandom function of all bits before it says. So two
addresses that share a prefix of k bits have pseudonyms that share exactly k bits, and the map is one-to-one: that holds
for any choice of the function. The function is the first bit of AES over the prefix, filled up with a secret pad
(J. Xu, J. Fan, M. Ammar, S. Moon: "Prefix-Preserving IP Address Anonymization", ICNP 2002, and its reference code).

A reader must still see whether an address is private, link-local or a group, because faults depend on it. So the
function is zero (keep the bit) on the way to such a block, which makes the block its own image, and zero inside the
blocks that name nobody (loopback, groups, "this host").
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KEY_SIZE = 32
_BLOCK = 16
Network = IPv4Network | IPv6Network


class CryptoPan:
    """Pseudonyms under a 32-byte key: 16 for AES, 16 that make the pad.

    ``whole``: networks that are mapped onto themselves. ``fixed``: networks whose addresses stay as they are. With
    neither, it is Crypto-PAn as published.
    """

    def __init__(self, key: bytes, *, whole: Iterable[str] = (), fixed: Iterable[str] = ()) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"Crypto-PAn needs a key of {KEY_SIZE} bytes")
        # ECB as a pseudorandom function of single blocks, none of which ever repeats for one address.
        self._cipher = Cipher(algorithms.AES(key[:_BLOCK]), modes.ECB())
        self._pad = int.from_bytes(self._aes(key[_BLOCK:]), "big")
        self._whole = tuple(ip_network(network) for network in whole)
        self._fixed = tuple(ip_network(network) for network in fixed)
        self._known: dict[bytes, bytes] = {}

    def __call__(self, address: bytes) -> bytes:
        """The pseudonym of an address of 4 or 16 bytes."""
        known = self._known.get(address)
        if known is None:
            known = self._known[address] = self._map(address)
        return known

    def _map(self, address: bytes) -> bytes:
        bits = 8 * len(address)
        number = int.from_bytes(address, "big")
        shift = 128 - bits
        blocks = b"".join(self._block(number << shift, length) for length in range(bits))
        out = self._aes(blocks)
        flips = 0
        for position in range(bits):
            if not self._kept(number, bits, position):
                flips |= (out[_BLOCK * position] >> 7) << (bits - 1 - position)
        return (number ^ flips).to_bytes(len(address), "big")

    def _block(self, number: int, length: int) -> bytes:
        """The first ``length`` bits of a left-aligned 128-bit number, the rest from the pad."""
        rest = (1 << (128 - length)) - 1
        return (number & ~rest | self._pad & rest).to_bytes(_BLOCK, "big")

    def _kept(self, number: int, bits: int, position: int) -> bool:
        """Whether the bit behind the first ``position`` bits is kept for the sake of a network."""
        for network in (*self._whole, *self._fixed):
            if network.max_prefixlen != bits:
                continue
            length = min(position, network.prefixlen)
            alike = (number ^ int(network.network_address)) >> (bits - length) == 0
            if alike and (position < network.prefixlen or network in self._fixed):
                return True
        return False

    def _aes(self, data: bytes) -> bytes:
        encryptor = self._cipher.encryptor()
        return encryptor.update(data) + encryptor.finalize()
