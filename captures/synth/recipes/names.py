"""Names that lead nowhere: DNS that fails, and devices that learn an address and send nothing to it."""

from __future__ import annotations

from captures.synth.case import Case, Lab, case, expect, pcap
from captures.synth.dtls_scene import DtlsScene
from captures.synth.names import internet_test, resolve
from captures.synth.scene import sound, ticket
from captures.synth.talk import DEVICE, Host, Trace, UdpTalk


def bystander(lab: Lab, trace: Trace, after: float) -> None:
    """Somebody else's packet later on: the capture still watches then."""
    trace.wait(after)
    other = Host.of("192.168.1.9", "02:00:5e:00:01:09")
    UdpTalk(trace, other, lab.gateway, 50_009, 9999).say(DEVICE, b"still here")


@case("synth-dns-unanswered", "Cyan, two orange blinks, for ever; no key was touched.")
def unanswered(lab: Lab) -> Case:
    device, server, key = sound(lab)
    trace = lab.trace()
    for _ in range(3):
        for _ in range(3):
            resolve(lab, trace, "device.spark.io", ["203.0.113.10"], answer=False)
            trace.wait(3)
        internet_test(lab, trace, reachable=False)
        trace.wait(1)
    bystander(lab, trace, 6)
    answer = expect("connect-unanswered", "inferred", findings="internet-test")
    truth = "DNS does not answer, and nothing behind the network does: the device never learns its cloud's address"
    keys = {f"{device.hex}.der": ticket(device, server.key, key)[f"{device.hex}.der"]}
    return Case(truth, pcap(trace), keys, answer, answer)


@case("synth-name-without-handshake", "An Electron asks for its cloud's name and then sends nothing at all.")
def silent(lab: Lab) -> Case:
    scene = DtlsScene(lab)
    name = scene.ident.hex()
    trace = lab.trace()
    for _ in range(2):
        resolve(lab, trace, f"{name}.udp.particle.io", ["203.0.113.10"])
        trace.wait(1.5)
    bystander(lab, trace, 15)
    keys = scene.ticket()
    stored = next(file for file in keys if "server" in file and name in file)
    keys[stored] = b"\xff" * 320
    truth = "the slot of the server key is blank flash: firmware before 0.7.0 does not get as far as a ClientHello"
    best, bare = expect("server-key-erased", "inferred"), expect("capture-incomplete", "undetermined")
    return Case(truth, pcap(trace), keys, best, bare)
