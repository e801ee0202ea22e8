"""Which halves belong together: the device's key and the cloud's copy of it, the cloud's key and what devices store of it.

How it works. Keys of one device id and one algorithm (RSA: TCP, EC: UDP) make a row. Within a row every comparison is by
fingerprint of the public half. A private key that is damaged has no fingerprint; it is rebuilt from its intact parts
where they allow it, so that the row can still say whether the cloud's copy is the key that was meant to be there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from analyzer.keys import damage, savedsessions, serverpairs
from analyzer.keys import findings as lint
from analyzer.keys.fixes import Fixes
from analyzer.keys.key import FileFinding, Fix, Key, KeyFinding
from analyzer.keys.report import DeviceKeys, KeysReport, Pair, RowTransport
from analyzer.keys.ring import KeyRing
from analyzer.keys.rows import Row
from analyzer.keys.serverpairs import Clouds
from analyzer.model import Role

_TRANSPORT: Final[dict[str, RowTransport]] = {"rsa": "tcp", "ec": "udp"}
#: Damaged keys rebuilt in one report: 10 ms each.
_MAX_REBUILT: Final = 500


def compare(ring: KeyRing) -> KeysReport:
    """Everything that can be said of the keys in ``ring`` without any capture."""
    fixes = Fixes(ring)
    found: list[FileFinding] = list(ring.findings)
    found += [
        FileFinding(key.file, fixes.of(key, finding), key.device_id) for key in ring.keys for finding in key.findings
    ]
    cloud = Clouds.of(ring)
    damaged = damage.explain(
        (key for key in ring.keys if key.role is Role.DEVICE_PRIVATE and key.status == "unusable"), _MAX_REBUILT
    )
    devices: list[DeviceKeys] = []
    for device_id in sorted({key.device_id for key in ring.keys if key.device_id is not None}):
        for row in _rows(ring, device_id):
            devices.append(_device(row, ring, cloud, damaged, fixes, found))
    found += serverpairs.cloud_halves(ring)
    found += _same_key_twice(ring, fixes)
    found += [
        FileFinding(key.file, explained.finding, key.device_id)
        for key, explained in damaged.values()
        if explained.finding is not None
    ]
    return KeysReport(ring.keys, ring.skipped, tuple(devices), tuple(found))


def _rows(ring: KeyRing, device_id: str) -> Iterator[Row]:
    """One row per transport the device has keys for.

    A device that has its own key of one algorithm and a cloud copy of the other stays one row: that is the fault.
    """
    keys = [key for key in ring.for_device(device_id) if key.algorithm != "session"]
    private = {key.algorithm for key in keys if key.role is Role.DEVICE_PRIVATE and key.algorithm}
    split = len(private) > 1
    rows: dict[str, Row] = {}
    for key in keys:
        transport = _TRANSPORT.get(key.algorithm or "", "unknown") if split else _transport_of(keys)
        row = rows.setdefault(transport, Row(device_id, transport))
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
    row: Row,
    ring: KeyRing,
    cloud: Clouds,
    damaged: dict[int, tuple[Key, damage.Explained]],
    fixes: Fixes,
    found: list[FileFinding],
) -> DeviceKeys:
    own, told = _own_fingerprint(row, damaged)
    pairs: list[Pair] = []
    pairs += _two_private_keys(row, fixes, found)
    pairs += _private_key(row, told)
    pairs += _read_out(row)
    pairs += _of_the_slot(row)
    pairs += _stored_public(row, own, found)
    pairs += _cloud_copies(row, own, ring, fixes, found)
    pairs += serverpairs.server_key(row, ring, cloud, fixes, found)
    pairs += _algorithms(row, fixes, found)
    where = next((key.server_address for key in row.of(Role.DEVICE_SERVER_KEY) if key.server_address), None)
    pairs += serverpairs.address(row, where, ring, cloud, fixes, found)
    pairs += savedsessions.check(row, ring, found)
    wrong = [pair.text for pair in pairs if pair.fits is False]
    return DeviceKeys(
        row.id,
        row.transport,
        row.of(Role.DEVICE_PRIVATE),
        row.of(Role.DEVICE_PUBLIC),
        row.of(Role.CLOUD_COPY),
        row.of(Role.DEVICE_SERVER_KEY),
        where,
        own,
        tuple(pairs),
        "; ".join(wrong) or _all_well(pairs),
        bool(wrong),
    )


def _all_well(pairs: list[Pair]) -> str:
    doubts = [pair.text for pair in pairs if pair.doubtful]
    if doubts:
        return "; ".join(doubts)
    compared = sum(pair.fits is True for pair in pairs)
    if not compared:
        half = next((pair.text for pair in pairs if pair.right == "own-half"), "")
        return half or "nothing to compare: only one half is in hand"
    return "every pair in hand fits" if all(pair.fits for pair in pairs) else "what is in hand fits"


def _own_fingerprint(
    row: Row, damaged: dict[int, tuple[Key, damage.Explained]]
) -> tuple[str | None, damage.Explained | None]:
    """The public half the device was given, and what is known of a damaged private key."""
    private = row.first(Role.DEVICE_PRIVATE)
    explained = damaged.get(id(private), (None, None))[1] if private is not None else None
    if private is not None and private.fingerprint is not None:
        return private.fingerprint, explained
    if explained is not None and explained.meant is not None:
        return explained.meant, explained
    public = row.first(Role.DEVICE_PUBLIC)
    sound = public is not None and private is None and public.status == "ok"
    return (public.fingerprint if public is not None and sound else None), explained


def _two_private_keys(row: Row, fixes: Fixes, found: list[FileFinding]) -> Iterator[Pair]:
    current = [key for key in row.of(Role.DEVICE_PRIVATE) if not key.superseded and key.fingerprint is not None]
    prints = {key.fingerprint for key in current}
    if len(prints) > 1:
        text = f"{len(prints)} different private keys for one device id"
        files = ", ".join(sorted(key.file for key in current))
        told = lint.error(
            "two-device-keys", f"{text}: {files}", "Read out of the device which one it holds (over USB).", fix="save"
        )
        found.append(FileFinding(current[0].file, fixes.of(current[0], told), row.id))
        yield Pair("device-private", "device-private", False, text, told.code)
    records = [key for key in row.of(Role.CLOUD_COPY) if key.record != "own-half"]
    copies = {key.fingerprint for key in records if key.fingerprint is not None}
    if len(copies) > 1:
        text = f"{len(copies)} different copies at the cloud for one device id"
        copy = records[0].file
        told = lint.error("two-cloud-copies", text, "Keep the one that is the device's key.")
        found.append(FileFinding(copy, told, row.id))
        yield Pair("cloud-copy", "cloud-copy", False, text, told.code)


def _private_key(row: Row, explained: damage.Explained | None) -> Iterator[Pair]:
    private = row.first(Role.DEVICE_PRIVATE)
    if private is not None and private.status == "unusable" and private.whole:
        problem = private.problem or "unusable"
        told = f" ({explained.text})" if explained is not None and explained.text else ""
        text = f"the device's private key is unusable: {problem}{told}"
        yield Pair("device-private", "device", False, text, serverpairs.error_of(private))


def _of_the_slot(row: Row) -> Iterator[Pair]:
    """A public key that the device sent and that is none: what its slot holds is no RSA key."""
    for key in (*row.of(Role.DEVICE_PUBLIC), *row.of(Role.CLOUD_COPY)):
        code = next(
            (item.code for item in key.findings if item.code in ("public-key-of-slot", "pkcs8-in-tcp-device")), None
        )
        if code is not None and not key.superseded and key.status == "unusable":
            what = "the device's public key" if key.role is Role.DEVICE_PUBLIC else "the cloud's copy"
            yield Pair(key.role.value, "device", False, f"{what} is no key: {key.problem}", code)


def _read_out(row: Row) -> Iterator[Pair]:
    """A damaged backup beside a sound key: what the device held when particle-cli was about to write that key.

    Whether it was written, the folder does not tell.
    """
    current = row.first(Role.DEVICE_PRIVATE)
    if current is None or current.superseded or current.status != "ok":
        return
    for key in row.of(Role.DEVICE_PRIVATE):
        if key.superseded and key.status == "unusable" and key.whole:
            text = (
                f"what is in hand fits only if {current.file} was loaded: the last read-out of the device ({key.file}) is "
                f"{_short(key.problem)}"
            )
            yield Pair("device-private", "backup", None, text, serverpairs.error_of(key))


def _short(problem: str | None) -> str:
    """The problem of a read-out in a word or two."""
    kind = (problem or "unusable").split(":", maxsplit=1)[0]
    return kind if kind in ("damaged", "blank flash", "zeroed", "partly erased") else f"unusable ({problem})"


def _stored_public(row: Row, own: str | None, found: list[FileFinding]) -> Iterator[Pair]:
    for key in row.of(Role.DEVICE_PUBLIC):
        if (
            key.superseded
            or key.status != "ok"
            or key.fingerprint is None
            or row.first(Role.DEVICE_PRIVATE) is None
            or own is None
        ):
            continue
        fits = key.fingerprint == own
        text = (
            "the public file is the device's key"
            if fits
            else "the public file is not the half of the device's private key"
        )
        if not fits:
            finding = lint.error("device-halves-differ", text, "Derive the public half from the private key again.")
            found.append(FileFinding(key.file, finding, row.id))
        yield Pair("device-private", "device-public", fits, text, "" if fits else "device-halves-differ")


def _cloud_copies(row: Row, own: str | None, ring: KeyRing, fixes: Fixes, found: list[FileFinding]) -> Iterator[Pair]:
    copies = row.of(Role.CLOUD_COPY)
    for key in copies:
        if any(item.code == "public-key-of-slot" for item in key.findings):
            continue  # said of the device: what it sent is on file
        if key.record == "own-half":
            text = f"{key.file} is the device's own half, as `particle keys save` writes it: the cloud's copy is not in hand"
            yield Pair("device-private", "own-half", None, text)
        elif key.fingerprint is None:
            text = f"the cloud's copy is unusable: {key.problem}"
            found.append(FileFinding(key.file, _send_public(row, "cloud-copy-unusable", text, fixes), row.id))
            yield Pair("device-private", "cloud-copy", False, text, "cloud-copy-unusable")
        elif own is None and (begins := _begins_alike(row.first(Role.DEVICE_PRIVATE), key)) is not None:
            text = "begins like" if begins else "is not"
            yield Pair("device-private", "cloud-copy", begins, f"the cloud's copy {text} the device's key in the log")
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
            found.append(FileFinding(key.file, _send_public(row, "cloud-copy-differs", text, fixes), row.id))
            yield Pair("device-private", "cloud-copy", False, text, "cloud-copy-differs")
    if not copies and row.first(Role.DEVICE_PRIVATE) is not None:
        yield Pair("device-private", "cloud-copy", None, "the cloud's copy is not in hand")


def _begins_alike(piece: Key | None, copy: Key) -> bool | None:
    """Whether a key of which only a piece is in hand begins like ``copy``; None when that cannot be told."""
    number = copy.public_number
    if piece is None or piece.public_prefix is None or number is None:
        return None
    return number.startswith(piece.public_prefix[: len(number)])


def _send_public(row: Row, code: str, text: str, fixes: Fixes) -> KeyFinding:
    """What to do about a copy at the cloud that is not the device's key."""
    private = row.first(Role.DEVICE_PRIVATE)
    own = private or row.first(Role.DEVICE_PUBLIC)
    if private is not None and private.fingerprint is None:
        return fixes.of(private, lint.device_key_unusable(code, text, ec=private.algorithm == "ec"))
    if own is None:
        return lint.error(code, text, "Give the cloud the device's own public key.")
    remedy, commands = fixes.give_cloud(own)
    return replace(lint.error(code, text, remedy), commands=tuple(commands))


def _algorithms(row: Row, fixes: Fixes, found: list[FileFinding]) -> Iterator[Pair]:
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
        remedy = "Make a key of the right kind (particle-cli before 3.32.3 sent EC keys for TCP devices)."
        told = lint.error("wrong-algorithm", text, remedy, fix="new-rsa" if needed == "rsa" else "new-ec")
        found.append(FileFinding(key.file, fixes.of(key, told), row.id))
        yield Pair(role.value, "transport", False, text, told.code)


def _same_key_twice(ring: KeyRing, fixes: Fixes) -> Iterable[FileFinding]:
    """One private key in two devices: they will throw each other out. One key in two files: worth knowing."""
    seen: dict[tuple[Role, str | None, str], Key] = {}
    for key in ring.keys:
        if key.fingerprint is not None:
            known = seen.setdefault((key.role, key.device_id, key.fingerprint), key)
            if known is not key and known.role in (Role.DEVICE_PRIVATE, Role.CLOUD_PRIVATE, Role.CLOUD_COPY):
                told = lint.note("duplicate-key", f"the same key as {known.file}")
                yield FileFinding(key.file, told, key.device_id)
    owners: dict[str, Key] = {}
    for key in ring.by_role(Role.DEVICE_PRIVATE):
        if key.fingerprint is None or key.device_id is None:
            continue
        first = owners.setdefault(key.fingerprint, key)
        if first.device_id != key.device_id:
            text = f"the same private key as {first.file}: two devices must not share a key"
            fix: Fix = "new-ec" if key.algorithm == "ec" else "new-rsa"
            told = lint.warning("shared-device-key", text, "Give one of them a new key.", fix=fix)
            yield FileFinding(key.file, fixes.of(key, told), key.device_id)
