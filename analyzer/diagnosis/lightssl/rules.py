"""All that has a say in the verdict on a TCP session, in its order: the first rule that answers gives the verdict.

Two things decide who is asked. Groups stand with the latest stage first, and only the last stage that was reached is
judged: what went over the wire after a stage shows that both sides took it, so a cause that lies in it is not looked for
any more. Within a group the surest rule comes first, and the last one always answers. Rules that need no stage stand
before all others.
"""

from __future__ import annotations

from analyzer.diagnosis import middlebox, neighbours, trial
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.lightssl import folder, identity, opening, session, sessionkey, unopened
from analyzer.diagnosis.lightssl.view import View
from analyzer.diagnosis.rule import Afterwards, Group, Page, Row
from analyzer.model import Code

# fmt: off
ALWAYS: Group[View] = Group(
    "",
    (
        Row(opening.refused,       "is the SYN answered with RST or ICMP?",                   (Code.CONNECT_REFUSED,)),
        Row(opening.unanswered,    "is the SYN not answered at all?",                         (Code.CONNECT_UNANSWERED, Code.CAPTURE_INCOMPLETE)),
        Row(opening.one_direction, "is only one direction in the capture?",                   (Code.CAPTURE_INCOMPLETE,)),
        Row(opening.late_start,    "does the capture start after the handshake?",             (Code.CAPTURE_INCOMPLETE,)),
        Row(opening.somebody_else, "do the first bytes name another protocol or a web page?", (Code.NOT_THE_CLOUD,)),
        Row(opening.sizes_alone,   "are only sizes captured, and are they not a cloud's?",      (Code.CAPTURE_INCOMPLETE,)),
    ),
)
SESSION: Group[View] = Group(
    "cloud-hello",
    (
        Row(session.displaced,      "did the cloud close it as the same id came again?", (Code.SESSION_DISPLACED,)),
        Row(session.came_back,      "had it died when the device came back?",            (Code.SESSION_DROPPED,)),
        Row(session.corrupt_record, "does a record not decrypt or parse?",               (Code.RECORD_CORRUPT,)),
        Row(session.cut,            "is it reset, or does TCP stop acknowledging?",      (Code.SESSION_DROPPED,)),
        Row(session.dumb_server,    "does the cloud ignore several records?",            (Code.SERVER_FAULT, Code.SESSION_DROPPED)),
        Row(session.thrown_out,     "does the cloud end it soon, again and again?",     (Code.SERVER_FAULT, Code.SESSION_DROPPED)),
        Row(session.unseen,         "are both Hellos cut off, so that nothing shows them?", (Code.CAPTURE_INCOMPLETE,)),
        Row(session.healthy,        "otherwise",                                         (Code.HEALTHY,)),
    ),
)
HELLO: Group[View] = Group(
    "device-hello",
    (
        Row(session.corrupt_hello,    "does the device's Hello not decrypt?", (Code.RECORD_CORRUPT,)),
        Row(session.unanswered_hello, "otherwise",                            (Code.HELLO_UNANSWERED, Code.CAPTURE_INCOMPLETE)),
    ),
)
SESSION_KEY: Group[View] = Group(
    "session-key",
    (
        Row(sessionkey.undelivered,                  "did it never reach the device?",                        (Code.NO_SESSION_KEY,)),
        Row(sessionkey.damaged_device_key,           "does only the repaired device key open it?",            (Code.DEVICE_KEY_CORRUPT,)),
        Row(sessionkey.no_key,                       "does the identity show a slot without a key?",          (Code.DEVICE_KEY_CORRUPT,)),
        Row(sessionkey.ends_early,                   "does the capture end before the device can refuse?",    (Code.CAPTURE_INCOMPLETE,)),
        Row(sessionkey.stale_copy,                   "is the cloud's copy not the key the device sends?",     (Code.DEVICE_KEY_MISMATCH,)),
        Row(sessionkey.unusable_device_key,          "is the device's key file unusable?",                    (Code.DEVICE_KEY_CORRUPT,)),
        Row(sessionkey.changed_signature,            "it opens: does one bit put back mend the signature?",   (Code.SESSION_KEY_UNUSABLE,)),
        Row(sessionkey.signed_in_another_form,       "it opens: is it signed in a form devices refuse?",      (Code.SERVER_SIGNATURE_MISMATCH,)),
        Row(sessionkey.signed_by_another,            "it opens: did the stored key not sign it?",             (Code.SERVER_SIGNATURE_MISMATCH,)),
        Row(sessionkey.signature_of_another_message, "it opens: is the signature over something else?",       (Code.SERVER_SIGNATURE_MISMATCH,)),
        Row(sessionkey.signed_by_nobody_known,       "it opens: did no server key in hand sign it?",          (Code.SERVER_SIGNATURE_MISMATCH,)),
        Row(sessionkey.copy_is_another,              "is the cloud's copy not that of the device's file?",    (Code.DEVICE_KEY_MISMATCH,)),
        Row(sessionkey.right_copy,                   "the copy is right: does the device's key not open it?", (Code.SESSION_KEY_UNUSABLE,)),
        Row(sessionkey.changed_session_key,          "it stays shut: does one bit put back open it?",         (Code.SESSION_KEY_UNUSABLE,)),
        Row(sessionkey.not_for_the_device,           "it stays shut: does the device's key not open it?",     (Code.DEVICE_KEY_MISMATCH,)),
        Row(sessionkey.starts_late,                  "does the capture begin with it?",                       (Code.CAPTURE_INCOMPLETE,)),
        Row(sessionkey.gave_up,                      "otherwise",                                             (Code.SESSION_KEY_UNUSABLE,)),
    ),
)
IDENTITY: Group[View] = Group(
    "identity",
    (
        Row(sessionkey.truncated,              "did part of the 384 bytes come?",                   (Code.SESSION_KEY_TRUNCATED, Code.CAPTURE_INCOMPLETE)),
        Row(unopened.undelivered,            "did it never reach the cloud?",                     (Code.NO_SESSION_KEY,)),
        Row(identity.erased_server_key,      "do the factors of an all-FF key open it?",          (Code.SERVER_KEY_ERASED,)),
        Row(identity.no_key_in_slot,         "it opens: is what it sends as its key none?",       (Code.DEVICE_KEY_CORRUPT,)),
        Row(identity.damaged_modulus,        "it opens: does it send a damaged modulus?",         (Code.DEVICE_KEY_CORRUPT,)),
        Row(unopened.ends_early,             "does the capture end before the cloud can refuse?", (Code.CAPTURE_INCOMPLETE,)),
        Row(unopened.silent_cloud,           "did the cloud refuse nothing, and fall silent?",    (Code.NO_SESSION_KEY,)),
        Row(identity.wrong_nonce,            "does it open and echo another nonce?",              (Code.NONCE_MISMATCH,)),
        Row(identity.other_exponent,         "does it open with the exponent of every device only?", (Code.SERVER_FAULT,)),
        Row(identity.key_of_another_cloud,   "does a key open it that is not this cloud's?",      (Code.SERVER_KEY_MISMATCH,)),
        Row(identity.lost_address,           "did it ask for Particle's name with another's key?", (Code.SERVER_KEY_MISMATCH,)),
        Row(identity.older_key_of_the_cloud, "does a key open it that the cloud had before?",     (Code.SERVER_KEY_MISMATCH,)),
        Row(identity.other_key_accepted,     "it opens: does the cloud take another key for this id?", (Code.DEVICE_KEY_MISMATCH,)),
        Row(identity.other_key_on_file,      "it opens: has the cloud another key on file?",      (Code.DEVICE_KEY_MISMATCH,)),
        Row(identity.unknown_device,         "it opens: has the cloud no key on file?",           (Code.DEVICE_UNKNOWN,)),
        Row(identity.server_fault,           "it opens, the copy is right: did the cloud close?", (Code.SERVER_FAULT,)),
        Row(unopened.unusable_cloud_key,     "it stays shut: is the cloud's key of a size for no device?", (Code.SERVER_FAULT,)),
        Row(unopened.other_key_stored,       "it stays shut: is another key stored?",             (Code.SERVER_KEY_MISMATCH,)),
        Row(unopened.changed_on_the_way,     "it stays shut: did it change on the way?",          (Code.IDENTITY_REJECTED,)),
        Row(unopened.not_opened,             "does this cloud's shown key never open it?",        (Code.SERVER_KEY_MISMATCH,)),
        Row(unopened.rejected,               "otherwise",                                         (Code.IDENTITY_REJECTED, Code.DEVICE_KEY_MISMATCH)),
    ),
)
NONCE: Group[View] = Group(
    "nonce",
    (Row(opening.no_identity, "otherwise", (Code.NO_IDENTITY, Code.CAPTURE_INCOMPLETE)),),
)
CONNECTED: Group[View] = Group(
    "",
    (
        Row(opening.answered_too_late,   "did the SYN-ACK come after the device gave up?",  (Code.CONNECT_UNANSWERED,)),
        Row(opening.abandoned,           "does the device close before anything was said?", (Code.SESSION_DROPPED,)),
        Row(opening.closed_before_nonce, "does the other side close?",                      (Code.CLOSED_BEFORE_NONCE,)),
        Row(opening.no_nonce,            "otherwise",                                       (Code.NO_NONCE, Code.CAPTURE_INCOMPLETE)),
    ),
)
# fmt: on
AFTERWARDS: tuple[Afterwards[View], ...] = (
    Afterwards(
        trial.passed, "proven when its claim holds: somebody refused, these bytes, and nothing speaks against it"
    ),
    Afterwards(folder.weighed, "the folder may be another ticket's: at most inferred"),
    Afterwards(
        middlebox.explained,
        "the RST it rests on was forged: undetermined, session-dropped beside it; else only the words change",
    ),
    Afterwards(
        neighbours.weighed,
        "other sessions with this cloud speak for or against its causes: evidence, the order of the alternatives",
    ),
    Afterwards(
        folder.next_fault,
        "what the folder shows beside it: what will fail next when this is mended",
    ),
)
PAGE: Page[View] = Page(
    "a TCP session",
    (ALWAYS, SESSION, HELLO, SESSION_KEY, IDENTITY, NONCE, CONNECTED),
    AFTERWARDS,
)


def judge(view: View) -> Draft:
    """The verdict on one TCP session."""
    return PAGE.judge(view, view.seen)
