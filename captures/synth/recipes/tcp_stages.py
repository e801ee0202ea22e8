"""TCP: where a handshake can stop, whoever stops it."""

from __future__ import annotations

from captures.synth import wire
from captures.synth.case import Case, Lab, case, expect, pcap
from captures.synth.lightssl import Channel, Credentials
from captures.synth.names import clock, internet_test, resolve
from captures.synth.recipes.tcp_keys import HEALTHY, LOOKS_HEALTHY, REJECTED
from captures.synth.scene import Scene, sound, ticket
from captures.synth.talk import CLOUD, DEVICE, Host, TcpTalk
from captures.synth.wire import ACK, FIN, PSH, RST, SYN


def stranger(lab: Lab, truth: str, first: bytes, then: bytes = b"", *, delay: float = 0.2) -> Case:
    """Something else answers with ``first``; a device that got 40 bytes takes them for a nonce and sends its 256."""
    device, server, key = sound(lab)
    trace = lab.trace()
    resolve(lab, trace, "device.spark.io", ["203.0.113.10"])
    scene = Scene(lab, device, server, key.n, trace=trace).connect()
    trace.wait(delay)
    scene.talk.say(CLOUD, first)
    if len(first) >= 40:
        trace.wait(0.036)
        scene.talk.say(DEVICE, device.identity(first[:40], lab.rng))
        trace.wait(0.002)
    if then:
        scene.talk.say(CLOUD, then)
    scene.rejected()
    answer = expect("not-the-cloud")
    return Case(truth, pcap(trace), ticket(device, None, None), answer, answer)


@case("synth-captive-portal", "Fast cyan in a hotel, works at home.")
def portal(lab: Lab) -> Case:
    page = (
        b"HTTP/1.1 302 Found\r\nLocation: http://login.guest.example/?orig=203.0.113.10\r\n"
        b"Content-Length: 0\r\nConnection: close\r\n\r\n"
    )
    return stranger(lab, "a captive portal answers every TCP connection with an HTTP redirect", page)


@case("synth-tls-server", "Port 5683 forwarded to the wrong machine.")
def tls(lab: Lab) -> Case:
    truth = "a TLS server waits for a ClientHello, then says protocol_version/handshake_failure and closes"
    return stranger(lab, truth, bytes.fromhex("15030100020228"), delay=5.0)


@case("synth-ssh-server", "A custom cloud's address was given with the wrong port.")
def ssh(lab: Lab) -> Case:
    banner = b"SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n"
    return stranger(lab, "an SSH server answers", banner, b"Invalid SSH identification string.\r\n")


@case("synth-no-nonce", "Fast cyan for ever, the server is up.")
def silent(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect()
    scene.trace.wait(20)
    scene.talk.close(DEVICE)
    answer = expect("no-nonce", "inferred")
    truth = "the connection is accepted and nothing is ever sent; the device gives up after 20 s"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-no-nonce-short", "Twenty bytes, then nothing.")
def short(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect()
    scene.talk.say(CLOUD, lab.rng.randbytes(20))
    scene.trace.wait(19.9)
    scene.talk.close(DEVICE)
    truth = "only 20 of the 40 bytes come; the device gives up after 20 s"
    answer = expect("no-nonce")
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-closed-before-nonce", "The connection is closed as soon as it is open.")
def closed(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().rejected()
    answer = expect("closed-before-nonce", "inferred")
    truth = "the server (or a balancer in front of none) accepts and closes with a FIN"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-reset-before-nonce", "The connection is reset as soon as it is open.")
def reset(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect()
    scene.talk.reset(CLOUD, ttl=63)
    answer = expect("closed-before-nonce", "inferred")
    truth = "a firewall one hop away (TTL 63, the server's is 52) resets the connection"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-no-identity", "The nonce comes, the device says nothing.")
def mute(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce()
    scene.trace.wait(9.8)
    scene.talk.fin(CLOUD)
    scene.talk.acknowledge(DEVICE)
    answer = expect("no-identity")
    truth = "the device never answers the nonce (application blocks); a Brewskey server closes after 10 s"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-no-session-key", "256 bytes sent and acknowledged, then nothing.")
def keyless(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce().identity()
    scene.trace.wait(20)
    scene.talk.close(DEVICE)
    answer = expect("no-session-key")
    truth = "the cloud falls silent after the identity; the device gives up after 20 s (-1)"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-session-key-truncated", "200 bytes instead of 384, then the connection ends.")
def truncated(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce().identity().session_key(length=200).rejected()
    answer = expect("session-key-truncated")
    truth = "a proxy passes 200 of the 384 bytes on and closes"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-hello-unanswered", "`Could not receive HELLO response`.")
def unanswered(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce().identity().session_key()
    session = scene.begin()
    scene.talk.say(DEVICE, session.device_hello())
    scene.trace.wait(2)
    scene.given_up()
    answer = expect("hello-unanswered")
    truth = "keys are right, the server stops after the session key; the device waits 2 s and closes"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-connect-refused", "Three orange blinks.")
def refused(lab: Lab) -> Case:
    device, server, key = sound(lab)
    trace = lab.trace()
    for _ in range(2):
        talk = TcpTalk(trace, lab.device, lab.cloud, modern=False)
        talk.segment(DEVICE, SYN)
        trace.wait(talk.rtt)
        talk.segment(CLOUD, RST | ACK)
        trace.wait(0.002)
        internet_test(lab, trace)
        trace.wait(1)
    answer = expect("connect-refused", "inferred")
    truth = "nothing listens on port 5683; the internet test (8.8.8.8:53) succeeds"
    return Case(truth, pcap(trace), ticket(device, server.key, key), [answer] * 2, [answer] * 2)


@case("synth-connect-refused-icmp", "Three orange blinks in a company network.")
def prohibited(lab: Lab) -> Case:
    device, server, key = sound(lab)
    trace = lab.trace()
    talk = TcpTalk(trace, lab.device, lab.cloud, modern=False)
    talk.segment(DEVICE, SYN)
    quoted = trace.frames[-1].data[14:]
    trace.wait(0.003)
    error = wire.ipv4(lab.gateway.ip, lab.device.ip, wire.ICMP, wire.icmp_error(3, 13, quoted), ttl=64)
    trace.packet(lab.gateway, lab.device, error)
    trace.wait(0.01)
    clock(lab, trace)
    answer = expect("connect-refused", "inferred")
    truth = "the gateway answers the SYN with ICMP `communication administratively prohibited`"
    return Case(truth, pcap(trace), ticket(device, server.key, key), answer, answer)


@case("synth-connect-unanswered", "Two orange blinks: no internet?")
def lost(lab: Lab) -> Case:
    device, server, key = sound(lab)
    trace = lab.trace()
    resolve(lab, trace, "device.spark.io", ["203.0.113.10"], alias="device-spark-io.elb.example")
    talk = TcpTalk(trace, lab.device, lab.cloud, modern=False)
    talk.segment(DEVICE, SYN)
    for pause in (1.0, 2.0):
        trace.wait(pause)
        talk.segment(DEVICE, SYN, back=1)
    trace.wait(2)
    internet_test(lab, trace, reachable=False)
    answer = expect("connect-unanswered", "inferred")
    truth = "a firewall drops port 5683 and 53/TCP; DNS over UDP works"
    return Case(truth, pcap(trace), ticket(device, server.key, key), answer, answer)


@case("synth-record-corrupt", "Handshake fine, then the server drops the device with `bad decrypt`.")
def corrupt(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).whole()
    session = scene.session
    assert session is not None
    record = session.event(DEVICE, "temperature", "21.5 degrees")
    scene.trace.wait(3)
    scene.talk.segment(DEVICE, PSH | ACK, record, corrupt=len(record) - 20)
    scene.trace.wait(0.002)
    scene.talk.acknowledge(CLOUD)
    scene.talk.close(CLOUD, later=0.01)
    scene.trace.wait(1)
    again = Scene(lab, device, server, key.n, trace=scene.trace).whole()
    truth = "one byte of a record is flipped on the way, its checksum made right: the cloud cannot decrypt it"
    bad = expect("record-corrupt")
    unseen = expect("session-dropped record-corrupt healthy")
    keys = ticket(device, server.key, key)
    return Case(truth, pcap(again.trace), keys, [bad, HEALTHY], [unseen, LOOKS_HEALTHY])


@case("synth-session-displaced", "Two boards from one image: they throw each other out.")
def displaced(lab: Lab) -> Case:
    device, server, key = sound(lab)
    first = Scene(lab, device, server, key.n).whole(pings=0)
    first.trace.wait(6)
    twin = Host.of("192.168.1.77", "e0:4f:43:00:01:77", 128)
    second = Scene(lab, device, server, key.n, trace=first.trace, host=twin).connect().nonce().identity()
    second.session_key()
    session = second.begin()
    second.talk.say(DEVICE, session.device_hello())
    first.talk.fin(CLOUD)
    second.trace.wait(0.001)
    second.talk.say(CLOUD, session.cloud_hello("bp"))
    first.talk.segment(DEVICE, ACK)
    second.chatter(0)
    first.talk.fin(DEVICE)
    first.talk.acknowledge(CLOUD)
    truth = "the same device id and key connects from a second address; the cloud closes the older session"
    keys = ticket(device, server.key, key)
    unseen = [expect("session-displaced session-dropped healthy"), LOOKS_HEALTHY]
    return Case(truth, pcap(second.trace), keys, [expect("session-displaced"), HEALTHY], unseen)


@case("synth-session-dropped", "Online for a while, then cut.")
def dropped(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).whole()
    scene.trace.wait(8)
    scene.talk.reset(CLOUD, ttl=63)
    answer = expect("session-dropped")
    truth = "a middlebox one hop away resets an established session (TTL 63, the server's is 52)"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-server-fault-split", "-19 only over this mobile link; all keys fit.")
def split(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce()
    message = device.identity(scene.challenge, lab.rng)
    scene.talk.say(DEVICE, message[:140])
    scene.talk.segment(DEVICE, PSH | ACK, message[140:])
    scene.trace.wait(0.006)
    # The cloud has seen the first 140 bytes only when it closes; the rest meets a closed socket.
    seen = scene.talk.ends[DEVICE].sequence - 116
    scene.talk.segment(CLOUD, FIN | ACK, ack=seen)
    scene.talk.acknowledge(DEVICE)
    scene.trace.wait(0.02)
    scene.talk.segment(CLOUD, RST, advance=False)
    truth = "the 256 bytes leave in two segments 60 ms apart; the server reads once and decrypts 140 bytes"
    answer = expect("server-fault", "inferred")
    keys = ticket(device, server.key, key, records="core_keys/")
    return Case(truth, pcap(scene.trace), keys, answer, REJECTED)


@case("synth-server-fault-pkcs1", "Since the server's Node update nothing connects any more.")
def refused_pkcs1(lab: Lab) -> Case:
    trace = lab.trace()
    keys: dict[str, bytes] = {}
    for index in range(3):
        device, server, _ = sound(lab)
        key = lab.rsa(f"device {index}")
        device.slot = key.pkcs1.ljust(612, b"\xff")
        host = Host.of(f"192.168.1.{50 + index}", f"e0:4f:43:00:02:{50 + index:02x}", 128)
        Scene(lab, device, server, key.n, trace=trace, host=host).connect().nonce().identity().rejected()
        keys |= ticket(device, server.key, key, records="core_keys/")
        trace.wait(2, 1)
    truth = "every key fits and every identity is right; the server's Node refuses PKCS#1 decryption"
    return Case(truth, pcap(trace), keys, [expect("server-fault", "inferred")] * 3, [REJECTED] * 3)


@case("synth-core-restart", "An old Core keeps the connection after the session key.")
def restart(lab: Lab) -> Case:
    device, server, key = sound(lab, short=True)
    other = lab.rsa("on file")
    scene = Scene(lab, device, server, other.n, kind="sp", modern=False).connect().nonce().identity().session_key()
    assert device.accept(scene.sealed) == "decryption"
    # It runs its event loop with the key of before (none: zeros), pings, and waits for another nonce (tcp.md 2.4).
    scene.trace.wait(0.05)
    ping = Channel(Credentials(bytes(40))).seal(DEVICE, b"\x40\0\0\1")
    scene.talk.say(DEVICE, ping)
    scene.trace.wait(20)
    scene.talk.close(DEVICE)
    truth = "the cloud's copy is not this Core's key; the Core goes on with a key of zeros on the same connection"
    keys = ticket(device, server.key, other)
    unseen = expect("session-key-unusable hello-unanswered")
    return Case(truth, pcap(scene.trace), keys, expect("device-key-mismatch", "proven"), unseen)


def flipped(lab: Lab, truth: str, *, up: bool) -> Case:
    """One byte of a handshake message flipped on the way; the next attempt with the same keys succeeds."""
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).connect().nonce()
    if up:
        scene.talk.segment(DEVICE, PSH | ACK, device.identity(scene.challenge, lab.rng), corrupt=77)
        scene.talk.acknowledge(CLOUD)
        scene.trace.wait(0.01)
        scene.rejected()
    else:
        scene.identity()
        scene.talk.segment(CLOUD, PSH | ACK, server.session_key(key.n, lab.rng), corrupt=40)
        scene.talk.acknowledge(DEVICE)
        scene.given_up()
    scene.trace.wait(0.8)
    again = Scene(lab, device, server, key.n, trace=scene.trace).whole(pings=0)
    code = "identity-rejected" if up else "session-key-unusable"
    first = expect(f"{code} record-corrupt", "")
    keys = ticket(device, server.key, key)
    return Case(truth, pcap(again.trace), keys, [first, HEALTHY], [expect(code), LOOKS_HEALTHY])


@case("synth-flip-identity", "Failed once with -19, then worked. Is a key wrong?")
def flip_identity(lab: Lab) -> Case:
    return flipped(lab, "one byte of the identity was flipped in transit; all keys are right", up=True)


@case("synth-flip-session-key", "Orange once, then it worked. Is a key wrong?")
def flip_session_key(lab: Lab) -> Case:
    return flipped(lab, "one byte of the session key message was flipped in transit; all keys are right", up=False)


@case("synth-mid-session", "The capture was started too late.")
def mid(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).whole(pings=2)
    scene.trace.frames = scene.trace.frames[16:]
    answer = expect("capture-incomplete", findings="mid-session-start")
    truth = "nothing is wrong; the handshake is not in the capture"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-snaplen", "tcpdump -s 96 was used.")
def snaplen(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).whole()
    scene.trace.frames = [frame.cut(96) for frame in scene.trace.frames]
    answer = expect("capture-incomplete healthy")
    truth = "nothing is wrong; every packet is cut at 96 bytes"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)


@case("synth-one-direction", "A mirror port that copies one direction only.")
def one_direction(lab: Lab) -> Case:
    device, server, key = sound(lab)
    scene = Scene(lab, device, server, key.n).whole()
    scene.trace.frames = [frame for frame in scene.trace.frames if frame.data[26:30] == lab.device.ip]
    answer = expect("capture-incomplete", findings="one-direction-only")
    truth = "nothing is wrong; only what the device sends is in the capture"
    return Case(truth, pcap(scene.trace), ticket(device, server.key, key), answer, answer)
