"""Read what matters of a shared library: what it exports, what it needs, and for which systems it was built.

Reads 64-bit little-endian ELF (Linux), PE (Windows) and Mach-O (macOS) files.
"""

import hashlib
import struct
from collections.abc import Iterator
from typing import NamedTuple

X86_64, ARM64 = "x86_64", "aarch64"


class Binary(NamedTuple):
    """A shared library.

    ``system`` is the oldest system that loads it, by name and version: ("glibc", (2, 14)) or ("macOS", (11, 0)).
    """

    kind: str
    machine: str
    exports: set[str]
    needs: set[str]
    system: tuple[str, tuple[int, ...]]
    signed: bool = False  # Mach-O: an ad-hoc signature that fits the content


def read_binary(content: bytes) -> Binary:
    """Read a library.

    Raises:
        ValueError: The content is of no format that this function knows.
    """
    start = content[:4]
    if start == b"\x7fELF":
        return _read_elf(content)
    if start[:2] == b"MZ":
        return _read_pe(content)
    if start == b"\xcf\xfa\xed\xfe":
        return _read_macho(content)
    raise ValueError(f"a file that begins with {start!r} is no 64-bit ELF, PE or Mach-O library")


def _text(content: bytes, offset: int) -> str:
    return content[offset : content.index(b"\0", offset)].decode()


def _read_elf(content: bytes) -> Binary:
    machine, offset = struct.unpack_from("<18xH20xQ", content)
    size, count = struct.unpack_from("<HH", content, 0x3A)
    # type, offset, bytes, index of the section with the strings
    sections = [struct.unpack_from("<4xI16xQQI", content, offset + i * size) for i in range(count)]
    exports, needs, versions = set(), set(), [(0,)]
    for kind, begin, length, link in sections:
        strings = sections[link][1] if link < count else 0
        if kind == 11:  # dynamic symbols
            for at in range(begin, begin + length, 24):
                name, info, defined = struct.unpack_from("<IBxH", content, at)
                if defined and info >> 4:  # not local
                    exports.add(_text(content, strings + name))
        elif kind == 6:  # dynamic section
            for at in range(begin, begin + length, 16):
                tag, value = struct.unpack_from("<qQ", content, at)
                if tag == 1:
                    needs.add(_text(content, strings + value))
        elif kind == 0x6FFFFFFE:  # needed versions of symbols
            for name in _elf_versions(content, begin):
                library, _, version = _text(content, strings + name).partition("_")
                if library == "GLIBC":
                    versions.append(tuple(map(int, version.split("."))))
    return Binary("ELF", {62: X86_64, 183: ARM64}[machine], exports, needs, ("glibc", max(versions)))


def _elf_versions(content: bytes, at: int) -> Iterator[int]:
    while True:
        count, auxiliary, following = struct.unpack_from("<2xH4xII", content, at)
        entry = at + auxiliary
        for _ in range(count):
            name, step = struct.unpack_from("<8xII", content, entry)
            yield name
            entry += step
        if not following:
            return
        at += following


def _read_pe(content: bytes) -> Binary:
    header = struct.unpack_from("<I", content, 0x3C)[0]
    machine, count, optional = struct.unpack_from("<4xHH12xH", content, header)
    start = header + 24
    system = struct.unpack_from("<HH", content, start + 48)
    exported, _, imported = struct.unpack_from("<III", content, start + 112)
    # bytes in memory, address, bytes in the file, offset
    sections = [struct.unpack_from("<8xIIII", content, start + optional + 40 * i) for i in range(count)]

    def place(address: int) -> int:
        for size, begin, stored, offset in sections:
            if begin <= address < begin + max(size, stored):
                return offset + address - begin
        raise ValueError(f"address {address:#x} is in no section")

    exports, needs = set(), set()
    if exported:
        number, names = struct.unpack_from("<24xI4xI", content, place(exported))
        for address in struct.unpack_from(f"<{number}I", content, place(names)):
            exports.add(_text(content, place(address)))
    at = place(imported) if imported else None
    while at is not None and (name := struct.unpack_from("<12xI", content, at)[0]):
        needs.add(_text(content, place(name)))
        at += 20
    return Binary("PE", {0x8664: X86_64, 0xAA64: ARM64}[machine], exports, needs, ("Windows", system))


def _read_macho(content: bytes) -> Binary:
    machine, count = struct.unpack_from("<4xI8xI", content)
    exports, needs, system, signed = set(), set(), ("macOS", (0, 0)), False
    at = 32
    for _ in range(count):
        command, size = struct.unpack_from("<II", content, at)
        if command in (0x32, 0x24):  # oldest system: LC_BUILD_VERSION, LC_VERSION_MIN_MACOSX
            version = struct.unpack_from("<I", content, at + (12 if command == 0x32 else 8))[0]
            system = ("macOS", (version >> 16, version >> 8 & 255))
        elif command in (0xC, 0x80000018, 0x8000001F):  # needs, weakly needs, exports again
            needs.add(_text(content, at + struct.unpack_from("<I", content, at + 8)[0]))
        elif command in (0x22, 0x80000022, 0x80000033):  # exports: LC_DYLD_INFO(_ONLY), LC_DYLD_EXPORTS_TRIE
            begin, length = struct.unpack_from("<II", content, at + (8 if command == 0x80000033 else 40))
            if length:
                exports = set(_trie(content[begin : begin + length]))
        elif command == 0x1D:
            begin, _ = struct.unpack_from("<II", content, at + 8)
            signed = _is_signed(content, begin)
        at += size
    return Binary("Mach-O", {0x01000007: X86_64, 0x0100000C: ARM64}[machine], exports, needs, system, signed)


def _trie(trie: bytes, at: int = 0, prefix: str = "") -> Iterator[str]:
    """Yield the names below a node; the underscore that C names get is removed."""
    size, at = _uleb(trie, at)
    if size:
        yield prefix.removeprefix("_")
    at += size
    children, at = trie[at], at + 1
    for _ in range(children):
        part = _text(trie, at)
        child, at = _uleb(trie, at + len(part) + 1)
        yield from _trie(trie, child, prefix + part)


def _uleb(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte, at = content[at], at + 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _is_signed(content: bytes, begin: int) -> bool:
    """Tell whether the ad-hoc signature at an offset has the hashes of all pages before it."""
    magic, _, count = struct.unpack_from(">III", content, begin)
    if magic != 0xFADE0CC0:
        return False
    for _, offset in struct.iter_unpack(">II", content[begin + 12 : begin + 12 + 8 * count]):
        at = begin + offset
        if content[at : at + 4] == b"\xfa\xde\x0c\x02":  # the list of hashes
            flags, hashes, pages, limit, kind, bits = struct.unpack_from(">12xII8xIIxBxB", content, at)
            size = 1 << bits
            digests = [hashlib.sha256(content[i : min(i + size, limit)]).digest() for i in range(0, limit, size)]
            expected = content[at + hashes : at + hashes + 32 * pages]
            return kind == 2 and flags & 2 != 0 and limit == begin and b"".join(digests) == expected
    return False
