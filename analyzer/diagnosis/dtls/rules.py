"""All that has a say in the verdict on a DTLS session, in its order: the first rule that answers gives the verdict.

Groups of later stages stand first and are asked where their stage was reached: what was completed excuses what went
before it. Unlike on TCP a group may have nothing to say; then the next one is asked. The last rule always answers.
"""

from __future__ import annotations

from dataclasses import replace

from analyzer.diagnosis import sound
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.dtls import causes, device, opening, resumed, server, session
from analyzer.diagnosis.dtls.findings import findings
from analyzer.diagnosis.dtls.view import View
from analyzer.diagnosis.rule import Afterwards, Group, Page, Row
from analyzer.diagnosis.trial import tried
from analyzer.model import Code

#: In the place of a stage: the cloud answered on the session.
UP = "session-up"

CORRUPT: Row[View] = Row(
    session.corrupt_record, "does a record not verify while its neighbours do?", (Code.RECORD_CORRUPT,)
)
CLOSED: Row[View] = Row(session.closed, "is it ended by an alert or a reset?", (Code.SESSION_DROPPED,))
SILENT: Row[View] = Row(session.gone_silent, "does the cloud stop answering?", (Code.SESSION_DROPPED,))
OTHER_KEY: Row[View] = Row(
    device.other_key_on_file, "is the cloud's copy not the key the device shows?", (Code.DEVICE_KEY_MISMATCH,)
)
UNKNOWN: Row[View] = Row(
    device.unknown_device, "does the cloud have copies, and none of this id?", (Code.DEVICE_UNKNOWN,)
)


def weighed(view: View, draft: Draft) -> Draft:
    """The certainty that the claim of a rule can bear (`trial`)."""
    return tried(draft, view.standing)


AFTERWARDS: tuple[Afterwards[View], ...] = (
    Afterwards(
        weighed, "proven only what was refused, having been received, by the side that would, with nothing against it"
    ),
    Afterwards(sound.datagrams, "a UDP checksum fails in the frames it rests on: at most inferred"),
    Afterwards(causes.weighed, "the case for and against each alternative"),
)
# fmt: off
#: A session that was resumed: there is no handshake to judge.
RESUMED: Page[View] = Page(
    "a UDP session that is resumed",
    (
        Group(
            "",
            (
                Row(resumed.unseen,     "is nothing of the device in the capture?",          (Code.CAPTURE_INCOMPLETE,)),
                CORRUPT,
                Row(resumed.refused,    "is an alert the only answer?",                      (Code.SESSION_LOST,)),
                Row(resumed.unanswered, "is there no answer at all?",                        (Code.SESSION_LOST, Code.CAPTURE_INCOMPLETE)),
                CLOSED,
                SILENT,
                Row(resumed.late_start, "does nothing tell it from a session begun before?", (Code.CAPTURE_INCOMPLETE,)),
                Row(resumed.healthy,    "otherwise",                                         (Code.HEALTHY,)),
            ),
        ),
    ),
    AFTERWARDS,
)
HANDSHAKE: Page[View] = Page(
    "a DTLS handshake",
    (
        Group("", (CORRUPT,)),
        Group(
            UP,
            (
                Row(session.displaced, "did the cloud end it as the same id came again?", (Code.SESSION_DISPLACED,)),
                CLOSED,
                SILENT,
                Row(session.healthy,   "otherwise",                                       (Code.HEALTHY,)),
            ),
        ),
        Group(
            "",
            (
                Row(opening.one_direction, "is only one direction in the capture?",         (Code.CAPTURE_INCOMPLETE,)),
                Row(opening.cut_packets,   "is the ClientHello not whole?",                 (Code.CAPTURE_INCOMPLETE,)),
                Row(opening.late_start,    "does the capture start in mid-handshake?",      (Code.CAPTURE_INCOMPLETE,)),
                Row(server.undelivered,    "does the device repeat its ClientHello behind the answer?", (Code.HANDSHAKE_STALLED,)),
                Row(opening.wrong_profile, "does the server not speak Particle's profile?", (Code.PROFILE_MISMATCH,)),
            ),
        ),
        Group(
            "cloud-finished",
            (
                OTHER_KEY,
                UNKNOWN,
                Row(session.ended_at_once,    "does an alert end it before the Hello?",        (Code.HANDSHAKE_REJECTED,)),
                Row(session.hello_to_come,    "does the capture end before the Hello is due?", (Code.HEALTHY, Code.CAPTURE_INCOMPLETE)),
                Row(session.no_hello,         "does the device say no Hello?",                 (Code.HANDSHAKE_STALLED,)),
                Row(session.unanswered_hello, "is the Hello not acknowledged?",                (Code.HELLO_UNANSWERED, Code.CAPTURE_INCOMPLETE)),
            ),
        ),
        Group(
            "device-certificate",
            (
                Row(device.altered,     "was the device's Certificate changed on the way?", (Code.HANDSHAKE_REJECTED, Code.HANDSHAKE_STALLED)),
                Row(device.damaged_key, "does CertificateVerify fail under the key the device shows?", (Code.DEVICE_KEY_CORRUPT,)),
                OTHER_KEY,
                UNKNOWN,
            ),
        ),
        Group(
            "",
            (
                Row(device.undelivered,           "does the cloud repeat its answer behind the device's flight?",          (Code.HANDSHAKE_STALLED,)),
                Row(device.rejected,              "does the cloud send an alert behind its answer?",                       (Code.HANDSHAKE_REJECTED,)),
                Row(device.stalled,               "does the device go on, and the cloud never finish?",                    (Code.HANDSHAKE_STALLED, Code.CAPTURE_INCOMPLETE)),
                Row(server.altered,               "was the answer changed on the way?",                                    (Code.HANDSHAKE_REJECTED, Code.HANDSHAKE_STALLED)),
                Row(server.wrong_server_key,      "is the answer signed, and not by the stored key?",                      (Code.SERVER_KEY_MISMATCH,)),
                Row(server.cloud_key_changed,     "did it get in while the cloud signed with another key?",                (Code.SERVER_KEY_MISMATCH,)),
                Row(server.device_says_so,        "does the device answer with alert 51?",                                 (Code.SERVER_KEY_MISMATCH,)),
                Row(server.another_server,        "the stored key is this cloud's: is the answer signed by nobody known?", (Code.HANDSHAKE_STALLED,)),
                Row(server.unknown_signature,     "is the answer signed by nobody known?",                                 (Code.SERVER_KEY_MISMATCH,)),
                Row(server.erased_server_key,     "is the stored key no key?",                                             (Code.SERVER_KEY_ERASED,)),
                Row(server.one_of_these,          "the device is unknown: is a stored key of the folder refuted?",         (Code.SERVER_KEY_MISMATCH,)),
                Row(server.refused_by_device,     "does the device send another alert?",                                   (Code.HANDSHAKE_REJECTED, Code.PROFILE_MISMATCH)),
                Row(server.stalled,               "does the device not take the answer?",                                  (Code.HANDSHAKE_STALLED, Code.CAPTURE_INCOMPLETE)),
                Row(opening.refused,              "is the ClientHello answered with ICMP?",                                (Code.CONNECT_REFUSED,)),
                Row(opening.rejected_at_once,     "is it answered with a fatal alert?",                                    (Code.HANDSHAKE_REJECTED,)),
                Row(opening.repeated_certificate, "does the cloud repeat a certificate of an earlier attempt?",            (Code.PROFILE_MISMATCH,)),
                Row(opening.repeated_answer,      "does the cloud only repeat an earlier attempt's answer?",               (Code.HANDSHAKE_STALLED,)),
                Row(opening.after_cookie,         "does it end behind the cookie?",                                        (Code.HANDSHAKE_STALLED, Code.CAPTURE_INCOMPLETE)),
                Row(opening.somebody_else,        "is what comes back no DTLS?",                                           (Code.NOT_THE_CLOUD,)),
                Row(opening.unanswered,           "is the ClientHello not answered at all?",                               (Code.CONNECT_UNANSWERED, Code.CAPTURE_INCOMPLETE)),
                Row(opening.untold,               "otherwise",                                                             (Code.CAPTURE_INCOMPLETE,)),
            ),
        ),
    ),
    AFTERWARDS,
)
# fmt: on


def judge(view: View) -> Draft:
    """The verdict on one DTLS session, with the findings of this attempt."""
    page = RESUMED if view.attempt.kind == "resumed" else HANDSHAKE
    draft = page.judge(view, lambda need: view.session_up if need == UP else view.seen(need))
    return replace(draft, findings=(*draft.findings, *findings(view, draft)))
