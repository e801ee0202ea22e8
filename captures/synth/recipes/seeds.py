"""The support threads this project starts from, as captures."""

from __future__ import annotations

from captures.synth.case import Case, Lab, case, cloud_key, expect, pcap
from captures.synth.keys import server_slot, slot
from captures.synth.lightssl import Device, Server
from captures.synth.names import arp, resolve
from captures.synth.recipes.tcp_keys import REJECTED
from captures.synth.scene import Scene, ticket
from captures.synth.talk import CLOUD, SECOND, Host


@case("seed-001", "Spark Core, January 2014: fast cyan for ever; the cloud's packets look malformed to Wireshark.")
def wrong_public_key(lab: Lab) -> Case:
    # The thread lists 13 TCP packets, as Wireshark on the router's WAN port showed them; ARP and DNS come before.
    lab.start = 1_389_520_800 * SECOND
    lab.device = Host.of("198.51.100.23", "08:00:28:57:3a:01", 127)
    lab.gateway = Host.of("198.51.100.1", "02:00:5e:00:01:01")
    lab.cloud = Host.of("54.208.229.4", "02:00:5e:00:01:01", 46)
    key, server = lab.rsa(), Server(cloud_key("particle 2014"))
    device = Device.make(lab.id(), key, server.key.spki, "device.spark.io", short=True)
    trace = lab.trace()
    arp(lab, trace)
    resolve(lab, trace, "device.spark.io", ["54.208.229.4"])
    scene = Scene(lab, device, server, lab.rsa("on file").n, kind="sp", trace=trace, modern=False)
    scene.connect().nonce().identity().session_key()
    assert isinstance(device.accept(scene.sealed), str)
    trace.wait(15)
    scene.talk.keep_alive(CLOUD)
    trace.wait(15)
    scene.talk.fin(CLOUD)
    trace.wait(0.002)
    scene.talk.segment(0, 0x10)
    assert len(trace.frames) == 17, len(trace.frames)
    keys = {f"{device.hex}.der": device.slot, f"{device.hex}.server_key.der": device.server}
    truth = 'the cloud has another public key on file than the Core holds (David: "your core has a different key")'
    without = expect(
        "session-key-unusable", "undetermined", alternatives="device-key-mismatch server-signature-mismatch"
    )
    return Case(truth, pcap(trace), keys, expect("device-key-mismatch", "inferred"), without)


#: (log time in ms, line) of a Photon 0.6.3 whose server address is lost; times as in the thread.
_LOG = """\
{0:010d} WARN: Read Server Address = type:255,defaulting to device.spark.io
{1:010d} INFO: Resolved host device.spark.io to {6}
{2:010d} INFO: connected to cloud {6}:5683
{2:010d} INFO: Cloud socket connected
{2:010d} INFO: Starting handshake: presense_announce=1
{2:010d} INFO: Started: Receive nonce
{3:010d} INFO: Encrypting handshake nonce
{4:010d} INFO: Sending encrypted nonce
{4:010d} INFO: Receive key
{5:010d} ERROR: Unable to receive key -19
{5:010d} WARN: Cloud handshake failed, code=-19
"""


@case("seed-002", "A Photon of a private cloud (Brewskey): one red flash, -19, never seen in our server's log.")
def lost_address(lab: Lab) -> Case:
    key, custom, particle = lab.rsa(), cloud_key(), Server(cloud_key("particle 2018"))
    device = Device(lab.id(), slot(key.pkcs1, 612), server_slot(custom.spki, None))
    trace = lab.trace()
    log = ""
    # Two attempts 31.7 s apart (the 26th to 30th failure: 1000 * 2^5 ms), each to another address of the name.
    for address, boot in (("34.237.141.248", 304420), ("54.159.170.67", 336866)):
        lab.cloud = Host.of(address, "02:00:5e:00:01:01", 230)
        trace.until((boot - 304420) / 1000)
        resolve(lab, trace, "device.spark.io", [address], alias="device-spark-io.example")
        scene = Scene(lab, device, particle, 0, trace=trace, modern=False)
        scene.talk.rtt = 0.126
        scene.talk.connect()
        trace.wait(0.126)
        scene.nonce()
        trace.wait(0.036)
        scene.identity().rejected()
        log += _LOG.format(boot, boot + 17, boot + 147, boot + 273, boot + 309, boot + 446, address)
        log += f"{boot + 697:010d} INFO: Cloud: disconnecting\n{boot + 697:010d} INFO: Cloud: disconnected\n"
    keys = ticket(device, custom, key)
    answer = expect("server-key-mismatch", findings="server-address-lost")
    truth = "the address record is blank (type 255): the device goes to device.spark.io with the private cloud's key"
    case_ = Case(truth, pcap(trace), keys, [answer] * 2, [REJECTED] * 2)
    case_.extra["device.log"] = log.encode()
    return case_
