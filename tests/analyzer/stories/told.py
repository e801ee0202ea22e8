"""Sessions made by hand, as few words as a story needs."""

from __future__ import annotations

from analyzer.model import Certainty, Cloud, Code, Device, Ending, Session, Stage, Verdict
from analyzer.times import rfc3339
from dissectors.events import Direction, How, Status

DAY = 1_772_438_400
ID = "300047001147343332373737"
OTHER = "45002b001147343335393534"


def session(
    number: int,
    at: float,
    code: Code = Code.SERVER_KEY_MISMATCH,
    *,
    device: str | None = ID,
    source: str = "identity",
    address: str = "192.168.1.50",
    cloud: str = "203.0.113.10",
    key: str | None = None,
    took: float = 0.2,
    led: float = 0.25,
    udp: bool = False,
    how: How = How.FIN,
    fields: dict[str, str] | None = None,
) -> Session:
    """A session that begins ``at`` seconds, whose cloud closes after ``took`` and whose device closes ``led`` later."""
    shown = {**({"fingerprint": key} if key else {}), **(fields or {})}
    stage = "client-hello" if udp else "identity"
    up = Code.HEALTHY is code or Code.SESSION_DISPLACED is code
    stages = [Stage(stage, Status.SEEN, Direction.UP, offset_s=took / 2, fields=shown)]
    stages.append(Stage("hello-ack" if udp else "cloud-hello", Status.SEEN if up else Status.ABSENT, Direction.DOWN))
    return Session(
        id=f"s{number}",
        transport="udp" if udp else "tcp",
        protocol="dtls" if udp else "lightssl",
        stream=number,
        filter="",
        device=Device(address, 50_000 + number, device, source if device else None),
        cloud=Cloud(cloud, 5684 if udp else 5683),
        first_frame=number * 10 + 1,
        last_frame=number * 10 + 9,
        start_time=rfc3339(round((DAY + at) * 1e9)),
        duration_s=took + led,
        history="",
        stages=tuple(stages),
        attempts=(),
        messages=(),
        ending=Ending("cloud", how, None, took / 2),
        verdict=Verdict(code, Certainty.INFERRED, stage, (), ""),
    )


def streak(first_failure: int, count: int, **options: object) -> list[Session]:
    """``count`` failing sessions that wait as the firmware does, the first being failure ``first_failure`` in a row.

    1000 * (1 << min(7, (n - 1) / 5)) ms after the n-th failure: device-os system/src/system_utilities.cpp@v0.6.3.
    """
    at, found = 100.0, []
    for index in range(count):
        found.append(session(index + 1, at, **options))  # type: ignore[arg-type]  # options are session's
        at += 0.2 + (1 << min(7, (first_failure + index - 1) // 5))
    return found
