"""What a server's log says a connection came to. Never proven: it is the word of a program about what it saw."""

from __future__ import annotations

from dataclasses import dataclass

from analyzer.firmware.serverlines import Says, server_line
from analyzer.model import Certainty, Code
from analyzer.serverlog.records import Connection, Run, ServerLog

#: So many devices, and none that connects, speak for a fault that is not the devices'.
_EVERY = 3
#: How far a session's length may lie from one that is known (s).
_GIVEN_UP = 0.6


@dataclass(frozen=True, slots=True)
class Judged:
    """A connection's fate: the verdict the log speaks for, what else its line allows, and what it cannot be."""

    code: Code
    certainty: Certainty
    summary: str
    stage: str | None
    line: int
    text: str
    alternatives: tuple[Code, ...] = ()
    rules_out: tuple[Code, ...] = ()
    #: It is about the key, unless the message came in pieces.
    whole_only: bool = False
    #: How many devices got this line in the same run of the server, and how many connected.
    peers: int = 0
    connected: int = 0
    #: Steps for exactly this line (`ServerLine.repair`).
    repair: str | None = None

    @property
    def allowed(self) -> frozenset[Code]:
        """Every verdict this line may stand for."""
        return frozenset({self.code, *self.alternatives})


def judge(log: ServerLog, connection: Connection) -> Judged | None:
    """What the log says about one connection; None when it says nothing about how it went."""
    says = connection.says
    if says is None and connection.up:
        return _stood(connection)
    if says is None or says.code is None:
        if connection.ended is not None and connection.ended.code is not None:
            ended = connection.ended
            assert ended.code is not None
            return Judged(
                ended.code, Certainty.UNDETERMINED, ended.summary, None, connection.ended_line, connection.text
            )
        return None
    run = log.runs[min(connection.run, len(log.runs) - 1)] if log.runs else Run()
    peers, up = run.peers[says.name], run.up
    code, certainty, summary, alternatives = says.code, says.certainty, says.summary, says.alternatives
    if says.every is not None and says.kind is Says.FAILED:
        if up:
            # The same server opened others' messages: its key and its runtime are in order.
            alternatives = tuple(item for item in alternatives if item is not Code.SERVER_FAULT)
            summary = f"{summary}; {_devices(up)} connected to this server in the same run"
        elif peers >= (2 if says.every is says.code else _EVERY):
            code = says.every
            # A slot that is erased is one device's.
            alternatives = tuple(
                item for item in (says.code, *says.alternatives) if item not in (code, Code.SERVER_KEY_ERASED)
            )
            both = "both" if peers == 2 else f"all {peers}"
            summary = (
                f"{says.summary}; so it was for {both} devices that called, and none connected: {_ALL[says.every]}"
            )
        elif peers > 1:
            summary = f"{summary}; so it was for both devices that called, and none connected"
    if says.kind is Says.FAULT and says.name == "record-does-not-decrypt" and not connection.up:
        return None
    return Judged(
        code,
        certainty,
        summary,
        says.stage,
        connection.says_line,
        connection.text,
        alternatives,
        says.rules_out,
        says.name == "identity-does-not-open",
        peers,
        up,
        says.repair,
    )


_ALL = {
    Code.SERVER_FAULT: "the cause is the server's rather than each device's",
    Code.SERVER_KEY_MISMATCH: "the server runs on another key than the devices hold",
}


def _stood(connection: Connection) -> Judged:
    ended, silent = connection.ended, server_line("device-silent")
    if ended is not None and ended.name == "ended" and connection.duration_s is not None:
        # Brewskey's server does not print why a session ends; a device that sends nothing is given up after just so long.
        ended = silent if any(abs(connection.duration_s - at) <= _GIVEN_UP for at in silent.lasts) else ended
    if ended is not None and ended.code is not None:
        lasted = f" after {connection.duration_s:.0f} s" if connection.duration_s is not None else ""
        return Judged(
            ended.code,
            ended.certainty,
            f"the device connected; then {ended.summary}{lasted}",
            ended.stage,
            connection.ended_line,
            connection.text,
        )
    says = server_line("up")
    assert says.code is not None
    return Judged(says.code, says.certainty, says.summary, says.stage, connection.up_line, says.summary)


def _devices(count: int) -> str:
    return "another device" if count == 1 else f"{count} other devices"
