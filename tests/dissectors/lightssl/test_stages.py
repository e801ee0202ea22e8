"""The table is consistent: it can be read as the protocol."""

from __future__ import annotations

from dissectors.events import Direction, Mark
from dissectors.lightssl.stages import HEAD_KEPT, HELLO, ODD_SESSION_KEY, STAGE, STAGES, Lane


def test_each_stage_answers_the_one_before_it() -> None:
    assert [stage.name for stage in STAGES] == [
        "nonce",
        "identity",
        "session-key",
        "device-hello",
        "cloud-hello",
        "session",
    ]
    assert [stage.after for stage in STAGES] == [None, *(stage.name for stage in STAGES[:-1])]
    assert len({stage.letter.lower() for stage in STAGES}) == len(STAGES) - 1, "both Hellos share a letter"
    for stage in STAGES:
        assert stage.letter.isupper() is (stage.direction is Direction.UP)


def test_sizes_are_those_of_the_protocol() -> None:
    """40 bytes; RSA-2048; RSA-1024 and RSA-2048; then records."""
    assert {stage.name: stage.size for stage in STAGES if stage.size} == {
        "nonce": 40,
        "identity": 2048 // 8,
        "session-key": 1024 // 8 + 2048 // 8,
    }
    assert all(max(sizes) < (STAGE["session-key"].size or 0) for sizes in ODD_SESSION_KEY)


def test_a_hello_is_the_first_record_of_its_direction() -> None:
    for direction in Direction:
        assert HELLO[direction].direction is direction
        assert HELLO[direction].size is None


def test_a_lane_collects_its_own_stages_only() -> None:
    assert [leg.stage.name for leg in Lane(Direction.UP, STAGES, aligned=True).legs] == ["identity"]
    down = Lane(Direction.DOWN, STAGES, aligned=True)
    assert [leg.stage.name for leg in down.legs] == ["nonce", "session-key"]
    assert down.leg("identity") is None


def test_a_leg_takes_and_skips_to_its_size_and_no_further() -> None:
    leg = Lane(Direction.DOWN, STAGES, aligned=True).legs[0]
    assert leg.take(bytes(30), Mark((1,), 1), 1) == 30
    assert leg.skip(4, 2) == 4
    assert leg.take(bytes(30), Mark((2,), 2), 3) == 6
    assert (leg.take(b"x", Mark((3,), 3), 4), leg.skip(9, 5)) == (0, 0)
    assert (leg.complete, leg.missing, leg.holes, leg.frames) == (True, 4, [(30, 4)], (1, 2))


def test_the_head_is_bounded_and_ends_at_a_gap() -> None:
    lane = Lane(Direction.UP, STAGES, aligned=True)
    for _ in range(10):
        lane.keep_head(bytes(1000))
    assert (len(lane.head), lane.bytes) == (HEAD_KEPT, 10_000)
    other = Lane(Direction.UP, STAGES, aligned=True)
    other.keep_head(b"ab")
    other.head_open = False
    other.keep_head(b"cd")
    assert bytes(other.head) == b"ab"
