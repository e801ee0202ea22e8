"""The firmware's internet test, and what its outcome makes the device show."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from ipaddress import ip_address

from analyzer.case import Case
from analyzer.diagnosis.context import Context
from analyzer.diagnosis.draft import Draft
from analyzer.diagnosis.patience import TEST_WATCH, TEST_WITHIN
from analyzer.model import Certainty, Code, Finding
from analyzer.names import Probe

_WITHIN_NS = int(TEST_WITHIN * 1e9)
_LOOKED_AT = 16
_WATCH_NS = int(TEST_WATCH * 1e9)


def internet_test(case: Case, draft: Draft, context: Context) -> Finding | None:
    """``internet-test``: the device looked whether there is an internet at all, and found or did not find it."""
    if draft.code is Code.HEALTHY or not context.probes:
        return None
    probe = _of(case, context)
    if probe is None:
        return None
    if probe.kind == "tcp":
        what, eras = "a connection to 8.8.8.8:53", "firmware 0.4.4 to 1.5"
    else:
        what, eras = f"the time from {ip_address(probe.server)} (NTP)", "firmware 2.0 and later"
    if probe.answered:
        text = f"{what} is answered: there is an internet, only the cloud is not reached; the device shows three orange blinks"
    elif probe.answered is False or context.end_ns - probe.time_ns >= _WATCH_NS:
        how = "refused" if probe.answered is False else "not answered"
        text = f"{what} is {how}: nothing behind this network can be reached; the device shows two orange blinks"
    else:
        text = f"{what} has no answer yet when the capture ends"
    said = f"after the failure the device tests the internet ({eras}): {text}"
    return Finding("internet-test", Certainty.INFERRED, said, probe.frames)


def _of(case: Case, context: Context) -> Probe | None:
    """The first test of this device between this attempt and its next one."""
    probes = context.probes_of(ip_address(case.device.address).packed)
    place = bisect_left(probes, case.start_ns, key=_time)
    if place == len(probes):
        return None
    starts = context.starts_at(case.device.address)
    after = bisect_right(starts, case.start_ns)
    until = min([*starts[after : after + 1], case.end_ns + _WITHIN_NS])
    for probe in probes[place : place + _LOOKED_AT]:
        # Other programs ask for the time too: only a question that follows a failed attempt at once is this test.
        late = probe.kind == "ntp" and probe.time_ns - case.end_ns > _WITHIN_NS // 2
        if probe.time_ns <= until and not late:
            return probe
    return None


def _time(probe: Probe) -> int:
    return probe.time_ns
