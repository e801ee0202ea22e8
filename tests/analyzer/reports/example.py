"""Reports made by hand: every part a report can have, and as many sessions or messages as a test wants."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from analyzer.model import (
    Attempt,
    CaptureReport,
    Certainty,
    Cloud,
    Code,
    Device,
    Ending,
    Evidence,
    Finding,
    Incident,
    InputProblem,
    KeyRow,
    LogLine,
    Message,
    Outcome,
    Proof,
    Remedy,
    Report,
    Role,
    Session,
    Stage,
    Story,
    Tool,
    Totals,
    Verdict,
)
from dissectors.events import Direction, How, Status

UP, DOWN = Direction.UP, Direction.DOWN
DEVICE_ID = "300047001147343332373737"
START = "2026-05-01T23:31:43.000000Z"

MISMATCH = Verdict(
    code=Code.DEVICE_KEY_MISMATCH,
    certainty=Certainty.PROVEN,
    stage="identity",
    frames=(6, 8, 10),
    summary="The cloud has another public key on file for this device, and closed the connection when it saw the difference.",
    evidence=(
        Evidence("frame 8 opens with the cloud's private key and echoes the nonce of frame 6", (6, 8)),
        Evidence("the public key the device sends is the pair of its own private key", (8,)),
        Evidence("the cloud's copy is another key (SHA256:998a8f5cf9896c7d)"),
    ),
    remedy=(
        Remedy(
            "Make the public half of the key the device really holds.",
            ("openssl rsa -inform DER -in device.der -pubout -out device.pub.pem",),
        ),
        Remedy(
            "Particle cloud: `particle keys send` puts it on file.", (f"particle keys send {DEVICE_ID} device.pub.pem",)
        ),
    ),
    device_shows=("LED fast cyan, one red flash", 'log "Unable to receive key -19"'),
)
REJECTED = Verdict(
    code=Code.IDENTITY_REJECTED,
    certainty=Certainty.UNDETERMINED,
    stage="identity",
    frames=(8, 10),
    summary="The cloud closed one round trip after the device identified itself. Four things look exactly like this on the wire.",
    alternatives=(Code.SERVER_KEY_MISMATCH, Code.DEVICE_KEY_MISMATCH, Code.DEVICE_UNKNOWN, Code.SERVER_FAULT),
    would_settle=(
        "the cloud's private key (default_key.pem): it opens frame 8 and tells which",
        "the server's log line at 23:31:43Z",
    ),
    remedy=(Remedy("Check the server key first.", ("particle keys server", f"particle keys doctor {DEVICE_ID}")),),
)
HEALTHY = Verdict(Code.HEALTHY, Certainty.PROVEN, None, (6, 8, 10), "The handshake is complete and the session works.")


def stage(
    name: str,
    status: Status = Status.SEEN,
    direction: Direction = UP,
    frames: tuple[int, ...] = (),
    at: float | None = None,
    size: int = 0,
    **fields: object,
) -> Stage:
    time = None if at is None else f"2026-05-01T23:{31 + int(43 + at) // 60:02d}:{(43 + at) % 60:09.6f}Z"
    return Stage(name, status, direction, frames, time, at, size, fields)  # type: ignore[arg-type]


def session(**changes: object) -> Session:
    """A device whose key the cloud does not know, with everything a session can have."""
    base = Session(
        id="s1",
        transport="tcp",
        protocol="lightssl",
        stream=0,
        filter="tcp.stream eq 0",
        device=Device("192.168.1.50", 58728, DEVICE_ID, "identity", "content"),
        cloud=Cloud("203.0.113.10", 5683, "device.spark.io"),
        first_frame=3,
        last_frame=30,
        start_time=START,
        duration_s=41.2,
        history="nIgf",
        stages=(
            stage("name-resolution", frames=(1, 2), at=0.0, size=64, summary="device.spark.io is 203.0.113.10"),
            stage("connect", frames=(3, 4, 5), at=0.1, syn=2),
            stage("nonce", direction=DOWN, frames=(6,), at=0.318, size=40),
            stage("identity", frames=(8, 9), at=0.402, size=256),
            stage("session-key", Status.PARTIAL, DOWN, (14, 15), 21.1, 300, missing_at=(128, 64)),
            stage("device-hello", Status.MALFORMED, UP, (20,), 21.4, 18, record_bytes=16),
            stage("cloud-hello", Status.ABSENT, DOWN),
            stage("session", Status.ABSENT),
        ),
        attempts=(
            Attempt("identity", "default_key.pem", Outcome.PROVED, Proof.NONCE_ECHO, "opens and echoes the nonce"),
            Attempt("session-key", "other.der", Outcome.REFUTED, Proof.PADDING, "does not open"),
            Attempt("device-hello", "", Outcome.NOT_REACHED),
            Attempt("cloud-hello", "", Outcome.NO_KEY),
            Attempt("session", "x.der", Outcome.UNDECIDED),
        ),
        messages=(
            Message(UP, (20,), "2026-05-01T23:32:04.400000Z", "hello", "product 6, firmware 1", 21.4),
            Message(DOWN, (22,), "2026-05-01T23:32:04.500000Z", "ack", "of message 1", 21.5),
            Message(UP, (24,), "2026-05-01T23:32:05.000000Z", "undecryptable", "the padding is wrong", 22.0),
        ),
        ending=Ending("cloud", How.FIN, 30, 19.1),
        verdict=MISMATCH,
        findings=(Finding("packet-loss", Certainty.INFERRED, "2 segments were sent again", (9, 16)),),
        log=(
            LogLine("device.log", 12, 1127, "nonce", "Started, receive nonce", True),
            LogLine("device.log", 13, 1219, "identity", "Sending encrypted nonce", True),
            LogLine("device.log", 14, 1306, "session-key", "Unable to receive key -19", False),
            LogLine("device.log", 15, 1556, None, "Cloud: disconnecting"),
        ),
        incidents=(
            Incident("retransmission", UP, (9,), 0.9),
            Incident("gap", DOWN, (15,), 21.1, 64),
            Incident("retransmission", DOWN, (16,), 21.2),
            Incident("retransmission", DOWN, (17,), 21.3),
        ),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def capture(*sessions: Session, **changes: object) -> CaptureReport:
    """A capture with these sessions (one if none is given) and one story about all of them."""
    sessions = sessions or (session(),)
    base = CaptureReport(
        path="captures/capture.pcap",
        sha256="ab" * 32,
        format="pcap",
        status="partial",
        problems=(InputProblem("cut-file", "the file ends in the middle of packet 31", 31),),
        packets=31,
        bytes=4_210,
        link_types=("Ethernet",),
        first_time=START,
        last_time="2026-05-01T23:32:24.200000Z",
        sessions=sessions,
        stories=(
            Story(
                DEVICE_ID,
                tuple(item.id for item in sessions),
                len(sessions),
                (2.1,) * (len(sessions) - 1),
                f"{len(sessions)} attempts",
            ),
        ),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


KEYS = (
    KeyRow("default_key.pem", Role.CLOUD_PRIVATE, None, "RSA private key (PKCS#1)", 2048, "6ad243a3002b7727" * 4, "ok"),
    KeyRow(
        f"{DEVICE_ID}.der",
        Role.DEVICE_PRIVATE,
        DEVICE_ID,
        "RSA private key (PKCS#1)",
        1024,
        "5ba2efeaa3c5b0d2" * 4,
        "ok",
    ),
    KeyRow("slot.bin", Role.DEVICE_SERVER_KEY, DEVICE_ID, "blank", None, None, "unusable", "blank flash: all 0xFF"),
)


def report(*captures: CaptureReport, keys: tuple[KeyRow, ...] = KEYS) -> Report:
    """A report on these captures (one if none is given)."""
    captures = captures or (capture(),)
    counts = Counter(item.verdict.code.value for one in captures for item in one.sessions)
    return Report(
        "handshake-report/1",
        Tool("particle-handshake-analyzer", "1.0"),
        keys,
        captures,
        Totals(len(captures), sum(counts.values()), dict(counts)),
    )
