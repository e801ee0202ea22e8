"""A ticket is an argument: folders and archives, with everything in them, give what their parts give."""

from __future__ import annotations

import io
import json
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import pytest

from analyzer import load_keys
from analyzer.errors import InputError
from analyzer.model import CaptureReport, Code, Report, TakenAs
from analyzer.pipeline import analyze_inputs, analyze_paths
from analyzer.tickets import ArchiveLimits, Ticket, gather
from analyzer.tickets.archive import is_archive, unpacked

CAPTURES = Path(__file__).resolve().parents[2] / "captures"
#: Every genuine capture that has keys, and no further files that would be captures of their own.
GENUINE = sorted(path.parent for kind in ("tcp-*", "dtls-*") for path in CAPTURES.glob(f"{kind}/keys"))
CASE = CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey"


@pytest.fixture
def run():
    """The command as a shell runs it."""

    def done(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, "-m", "analyzer", *words], capture_output=True, text=True, check=False)

    return done


def tickets(*words: str | Path) -> list[str | Ticket]:
    return [item if isinstance(item, str) else Ticket.of(item) for item in gather([str(word) for word in words])]


def judged(*words: str | Path) -> Report:
    return analyze_inputs(tickets(*words), load_keys([]))


def verdicts(captures: tuple[CaptureReport, ...]) -> list[tuple[str, str, list[str]]]:
    return [
        (
            session.verdict.code.value,
            session.verdict.certainty.value,
            [code.value for code in session.verdict.alternatives],
        )
        for capture in captures
        for session in capture.sessions
    ]


def copied(case: Path, folder: Path) -> Path:
    """The capture and its keys, nothing of ours, in a folder as a customer would make it."""
    folder.mkdir(parents=True)
    shutil.copy(case / "capture.pcap", folder)
    shutil.copytree(case / "keys", folder / "keys")
    for secrets in case.glob("sslkeys*.log"):
        shutil.copy(secrets, folder)
    return folder


def zipped(folder: Path, target: Path, *, top: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"{top}{path.relative_to(folder)}")
    return target


# -- every genuine capture -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", GENUINE, ids=lambda path: path.name)
def test_a_ticket_folder_and_its_zip_say_what_capture_and_keys_say(case: Path, tmp_path: Path) -> None:
    folder = copied(case, tmp_path / "ticket")
    keys = load_keys([folder / "keys", *folder.glob("sslkeys*.log")])
    given = verdicts(analyze_paths([str(folder / "capture.pcap")], keys).captures)
    as_folder = judged(folder)
    assert verdicts(as_folder.captures) == given
    as_zip = judged(zipped(folder, tmp_path / "ticket.zip", top="ticket/"))
    assert verdicts(as_zip.captures) == given
    for report in (as_folder, as_zip):
        taken = [item.taken_as for item in report.captures[0].inputs]
        assert len(taken) == sum(path.is_file() for path in folder.rglob("*")), "one row per file"
        assert taken.count(TakenAs.CAPTURE) == 1 and TakenAs.KEY in taken
        assert {row.file.removeprefix("ticket/") for row in report.keys} >= {
            f"keys/{path.name}" for path in (folder / "keys").glob("*.pem")
        }


# -- what is taken for what ------------------------------------------------------------------------------------------------


def test_loose_keys_logs_and_notes_lie_beside_the_capture(tmp_path: Path) -> None:
    folder = tmp_path / "ticket"
    folder.mkdir()
    shutil.copy(CASE / "capture.pcap", folder / "trace.cap")
    for key in (CASE / "keys").iterdir():
        shutil.copy(key, folder)
    (folder / "serial.txt").write_text(
        "0000001127 [system] INFO: Cloud: connecting\n0000001306 [comm.lightssl] WARN: receive error -19\n"
    )
    (folder / "notes.txt").write_text("The customer says that it stopped on Monday.\n")
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0" + bytes(600))
    for name in (".DS_Store", "._trace.cap", "capture.pcap~", "__MACOSX/._trace.cap", ".git/config"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes((CASE / "capture.pcap").read_bytes())
    (ticket,) = tickets(folder)
    assert isinstance(ticket, Ticket)
    taken = {item.path: item.taken_as for item in ticket.inputs}
    assert taken["trace.cap"] is TakenAs.CAPTURE
    assert taken["serial.txt"] is TakenAs.DEVICE_LOG
    assert {taken[key.name] for key in (CASE / "keys").iterdir()} == {TakenAs.KEY}
    left = {
        "notes.txt",
        "photo.jpg",
        ".DS_Store",
        "._trace.cap",
        "capture.pcap~",
        "__MACOSX/._trace.cap",
        ".git/config",
    }
    assert {name for name, what in taken.items() if what is TakenAs.LEFT} == left
    report = judged(folder)
    assert {session.verdict.code for session in report.captures[0].sessions} == {Code.DEVICE_KEY_MISMATCH}


def test_keys_of_the_option_come_on_top(tmp_path: Path) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    (folder / "keys" / "default_key.pem").rename(tmp_path / "default_key.pem")
    alone = judged(folder)
    assert {session.verdict.certainty.value for session in alone.captures[0].sessions} != {"proven"}
    given = analyze_inputs(tickets(folder), load_keys([tmp_path / "default_key.pem"]))
    assert {session.verdict.certainty.value for session in given.captures[0].sessions} == {"proven"}
    assert {row.file for row in given.keys} >= {"default_key.pem", "keys/default_key.pub.pem"}


def test_a_folder_of_captures_stays_what_it_was(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}").mkdir()
        shutil.copy(CASE / "capture.pcap", tmp_path / f"{number}" / "capture.pcap")
    found = gather([str(tmp_path)])
    assert found == tuple(str(tmp_path / f"{number}" / "capture.pcap") for number in range(3))


def test_tickets_in_a_folder_keep_their_keys_to_themselves(tmp_path: Path) -> None:
    cases = [path for path in GENUINE if path.name.startswith(("tcp-02", "tcp-03"))]
    assert len(cases) > 3
    for case in cases:
        copied(case, tmp_path / case.name)
    (tmp_path / "README.txt").write_text("tickets of this week")
    found = [item for item in tickets(tmp_path) if isinstance(item, Ticket)]
    assert [Path(item.place).name for item in found] == [case.name for case in cases]
    for case, ticket in zip(cases, found, strict=True):
        keys = load_keys([case / "keys"])
        want = verdicts(analyze_paths([str(case / "capture.pcap")], keys).captures)
        assert verdicts(analyze_inputs([ticket], load_keys([])).captures) == want
    report = judged(tmp_path)
    assert len({row.file for row in report.keys}) == len(report.keys), "keys are told apart by their ticket"


# -- pieces ----------------------------------------------------------------------------------------------------------------


def split(capture: bytes, at: list[int]) -> list[bytes]:
    """A little-endian pcap cut between its records, each piece with the header."""
    header, offset, cuts, number = capture[:24], 24, [24], 0
    while offset < len(capture):
        (length,) = struct.unpack_from("<I", capture, offset + 8)
        offset += 16 + length
        number += 1
        if number in at:
            cuts.append(offset)
    cuts.append(len(capture))
    return [header + capture[start:end] for start, end in zip(cuts, cuts[1:], strict=False)]


NAMES = {
    "dumpcap": "capture_{:05d}_20261121002705.pcap",
    "tcpdump": "capture.pcap{}",
    "by number": "part-{}.pcap",
}


#: Captures in which nothing is silent for longer than two files that only their number ties may be apart.
BUSY = [path for path in GENUINE if path.name.startswith(("tcp-01", "tcp-02", "tcp-03", "tcp-04", "tcp-05"))]


@pytest.mark.parametrize("pattern", NAMES.values(), ids=NAMES)
@pytest.mark.parametrize("case", BUSY, ids=lambda path: path.name)
def test_pieces_of_a_ring_buffer_are_one_capture(case: Path, tmp_path: Path, pattern: str) -> None:
    data = (case / "capture.pcap").read_bytes()
    pieces = split(data, [3, 6, 9])
    assert len(pieces) >= 3
    folder = tmp_path / "ticket"
    shutil.copytree(case / "keys", folder / "keys")
    for number, piece in enumerate(pieces):
        if len(piece) == 24:
            continue
        (folder / pattern.format(number).replace("pcap0", "pcap")).write_bytes(piece)
    whole = analyze_paths([str(case / "capture.pcap")], load_keys([case / "keys"])).captures
    report = judged(folder)
    assert len(report.captures) == 1
    assert verdicts(report.captures) == verdicts(whole)
    (capture,) = report.captures
    assert len(capture.joined) == len(pieces) - 1
    assert (capture.packets, capture.sha256) == (whole[0].packets, whole[0].sha256), "the file it would have been"


def test_a_missing_piece_keeps_the_others_apart(tmp_path: Path) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    pieces = split((folder / "capture.pcap").read_bytes(), [3, 6, 9])
    (folder / "capture.pcap").unlink()
    for number in (1, 2, 4):
        (folder / NAMES["dumpcap"].format(number)).write_bytes(pieces[number - 1])
    assert [len(capture.joined) for capture in judged(folder).captures] == [1, 0]


def test_pieces_given_one_by_one_are_named_in_one_line(tmp_path: Path, run) -> None:
    pieces = split((CASE / "capture.pcap").read_bytes(), [3, 6, 9])
    paths = [tmp_path / NAMES["dumpcap"].format(number) for number in (1, 2, 4, 3)]
    for number, path in zip((1, 2, 4, 3), paths, strict=True):
        path.write_bytes(pieces[number - 1])
    told = run(*map(str, paths)).stderr.splitlines()
    (line,) = [line for line in told if "mergecap" in line]
    assert line.endswith(" ".join(map(str, sorted(paths))))
    assert "mergecap" not in run(str(paths[0]), str(paths[3])).stderr, "one between them is missing"
    assert "mergecap" not in run("--quiet", *map(str, paths)).stderr


def test_captures_that_do_not_go_on_from_each_other_stay_apart(tmp_path: Path) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    (folder / "capture.pcap").rename(folder / "capture1.pcap")
    shutil.copy(CAPTURES / "tcp-27a-pkcs8-device-key-brewskey" / "capture.pcap", folder / "capture2.pcap")
    later = CAPTURES / "tcp-03a-wrong-server-key-brewskey" / "capture.pcap"
    shutil.copy(later, folder / "capture3.pcap")
    report = judged(folder)
    assert [capture.joined for capture in report.captures] == [(), (), ()]


# -- archives --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["tar", "tar.gz"])
def test_tars_are_tickets(tmp_path: Path, kind: str) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    target = tmp_path / f"ticket.{kind}"
    with tarfile.open(target, "w:gz" if kind.endswith("gz") else "w") as archive:
        archive.add(folder, "ticket")
    assert is_archive(target)
    assert verdicts(judged(target).captures) == verdicts(judged(folder).captures)


def packed_7z(target: Path, entries: dict[str, bytes], **how: object) -> Path:
    py7zr = pytest.importorskip("py7zr", reason="the extra compression is not installed")
    with py7zr.SevenZipFile(target, "w", **how) as archive:
        archive.set_encoded_header_mode(False)
        for name, data in entries.items():
            archive.writestr(data, name)
    return target


def test_a_7z_is_a_ticket(tmp_path: Path) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    target = packed_7z(tmp_path / "ticket.7z", files)
    assert is_archive(target)
    assert verdicts(judged(target).captures) == verdicts(judged(folder).captures)


@pytest.mark.parametrize(
    ("entries", "how", "why"),
    [
        ({f"{number}.der": b"x" for number in range(30)}, {}, "more than 20 files"),
        ({"zeros": bytes(1 << 21)}, {}, "more than 1 MB"),
        ({"zeros": bytes(1 << 19)}, {}, "grows more than"),
        ({"key.der": b"secret"}, {"password": "open sesame"}, "encrypted"),
    ],
    ids=["many", "large", "bomb", "encrypted"],
)
def test_a_7z_over_a_bound_is_refused_in_one_line(tmp_path: Path, entries, how, why: str) -> None:
    target = packed_7z(tmp_path / "t.7z", entries, **how)
    with pytest.raises(InputError, match=why) as told:
        unpacked(target, LIMITS)
    assert "not unpacked" in str(told.value) and "\n" not in str(told.value)


def test_a_7z_that_is_damaged_anywhere_is_one_line_or_what_is_left(tmp_path: Path) -> None:
    whole = packed_7z(tmp_path / "t.7z", {"a.der": bytes(range(256)) * 8, "b.der": b"b" * 900}).read_bytes()
    refused = 0
    for at in range(0, len(whole), 3):
        (tmp_path / "d.7z").write_bytes(whole[:at] + bytes([whole[at] ^ 0x5A]) + whole[at + 1 :])
        try:
            unpacked(tmp_path / "d.7z", LIMITS)
        except InputError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > len(whole) // 6


def renamed(target: Path, name: str, other: str) -> None:
    """Another name of the same length in the header of a 7z, with the checksums that it then has (7zFormat.txt)."""
    data = bytearray(target.read_bytes())
    offset, size = struct.unpack_from("<QQ", data, 12)
    header = bytes(data[32 + offset : 32 + offset + size])
    assert name.encode("utf-16-le") in header
    header = header.replace(name.encode("utf-16-le"), other.encode("utf-16-le"))
    data[32 + offset : 32 + offset + size] = header
    struct.pack_into("<I", data, 28, zlib.crc32(header))
    struct.pack_into("<I", data, 8, zlib.crc32(bytes(data[12:32])))
    target.write_bytes(bytes(data))


@pytest.mark.parametrize("name", ["../../evil.der", "/etc/evil.der", "a/../../evil.der"])
def test_no_path_leaves_a_7z(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "deep" / "er"
    inside.mkdir(parents=True)
    target = packed_7z(inside / "t.7z", {"x" * len(name): b"x", "good.der": b"y"})
    before = sorted(tmp_path.rglob("*"))
    renamed(target, "x" * len(name), name)
    try:
        found = unpacked(target)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert [item.inside for item in found.files] == ["good.der"]
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written"


def test_without_the_extra_a_7z_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "py7zr", None)
    monkeypatch.delitem(sys.modules, "analyzer.tickets.seven", raising=False)
    monkeypatch.delattr("analyzer.tickets.seven", raising=False)
    (tmp_path / "t.7z").write_bytes(b"7z\xbc\xaf\x27\x1c" + bytes(64))
    with pytest.raises(InputError, match="7z archive") as told:
        unpacked(tmp_path / "t.7z")
    assert "[compression]" in str(told.value.hint)


def hostile_zip(target: Path, **entries: bytes) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
        archive.write(CASE / "capture.pcap", "capture.pcap")
    return target


@pytest.mark.parametrize(
    "name", ["../../evil.der", "/etc/evil.der", "a/../../evil.der", "C:\\evil.der", "..\\evil.der"]
)
def test_no_path_leaves_an_archive(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "deep" / "er"
    inside.mkdir(parents=True)
    target = hostile_zip(inside / "t.zip", **{name: b"x"})
    before = sorted(tmp_path.rglob("*"))
    found = unpacked(target)
    assert [item.inside for item in found.files] == ["capture.pcap"]
    assert found.left == ("evil.der",)
    judged(target)
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written"


def test_links_and_devices_in_archives_are_left(tmp_path: Path) -> None:
    target = tmp_path / "t.tar"
    with tarfile.open(target, "w") as archive:
        archive.add(CASE / "capture.pcap", "capture.pcap")
        for kind, name in (
            (tarfile.SYMTYPE, "link.der"),
            (tarfile.LNKTYPE, "hard.der"),
            (tarfile.CHRTYPE, "null.der"),
            (tarfile.FIFOTYPE, "pipe.der"),
        ):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
    assert unpacked(target).left == ("link.der", "hard.der", "null.der", "pipe.der")
    linked = tmp_path / "t.zip"
    with zipfile.ZipFile(linked, "w") as archive:
        info = zipfile.ZipInfo("link.der")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    assert (unpacked(linked).files, unpacked(linked).left) == ((), ("link.der",))


LIMITS = ArchiveLimits(entries=20, expanded=1 << 20, ratio=100, grown_from=1 << 16)


def many(target: Path) -> Path:
    return hostile_zip(target, **{f"{number}.der": b"x" for number in range(30)})


def large(target: Path) -> Path:
    noise = bytes(range(256)) * 1024
    return hostile_zip(target, **{f"{number}.bin": noise for number in range(6)})


def bomb(target: Path) -> Path:
    return hostile_zip(target, zeros=bytes(1 << 19))


def tar_bomb(target: Path) -> Path:
    with tarfile.open(target, "w:gz") as archive:
        member = tarfile.TarInfo("zeros")
        member.size = 1 << 19
        archive.addfile(member, io.BytesIO(bytes(member.size)))
    return target


def lying(target: Path) -> Path:
    """A header that promises less than comes out."""
    data = bytearray(hostile_zip(target, zeros=bytes(1 << 19)).read_bytes())
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 100)
    target.write_bytes(bytes(data))
    return target


@pytest.mark.parametrize("make", [many, large, bomb, tar_bomb])
def test_an_archive_over_a_bound_is_refused_in_one_line(tmp_path: Path, make) -> None:
    target = make(tmp_path / "t.zip")
    with pytest.raises(InputError) as told:
        unpacked(target, LIMITS)
    assert "not unpacked" in str(told.value) and "\n" not in str(told.value)


def test_sizes_in_headers_are_not_believed(tmp_path: Path) -> None:
    found = unpacked(lying(tmp_path / "t.zip"), LIMITS)
    assert all(item.size <= 100 for item in found.files if item.inside == "zeros")


def test_an_encrypted_zip_is_one_clear_line(tmp_path: Path) -> None:
    data = bytearray(hostile_zip(tmp_path / "t.zip").read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(magic) + at] |= 1
    (tmp_path / "t.zip").write_bytes(bytes(data))
    with pytest.raises(InputError, match="encrypted zip"):
        unpacked(tmp_path / "t.zip")


@pytest.mark.parametrize("cut", [30, 100, 400])
@pytest.mark.parametrize("kind", ["zip", "tar.gz"])
def test_a_damaged_archive_is_an_input_error_or_what_is_left(tmp_path: Path, kind: str, cut: int) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    target = tmp_path / f"t.{kind}"
    if kind == "zip":
        zipped(folder, target)
    else:
        with tarfile.open(target, "w:gz") as archive:
            archive.add(folder, "ticket")
    target.write_bytes(target.read_bytes()[:-cut])
    try:
        found = unpacked(target)
    except InputError as error:
        assert "\n" not in str(error)
    else:
        assert all(item.data is not None for item in found.files)


def test_commands_that_read_files_of_an_archive_say_to_unpack_it(tmp_path: Path) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    packed, plain = judged(zipped(folder, tmp_path / "t.zip")), judged(folder)
    steps = packed.captures[0].sessions[0].verdict.remedy
    assert "t.zip: unpack it first" in steps[0].text
    assert len(steps) == 1 + len(plain.captures[0].sessions[0].verdict.remedy)
    quiet = judged(zipped(copied(CAPTURES / "tcp-12-syn-refused", tmp_path / "other"), tmp_path / "o.zip"))
    assert not any("unpack" in step.text for step in quiet.captures[0].sessions[0].verdict.remedy)


def test_archives_inside_archives_are_left(tmp_path: Path) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    zipped(folder, folder / "again.zip")
    (ticket,) = tickets(zipped(folder, tmp_path / "t.zip"))
    assert isinstance(ticket, Ticket)
    assert {item.path: item.taken_as for item in ticket.inputs}["again.zip"] is TakenAs.LEFT
    assert len(ticket.captures) == 1


# -- the command -----------------------------------------------------------------------------------------------------------


def test_the_command_takes_tickets_and_says_what_it_took(tmp_path: Path, run) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    done = run(str(folder), "--format", "json", "--verbose")
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert report["captures"][0]["inputs"][0] == {"path": "capture.pcap", "taken_as": "capture"}
    for item in report["captures"][0]["inputs"]:
        assert f"{item['path']}: {item['taken_as']}" in done.stderr
    assert "inputs" not in json.loads(run(str(folder / "capture.pcap"), "--format", "json").stdout)["captures"][0]


def test_keys_beside_a_capture_are_named_in_one_line(tmp_path: Path, run) -> None:
    folder = copied(CASE, tmp_path / "ticket")
    told = run(str(folder / "capture.pcap")).stderr
    assert told.count("\n") == 1 and f"--keys {folder / 'keys'}" in told
    assert run(str(folder / "capture.pcap"), "--keys", str(folder / "keys")).stderr == ""


def test_an_archive_that_is_none_ends_with_status_3(tmp_path: Path, run) -> None:
    (tmp_path / "t.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    done = run(str(tmp_path / "t.zip"))
    assert done.returncode == 3
    assert done.stderr.startswith("analyze: ") and done.stderr.count("\n") == 1
