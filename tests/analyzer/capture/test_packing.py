"""Compressed and archived captures: the same report, bounded whatever they claim; made by the standard library's writers."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import io
import lzma
import struct
import sys
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzer.capture import Limits, open_capture, packing
from analyzer.capture.records import Notes
from analyzer.capture.source import Source
from analyzer.errors import InputError
from captures.synth import capfile

CAPTURES = Path(__file__).resolve().parents[3] / "captures"
PLAIN = (CAPTURES / "tcp-02a-cloud-wrong-devkey-brewskey" / "capture.pcap").read_bytes()


def tarred(data: bytes, form: int = tarfile.USTAR_FORMAT, others: int = 2) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as archive:
        for number in range(others):
            note = tarfile.TarInfo(f"readme-{number}-{'x' * 150 if form == tarfile.GNU_FORMAT else ''}.txt")
            note.size = 700
            archive.addfile(note, io.BytesIO(b"a" * 700))
        info = tarfile.TarInfo("ticket/c.pcap")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def zipped(data: bytes, **others: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "about it")
        archive.writestr("c.pcap", data)
        for name, other in others.items():
            archive.writestr(name, other)
    return out.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, lzma.FORMAT_ALONE),
    "gz.gz": lambda data: gzip.compress(gzip.compress(data, mtime=0), mtime=0),
    "two members": lambda data: bz2.compress(data[:1000]) + bz2.compress(data[1000:]),
    "tar": tarred,
    "GNU tar": lambda data: tarred(data, tarfile.GNU_FORMAT),
    "pax tar": lambda data: tarred(data, tarfile.PAX_FORMAT),
    "tar.gz": lambda data: gzip.compress(tarred(data), mtime=0),
    "tar.xz": lambda data: lzma.compress(tarred(data)),
    "pcap.gz in tar.bz2": lambda data: bz2.compress(tarred(gzip.compress(data, mtime=0))),
    "zip": zipped,
    "pcap.xz in zip": lambda data: zipped(lzma.compress(data)),
}


def facts(path: Path, limits: Limits = Limits()) -> tuple[list[object], list[str], str]:  # noqa: B008
    capture = open_capture(path, name="c", limits=limits, foreign=False)
    packets = list(capture)
    return packets, [problem.code for problem in capture.problems], capture.status


@pytest.mark.parametrize("name", PACKED)
def test_the_packets_are_those_of_the_plain_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(PLAIN)
    (tmp_path / "packed").write_bytes(PACKED[name](PLAIN))
    found = facts(tmp_path / "packed")
    assert found == facts(tmp_path / "plain")
    assert found[0]


@pytest.mark.parametrize(("name", "module"), [("zst", "zstandard"), ("lz4", "lz4.frame")])
def test_an_extra_reads_it(name: str, module: str, tmp_path: Path) -> None:
    library = pytest.importorskip(module)
    compress = library.ZstdCompressor().compress if name == "zst" else library.compress
    (tmp_path / "plain").write_bytes(PLAIN)
    for packed in (compress(PLAIN), compress(PLAIN[:1000]) + compress(PLAIN[1000:]), compress(gzip.compress(PLAIN))):
        (tmp_path / "packed").write_bytes(packed)
        assert facts(tmp_path / "packed") == facts(tmp_path / "plain")


@pytest.mark.parametrize(
    ("magic", "problem"), [("28b52ffd", "compressed with zstd"), ("04224d18", "compressed with lz4")]
)
def test_without_the_extra_it_is_named(
    magic: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("compression.zstd", "zstandard", "lz4.frame"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "packed").write_bytes(bytes.fromhex(magic) + bytes(60))
    with pytest.raises(InputError, match=r"\[compression\]") as raised:
        facts(tmp_path / "packed")
    assert raised.value.problem == problem


#: Much that takes little: half a gigabyte of zeros behind a capture's header.
BOMB = PLAIN[:24] + bytes(64 << 20)


@pytest.mark.parametrize("name", ["gz", "bz2", "xz", "lzma", "gz.gz", "tar.gz", "zip"])
def test_a_bomb_costs_what_the_limit_allows(name: str, tmp_path: Path) -> None:
    path = tmp_path / "bomb"
    path.write_bytes(PACKED[name](BOMB))
    tracemalloc.start()
    _, problems, status = facts(path, Limits(expanded=4 << 20, packets=1000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert status == "partial"
    assert {"limit-bytes", "limit-packets", "damaged-record"} & set(problems)
    assert peak < 24 << 20


def test_a_bomb_in_a_bomb_is_limited_as_one() -> None:
    inner = gzip.compress(bytes(200 << 20))
    notes = Notes()
    source = Source(io.BytesIO(gzip.compress(inner + inner)), notes, Limits(expanded=1 << 20))
    total = 0
    while data := source.more(1):
        total += len(data)
    assert total <= 2 << 20
    assert [problem.code for problem in notes.problems] == ["limit-bytes"]


def test_an_xz_dictionary_beyond_reason_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.lzma"
    path.write_bytes(struct.pack("<BIQ", 0x5D, 0xFFFFFFFF, 10_000) + bytes(100))
    with pytest.raises(InputError):
        facts(path)


def test_layers_end() -> None:
    data = PLAIN
    for _ in range(8):
        data = gzip.compress(data)
    with pytest.raises(InputError):
        open_capture(io.BytesIO(data), name="c")


def test_what_the_archive_holds_beside_is_said(tmp_path: Path) -> None:
    path = tmp_path / "two.zip"
    path.write_bytes(zipped(PLAIN, **{"d.pcap": PLAIN}))
    packets, problems, status = facts(path)
    assert (bool(packets), problems, status) == (True, ["more-captures"], "partial")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name in ("a.pcap", "b.pcap"):
            info = tarfile.TarInfo(name)
            info.size = len(PLAIN)
            archive.addfile(info, io.BytesIO(PLAIN))
    path.write_bytes(out.getvalue())
    assert facts(path)[1:] == (["more-captures"], "partial")


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (zipped(b"not one"), "without a capture"),
        (zipped(PLAIN)[:200], "cannot be read"),
        (tarred(b"not one"), "not a capture|empty"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(60), "a 7z archive"),
    ],
)
def test_what_holds_no_capture_is_one_clear_line(data: bytes, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "c"
    path.write_bytes(data)
    with pytest.raises(InputError, match=problem):
        facts(path)


@pytest.mark.parametrize("name", ["gz", "bz2", "xz", "lzma", "tar.gz", "zip", "tar"])
def test_cut_and_damaged_archives_end_with_a_word(name: str, tmp_path: Path) -> None:
    whole = PACKED[name](PLAIN * 1 + bytes(0))
    path = tmp_path / "c"
    for size in (len(whole) // 2, len(whole) - 20):
        path.write_bytes(whole[:size])
        try:
            _, problems, status = facts(path)
        except InputError:
            continue
        assert problems or "tar" in name  # the end of a tar archive is padding
        assert status == "partial" or not problems


@settings(max_examples=150)
@given(st.sampled_from(sorted(PACKED)), st.data())
def test_any_damage_is_no_exception(name: str, data: st.DataObject) -> None:
    raw = bytearray(PACKED[name](PLAIN[:3000]))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError, packing.Missing):
        if name.endswith("zip"):
            packing.ZipMember(io.BytesIO(bytes(raw)), Notes()).read(1 << 20)
        else:
            list(open_capture(io.BytesIO(bytes(raw)), name="c", limits=Limits(expanded=1 << 20)))


def test_a_capture_of_no_packets_in_an_archive() -> None:
    assert list(open_capture(io.BytesIO(gzip.compress(capfile.pcap([]))), name="c")) == []
