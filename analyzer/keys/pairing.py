"""Which halves belong together: the device's key and the cloud's copy of it, the cloud's key and what devices store of it.

How it works. Keys of one device id and one algorithm (RSA: TCP, EC: UDP) make a row. Within a row every comparison is by
fingerprint of the public half. A private key that is damaged has no fingerprint; it is rebuilt from its intact parts
where they allow it, so that the row can still say whether the cloud's copy is the key that was meant to be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from analyzer.keys import damage
from analyzer.keys import findings as lint
from analyzer.keys.key import Key, KeyFinding, ServerAddress
from analyzer.keys.report import DeviceKeys, FileFinding, KeysReport, Pair, RowTransport
from analyzer.keys.ring import KeyRing
from analyzer.model import Role

_TRANSPORT: Final[dict[str, RowTransport]] = {"rsa": "tcp", "ec": "udp"}
_PARTICLE_HOSTS: Final = ("particle.io", "spark.io")
#: Damaged keys rebuilt in one report: 10 ms each.
_MAX_REBUILT: Final = 500


def compare(ring: KeyRing) -> KeysReport:
    """Everything that can be said of the keys in ``ring`` without any capture."""
    found: list[FileFinding] = [
        FileFinding(key.file, finding, key.device_id) for key in ring.keys for finding in key.findings
    ]
    cloud = _Cloud.of(ring)
    damaged = damage.explain(
        (key for key in ring.keys if key.role is Role.DEVICE_PRIVATE and key.status == "unusable"), _MAX_REBUILT
    )
    devices: list[DeviceKeys] = []
    for device_id in sorted({key.device_id for key in ring.keys if key.device_id is not None}):
        for row in _rows(ring, device_id):
            devices.append(_device(row, ring, cloud, damaged, found))
    found += _cloud_halves(ring)
    found += _same_key_twice(ring)
    found += [
        FileFinding(key.file, explained.finding, key.device_id)
        for key, explained in damaged.values()
        if explained.finding is not None
    ]
    return KeysReport(ring.keys, ring.skipped, tuple(devices), tuple(found))


@dataclass(frozen=True, slots=True)
class _Cloud:
    """The clouds' public halves in hand: fingerprint to the name to call it by."""

    own: dict[str, str]
    published: dict[str, str]

    @classmethod
    def of(cls, ring: KeyRing) -> _Cloud:
        own: dict[str, str] = {}
        for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC):
            for key in ring.by_role(role):
                if key.fingerprint is not None:
                    own.setdefault(key.fingerprint, key.file)
        return cls(own, {key.fingerprint: key.part for key in ring.published if key.fingerprint is not None})

    def has(self, algorithm: str | None, ring: KeyRing) -> bool:
        return any(
            key.algorithm == algorithm for role in (Role.CLOUD_PRIVATE, Role.CLOUD_PUBLIC) for key in ring.by_role(role)
        )


@dataclass(slots=True)
class _Row:
    """The keys of one device on one transport, by role."""

    id: str
    transport: RowTransport
    keys: dict[Role, list[Key]] = field(default_factory=dict)

    def of(self, role: Role) -> tuple[Key, ...]:
        return tuple(self.keys.get(role, ()))

    def first(self, role: Role) -> Key | None:
        found = self.keys.get(role)
        return found[0] if found else None


def _rows(ring: KeyRing, device_id: str) -> Iterator[_Row]:
    """One row per transport the device has keys for.

    A device that has its own key of one algorithm and a cloud copy of the other stays one row: that is the fault.
    """
    keys = [key for key in ring.for_device(device_id) if key.algorithm != "session"]
    private = {key.algorithm for key in keys if key.role is Role.DEVICE_PRIVATE and key.algorithm}
    split = len(private) > 1
    rows: dict[str, _Row] = {}
    for key in keys:
        transport = _TRANSPORT.get(key.algorithm or "", "unknown") if split else _transport_of(keys)
        row = rows.setdefault(transport, _Row(device_id, transport))
        row.keys.setdefault(key.role, []).append(key)
    yield from (rows[name] for name in sorted(rows))


def _transport_of(keys: list[Key]) -> RowTransport:
    """What the device speaks: its stored server key decides, then its own key, then the cloud's copy."""
    for role in (Role.DEVICE_SERVER_KEY, Role.DEVICE_PRIVATE, Role.DEVICE_PUBLIC, Role.CLOUD_COPY):
        for key in keys:
            if key.role is role and key.algorithm in _TRANSPORT:
                return _TRANSPORT[key.algorithm]
    return "unknown"


def _device(
    row: _Row, ring: KeyRing, cloud: _Cloud, damaged: dict[int, tuple[Key, damage.Explained]], found: list[FileFinding]
) -> DeviceKeys:
    own, told = _own_fingerprint(row, damaged)
    pairs: list[Pair] = []
    pairs += _two_private_keys(row, found)
    pairs += _private_key(row, told)
    pairs += _stored_public(row, own, found)
    pairs += _cloud_copies(row, own, ring, found)
    pairs += _server_key(row, ring, cloud, found)
    pairs += _algorithms(row, found)
    address = next((key.server_address for key in row.of(Role.DEVICE_SERVER_KEY) if key.server_address), None)
    pairs += _address(row, address, ring, cloud, found)
    wrong = [pair.text for pair in pairs if pair.fits is False]
    return DeviceKeys(
        row.id,
        row.transport,
        row.of(Role.DEVICE_PRIVATE),
        row.of(Role.DEVICE_PUBLIC),
        row.of(Role.CLOUD_COPY),
        row.of(Role.DEVICE_SERVER_KEY),
        address,
        own,
        tuple(pairs),
        "; ".join(wrong) or _all_well(pairs),
        bool(wrong),
    )


def _all_well(pairs: list[Pair]) -> str:
    compared = sum(pair.fits is True for pair in pairs)
    if not compared:
        return "nothing to compare: only one half is in hand"
    return "every pair in hand fits" if all(pair.fits for pair in pairs) else "what is in hand fits"


def _own_fingerprint(
    row: _Row, damaged: dict[int, tuple[Key, damage.Explained]]
) -> tuple[str | None, damage.Explained | None]:
    """The public half the device was given, and what is known of a damaged private key."""
    private = row.first(Role.DEVICE_PRIVATE)
    explained = damaged.get(id(private), (None, None))[1] if private is not None else None
    if private is not None and private.fingerprint is not None:
        return private.fingerprint, explained
    if explained is not None and explained.meant is not None:
        return explained.meant, explained
    public = row.first(Role.DEVICE_PUBLIC)
    return (public.fingerprint if public is not None and private is None else None), explained


def _two_private_keys(row: _Row, found: list[FileFinding]) -> Iterator[Pair]:
    current = [key for key in row.of(Role.DEVICE_PRIVATE) if not key.superseded and key.fingerprint is not None]
    prints = {key.fingerprint for key in current}
    if len(prints) > 1:
        text = f"{len(prints)} different private keys for one device id"
        files = ", ".join(sorted(key.file for key in current))
        remedy = lint.error(
            "two-device-keys",
            f"{text}: {files}",
            "find out which one the device holds",
            (f"particle keys save {row.id}",),
        )
        found.append(FileFinding(current[0].file, remedy, row.id))
        yield Pair("device-private", "device-private", False, text)
    copies = {key.fingerprint for key in row.of(Role.CLOUD_COPY) if key.fingerprint is not None}
    if len(copies) > 1:
        text = f"{len(copies)} different copies at the cloud for one device id"
        first = row.of(Role.CLOUD_COPY)[0].file
        found.append(
            FileFinding(first, lint.error("two-cloud-copies", text, "keep the one that is the device's key"), row.id)
        )
        yield Pair("cloud-copy", "cloud-copy", False, text)


def _private_key(row: _Row, explained: damage.Explained | None) -> Iterator[Pair]:
    private = row.first(Role.DEVICE_PRIVATE)
    if private is not None and private.status == "unusable":
        problem = private.problem or "unusable"
        told = f" ({explained.text})" if explained is not None and explained.text else ""
        yield Pair("device-private", "device", False, f"the device's private key is unusable: {problem}{told}")


def _stored_public(row: _Row, own: str | None, found: list[FileFinding]) -> Iterator[Pair]:
    for key in row.of(Role.DEVICE_PUBLIC):
        if key.superseded or key.fingerprint is None or row.first(Role.DEVICE_PRIVATE) is None or own is None:
            continue
        fits = key.fingerprint == own
        text = (
            "the public file is the device's key"
            if fits
            else "the public file is not the half of the device's private key"
        )
        if not fits:
            finding = lint.error("device-halves-differ", text, "derive the public half from the private key again")
            found.append(FileFinding(key.file, finding, row.id))
        yield Pair("device-private", "device-public", fits, text)


def _cloud_copies(row: _Row, own: str | None, ring: KeyRing, found: list[FileFinding]) -> Iterator[Pair]:
    copies = row.of(Role.CLOUD_COPY)
    for key in copies:
        if key.fingerprint is None:
            yield Pair("device-private", "cloud-copy", False, f"the cloud's copy is unusable: {key.problem}")
        elif own is None:
            yield Pair(
                "device-private",
                "cloud-copy",
                None,
                "the device's own key is not in hand to compare with the cloud's copy",
            )
        elif key.fingerprint == own:
            yield Pair("device-private", "cloud-copy", True, "the cloud's copy is this device's key")
        else:
            text = "the cloud's copy is not this device's key"
            other = ring.owner_of(key.fingerprint)
            if other is not None and other != row.id:
                text += f" (it is the key of {other})"
            found.append(FileFinding(key.file, _send_public(row, text), row.id))
            yield Pair("device-private", "cloud-copy", False, text)
    if not copies and row.first(Role.DEVICE_PRIVATE) is not None:
        yield Pair("device-private", "cloud-copy", None, "the cloud's copy is not in hand")


def _send_public(row: _Row, text: str) -> KeyFinding:
    private = row.first(Role.DEVICE_PRIVATE)
    file = lint.quoted(private.file if private is not None else f"{row.id}.der")
    tool = "ec" if private is not None and private.algorithm == "ec" else "rsa"
    form = "PEM" if private is not None and private.encoding == "pem" else "DER"
    return lint.error(
        "cloud-copy-differs",
        text,
        "give the cloud the public half of the key the device holds (custom cloud: copy the .pub.pem over the device's file in "
        "core_keys/ or data/deviceKeys/)",
        (
            f"openssl {tool} -inform {form} -in {file} -pubout -out {row.id}.pub.pem",
            f"particle keys send {row.id} {row.id}.pub.pem",
        ),
    )


def _server_key(row: _Row, ring: KeyRing, cloud: _Cloud, found: list[FileFinding]) -> Iterator[Pair]:
    for key in row.of(Role.DEVICE_SERVER_KEY):
        if key.status == "unusable":
            yield Pair("device-server-key", "cloud", False, f"the stored server key is unusable: {key.problem}")
        elif key.fingerprint in cloud.own:
            yield Pair("device-server-key", "cloud", True, f"the stored server key is {cloud.own[key.fingerprint]}")
        elif key.fingerprint in cloud.published:
            fits = False if cloud.has(key.algorithm, ring) else None
            text = f"the stored server key is Particle's own ({cloud.published[key.fingerprint]})"
            if fits is False:
                text += ", not this cloud's"
                found.append(FileFinding(key.file, _wrong_server(text), row.id))
            yield Pair("device-server-key", "cloud", fits, text)
        elif cloud.has(key.algorithm, ring):
            text = "the stored server key is not this cloud's"
            found.append(FileFinding(key.file, _wrong_server(text), row.id))
            yield Pair("device-server-key", "cloud", False, text)
        else:
            yield Pair(
                "device-server-key", "cloud", None, "no cloud key is in hand to compare with the stored server key"
            )


def _wrong_server(text: str) -> KeyFinding:
    return lint.server_key_unusable("server-key-differs", text)


def _algorithms(row: _Row, found: list[FileFinding]) -> Iterator[Pair]:
    """RSA where the transport needs EC, and the reverse."""
    if row.transport == "unknown":
        return
    needed = "rsa" if row.transport == "tcp" else "ec"
    names = {"rsa": "RSA", "ec": "EC"}
    for role, what in ((Role.DEVICE_PRIVATE, "device's private key"), (Role.CLOUD_COPY, "cloud's copy")):
        key = row.first(role)
        if key is None or key.algorithm in (None, needed):
            continue
        text = f"the {what} is {names[key.algorithm or '']}, the device's server key is for {row.transport.upper()} and needs {names[needed]}"
        commands = lint.new_rsa_key(row.id) if needed == "rsa" else lint.new_ec_key(row.id)
        remedy = "make a key of the right kind (particle-cli before 3.32.3 sent EC keys for TCP devices)"
        found.append(FileFinding(key.file, lint.error("wrong-algorithm", text, remedy, commands), row.id))
        yield Pair(role.value, "transport", False, text)


def _address(
    row: _Row, address: ServerAddress | None, ring: KeyRing, cloud: _Cloud, found: list[FileFinding]
) -> Iterator[Pair]:
    """A key and an address of two different clouds."""
    key = row.first(Role.DEVICE_SERVER_KEY)
    if address is None or key is None or key.fingerprint is None:
        return
    particle = key.fingerprint in cloud.published
    host = address.host or ""
    at_particle = host.endswith(_PARTICLE_HOSTS) or address.kind == "unset"
    if particle and not at_particle and address.kind in ("ip", "domain"):
        text = f"the stored key is Particle's, the address ({address}) is another cloud's"
    elif not particle and at_particle:
        text = f"the stored key is not Particle's, but the device goes to Particle's cloud ({host or 'no address is stored'})"
    else:
        return
    remedy = lint.server_key_unusable("server-key-and-address-differ", text)
    found.append(FileFinding(key.file, remedy, row.id))
    yield Pair("device-server-key", "server-address", False, text)


def _cloud_halves(ring: KeyRing) -> Iterator[FileFinding]:
    """default_key.pub.pem beside default_key.pem must be its half."""
    private = {_stem(key.file): key for key in ring.by_role(Role.CLOUD_PRIVATE) if key.fingerprint is not None}
    for key in ring.by_role(Role.CLOUD_PUBLIC):
        half = private.get(_stem(key.file))
        if half is not None and key.fingerprint is not None and key.fingerprint != half.fingerprint:
            text = f"not the public half of {half.file}: devices given this key cannot reach that cloud"
            command = f"openssl pkey -in {lint.quoted(half.file)} -pubout -out {lint.quoted(key.file)}"
            found = lint.error("cloud-halves-differ", text, "derive it from the private key again", (command,))
            yield FileFinding(key.file, found)


def _stem(file: str) -> str:
    path = PurePosixPath(file)
    name = path.name.lower()
    for ending in (".pem", ".der", ".key", ".pub", ".crt", ".cer", "_public", "_private", ".public", ".private"):
        name = name.removesuffix(ending)
    return str(path.with_name(name or "key"))


def _same_key_twice(ring: KeyRing) -> Iterable[FileFinding]:
    """One private key in two devices: they will throw each other out."""
    owners: dict[str, Key] = {}
    for key in ring.by_role(Role.DEVICE_PRIVATE):
        if key.fingerprint is None or key.device_id is None:
            continue
        first = owners.setdefault(key.fingerprint, key)
        if first.device_id != key.device_id:
            text = f"the same private key as {first.file}: two devices must not share a key"
            yield FileFinding(
                key.file, lint.warning("shared-device-key", text, "give one of them a new key"), key.device_id
            )
