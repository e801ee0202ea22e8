"""The case for and the case against each cause of one symptom, where the verdict leaves the choice open.

A cause is listed as long as nothing excludes it. What speaks for it moves it to the front, what speaks against it to the
end: the order is the one in which to look.
"""

from __future__ import annotations

from analyzer.decrypt.lightssl import server_private_keys
from analyzer.diagnosis.context import name
from analyzer.diagnosis.lightssl.view import Delivery, View
from analyzer.model import Cause, Code, Evidence
from dissectors.events import Direction, How


def of_refused_identity(view: View) -> tuple[Cause, ...]:
    """Causes of an end right after the device's 256 bytes, likeliest first."""
    found = [*_keys(view), *_others(view)]
    return tuple(sorted(found, key=lambda cause: len(cause.con) - len(cause.pro)))


def _keys(view: View) -> list[Cause]:
    opening, gets_in = view.decryption.identity, tuple(view.gets_in)
    found: list[Cause] = []
    if all(view.through):
        return found  # the keys are accepted before and after: they are right
    if opening is None or not opening.nonce_echoed:
        unopened = view.refuted_cloud_key
        pro = []
        if unopened is not None:
            text = f"{name(unopened.key)} does not open what the device sent"
            pro.append(Evidence(text, view.frames("identity")))
        found.append(Cause(Code.SERVER_KEY_MISMATCH, tuple(pro), gets_in))
        if not view.whole("identity"):
            text = "bytes of the message are missing: whether a blank key opens it cannot be tried"
            found.append(Cause(Code.SERVER_KEY_ERASED, (), (Evidence(text),)))
    elif _folder_has_another_cloud_key(view):
        text = "the key folder holds another cloud key as well: the server may run on that one by now"
        found.append(Cause(Code.SERVER_KEY_MISMATCH, (Evidence(text),)))
    found.append(Cause(Code.DEVICE_KEY_MISMATCH, tuple(_files(view)), gets_in))
    found.append(Cause(Code.DEVICE_UNKNOWN, (), gets_in))
    if opening is None:
        private = view.device_private
        bad = private is not None and private.status != "ok"
        text = f"the device's key file {private.file} is not usable: {private.problem}" if private is not None else ""
        found.append(Cause(Code.DEVICE_KEY_CORRUPT, (Evidence(text),) if bad else (), gets_in))
    return found


def _files(view: View) -> list[Evidence]:
    """What the files say of the cloud's record of this device."""
    copy, private, mine = view.cloud_copy, view.device_private, view.tail_fingerprint
    if copy is None:
        return []
    if mine is not None:
        if view.same_pair(copy, mine):
            return []
        return [Evidence(f"{copy.file} is another key than the device sends", view.frames("identity"))]
    if private is not None and private.status == "ok" and private.fingerprint != copy.fingerprint:
        return [Evidence(f"the cloud's {copy.file} is not the pair of the device's {private.file}")]
    return []


def _others(view: View) -> list[Cause]:
    close = view.first_close
    reset = close is not None and close.how is How.RST
    gets_in = tuple(view.gets_in)
    server = list(gets_in)
    network: list[Evidence] = []
    if view.delivery("identity") is Delivery.PARTLY and close is not None:
        text = f"it had received {view.conversation.facts.up.acked} of the 256 bytes when it closed: both open servers read only once and fail on part of a message"
        server.append(Evidence(text, close.mark.frames))
    if reset and close is not None:
        text = "both open servers end a handshake they refuse with a FIN; a reset is a process that died, or something in between"
        network.append(Evidence(text, close.mark.frames))
    found = [Cause(Code.SERVER_FAULT, tuple(server))]
    if view.nearer is not None:
        found.append(Cause(Code.NOT_THE_CLOUD, (view.nearer,)))
        network.append(view.nearer)
    unread = view.decryption.identity is None and not all(view.through)
    if network or unread or view.delivery("identity") is not Delivery.ARRIVED:
        found.append(Cause(Code.SESSION_DROPPED, tuple(network)))
    return found if close is None or close.direction is Direction.DOWN else found[:1]


def _folder_has_another_cloud_key(view: View) -> bool:
    opening = view.decryption.identity
    key = opening.key if opening is not None else None
    return any(other.fingerprint != (key.fingerprint if key else None) for other in server_private_keys(view.ring))


def of_unused_session_key(view: View) -> tuple[Cause, ...]:
    """Causes of a device that does not go on behind the cloud's 384 bytes, likeliest first."""
    session, gets_in, frames = view.decryption.session, tuple(view.gets_in), view.frames("session-key")
    opens = (Evidence(f"{name(session.key)} opens it", frames),) if session is not None else ()
    found: list[Cause] = []
    cleared = all(view.through)
    if session is None and not cleared:
        found.append(Cause(Code.DEVICE_KEY_MISMATCH, tuple(_files(view)), gets_in))
        found.append(Cause(Code.DEVICE_KEY_CORRUPT, (), gets_in))
    if (session is None or session.hmac is not True) and not cleared:
        signer = view.decryption.signer
        pro = (*opens, *((Evidence(f"signed with {name(signer)}", frames),) if signer is not None else ()))
        found.append(Cause(Code.SERVER_SIGNATURE_MISMATCH, pro if session is not None else (), gets_in))
    refused = view.refused_by is Direction.UP
    lost = () if refused else (Evidence("the device refused nothing: it did not close by itself at once"),)
    network = Cause(Code.SESSION_DROPPED, (*opens, *gets_in, *lost))
    if session is not None or gets_in or not refused or view.delivery("session-key") is not Delivery.ARRIVED:
        found.append(network)
    return tuple(sorted(found, key=lambda cause: len(cause.con) - len(cause.pro)))
