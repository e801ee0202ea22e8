"""Could a byte that changed on the way explain it? A flipped byte looks like a wrong key, so a wrong key is not proven before this is excluded.

What it costs, and why it is not cheaper. Each of the 2,048 bits of an identity is put back and the result decrypted: half
a second of OpenSSL where nothing else settles it. What settles it before: the stored server key in the folder, or a
second session of the device that fails alike (a wrong key fails every time). What does not:

* A right TCP checksum. It excludes a flipped bit only where nobody recomputed it behind the damage, and a NAT, a proxy
  or the sender's own memory do: such a session would be called a wrong key, *proven*.
* Arithmetic. (c + 2^i)^d has no relation to c^d, the exponent is the same but every base is another; residue symbols
  are cheap but those of the plaintext are unknown, for 300 bits or more of it are random padding; modulo one prime alone
  those bits leave every candidate possible. So each takes a private operation.
* Sessions in other captures. An address in two captures need not be the same device, and what a report says must not
  depend on which captures were analysed with it.
"""

from __future__ import annotations

from analyzer.decrypt.lightssl import IDENTITY_SIZES, SESSION_KEY_SIZES
from analyzer.diagnosis.lightssl.view import View
from analyzer.keys import Key
from dissectors.lightssl import crypto
from dissectors.lightssl.messages import Credentials, IdentityPlaintext

#: RSA operations one search may cost: all 2,048 single bits of an identity, all 1,024 of a session key.
_BUDGET = 2_100


def could_be_transit(view: View, key: Key) -> bool:
    """Whether the identity may have been damaged: its TCP checksum fails, or one flipped bit makes it open."""
    if set(view.conversation.facts.checksum_bad) & set(view.frames("identity")):
        return True
    return identity_flip(view, key) is not None


def identity_flip(view: View, key: Key) -> str | None:
    """The single changed bit or byte under which the identity opens and echoes the nonce, in words."""
    nonce, data = view.step("nonce").data, view.step("identity").data
    rsa = key.rsa
    if rsa is None or not view.whole("nonce") or not view.whole("identity"):
        return None

    def opens(candidate: bytes) -> bool:
        if not rsa.may_open(candidate, IDENTITY_SIZES, nonce):
            return False
        opened = crypto.open_identity(candidate, rsa.raw_private, rsa.n)
        return isinstance(opened, IdentityPlaintext) and opened.nonce == nonce

    return _described(crypto.search_flip(data, opens, _BUDGET))


def session_key_flip(view: View, key: Key) -> str | None:
    """The single changed bit or byte under which the session key opens, in words."""
    data = view.step("session-key").data
    rsa = key.rsa
    if rsa is None or not view.whole("session-key"):
        return None
    digests = [
        digest
        for server in view.server_keys
        if server.rsa and (digest := crypto.open_signature(data[128:], server.rsa.n)) is not None
    ]

    def opens(candidate: bytes) -> bool:
        opened = (
            crypto.open_session_key(candidate, rsa.raw_private) if rsa.may_open(candidate, SESSION_KEY_SIZES) else None
        )
        if not isinstance(opened, Credentials):
            return False
        # Without a server key the 40-byte length is the only check left; by chance one search in 25,000 passes it.
        return crypto.session_hmac(opened, candidate) in digests if digests else True

    return _described(crypto.search_flip(data[:128], opens, _BUDGET))


def signature_flip(view: View, server: Key) -> str | None:
    """The single changed bit or byte under which the session key's signature is by ``server``, in words."""
    data = view.step("session-key").data
    rsa = server.rsa
    if rsa is None or not view.whole("session-key"):
        return None
    flip = crypto.search_flip(
        data[128:], lambda candidate: crypto.open_signature(candidate, rsa.n) is not None, _BUDGET
    )
    return None if flip is None else f"byte {flip.offset + 128} reads {flip.captured:02x} and was {flip.sent:02x}"


def _described(flip: crypto.Flip | None) -> str | None:
    return None if flip is None else f"byte {flip.offset} reads {flip.captured:02x} and was {flip.sent:02x}"
