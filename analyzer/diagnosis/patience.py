"""How long a capture must have watched before a rule calls something a silence, and what counts as "at once".

Ours to choose, unlike the timers of device and cloud (firmware/timers.toml): long enough that a slow network is no fault,
short enough that a capture of one attempt is worth a verdict. In seconds.
"""

from __future__ import annotations

from typing import Final

#: A SYN or a flight of DTLS: TCP repeats a SYN after a second, a round trip over a cellular network takes less.
CONNECT_WATCH: Final = 1.0
#: Nonce, identity and session key: both open servers and the device answer in milliseconds, RSA on a Core takes a second
#: or two. A device waits `device-receive` for them, a user who stops the capture does not.
ANSWER_WATCH: Final = 5.0
#: A refusal comes at once: both open servers and the device decide in milliseconds (a Core in a second or two). What ends
#: later than this was not refused, something waited and gave up.
REFUSED_WITHIN: Final = 5.0
#: A SYN-ACK that comes this much before the device's `connect` timer may be too late: the timer ran before the SYN.
CONNECT_EARLY: Final = 1.0
#: A device that closes sooner than this after the connect had another reason than its `device-receive` timer.
ABANDON_WITHIN: Final = 3.0
#: Both open servers drop the older session of an id as soon as the newer one is up; observed within a second.
DISPLACED_WITHIN: Final = 5.0
#: Records that a cloud leaves unanswered for less than this may be answered late.
IGNORED_WATCH: Final = 5.0
#: How close a close must come to a server's timer to be called it: it counts from its own receipt.
NEAR_TIMER: Final = 1.5
#: The internet test follows a failure at once; the longest attempt (`dtls-retransmit-long`) ends well within this.
TEST_WITHIN: Final = 60.0
#: An internet test with less of the capture behind it is not unanswered yet.
TEST_WATCH: Final = 3.0
