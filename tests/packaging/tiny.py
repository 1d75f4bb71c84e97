"""Libraries of a few hundred bytes, which have only what ``binaries.py`` reads."""

import hashlib
import struct
from pathlib import Path

ROOT = Path(__file__).parents[2]


def strings(names):
    """A block of strings that end with zero, and where each begins."""
    block, places = b"\0", {}
    for name in names:
        places[name] = len(block)
        block += name.encode() + b"\0"
    return block, places


def elf(exports=(), needs=(), versions=("GLIBC_2.2.5",), machine=62):
    """A library for Linux; it also has a local symbol and an undefined one."""
    block, at = strings(["local", "undefined", "libc.so.6", *exports, *needs, *versions])
    symbols = struct.pack("<IBxHQQ", at["local"], 0x02, 1, 0, 0)
    symbols += struct.pack("<IBxHQQ", at["undefined"], 0x12, 0, 0, 0)
    symbols += b"".join(struct.pack("<IBxHQQ", at[name], 0x12, 1, 0, 0) for name in exports)
    dynamic = b"".join(struct.pack("<qQ", 1, at[name]) for name in needs) + struct.pack("<qQ", 0, 0)
    needed = struct.pack("<HHIII", 1, len(versions), at["libc.so.6"], 16, 0)
    needed += b"".join(struct.pack("<IHHII", 0, 0, 2, at[version], 16) for version in versions)
    parts = [(0, b"", 0), (11, symbols, 2), (3, block, 0), (6, dynamic, 2), (0x6FFFFFFE, needed, 2)]
    content, headers = b"", b""
    for kind, part, link in parts:
        headers += struct.pack("<IIQQQQIIQQ", 0, kind, 0, 0, 64 + len(content), len(part), link, 0, 1, 0)
        content += part
    start = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    start += struct.pack("<HHIQQQIHHHHHH", 3, machine, 1, 0, 0, 64 + len(content), 0, 64, 0, 0, 64, len(parts), 2)
    return start + content + headers


def pe(exports=(), needs=(), machine=0x8664, system=(6, 0)):
    """A library for Windows: one section, which is at 0x1000 in memory and at 512 in the file."""
    block, at = strings([*exports, *needs])
    base = 0x1000
    names = base + 40
    imports = names + 4 * len(exports)
    text = imports + 20 * (len(needs) + 1)
    section = struct.pack("<24xI4xI4x", len(exports), names)
    section += b"".join(struct.pack("<I", text + at[name]) for name in exports)
    section += b"".join(struct.pack("<12xI4x", text + at[name]) for name in needs) + bytes(20) + block
    optional = struct.pack("<H46xHH60xIIII", 0x20B, *system, base, 40, imports, 40).ljust(240, b"\0")
    header = struct.pack("<2s58xI4sHH12xHH", b"MZ", 64, b"PE\0\0", machine, 1, len(optional), 0x2022)
    header += optional + struct.pack("<8sIIII16x", b".rdata", len(section), base, len(section), 512)
    return header.ljust(512, b"\0") + section


def macho(exports=(), needs=(), machine=0x0100000C, system=(11, 0), signed=True):
    """A library for macOS."""
    names = [f"_{name}".encode() + b"\0" for name in exports]
    start = 2 + sum(len(name) + 1 for name in names)  # each node is four bytes; all offsets fit into one
    trie = bytes([0, len(names)]) + b"".join(name + bytes([start + 4 * i]) for i, name in enumerate(names))
    trie += bytes([2, 0, 0, 0]) * len(names)
    commands = [struct.pack("<IIIIII", 0x32, 24, 1, system[0] << 16 | system[1] << 8, 0, 0)]
    for name in needs:
        path = name.encode().ljust((len(name) + 8) // 8 * 8, b"\0")
        commands.append(struct.pack("<IIIIII", 0xC, 24 + len(path), 24, 0, 0, 0) + path)
    begin = 32 + sum(map(len, commands)) + 32
    end = begin + len(trie)
    commands.append(struct.pack("<IIII", 0x80000033, 16, begin, len(trie)))
    commands.append(struct.pack("<IIII", 0x1D, 16, end, 0) if signed else struct.pack("<II8x", 0x1B, 16))
    content = struct.pack("<IIIIIIII", 0xFEEDFACF, machine, 0, 6, len(commands), begin - 32, 0, 0)
    content += b"".join(commands) + trie
    return content + signature(content) if signed else content


def signature(content):
    """An ad-hoc signature with the hashes of pages of 64 bytes."""
    pages = [hashlib.sha256(content[i : i + 64]).digest() for i in range(0, len(content), 64)]
    directory = struct.pack(
        ">IIIIIIIIIBBBB", 0xFADE0C02, 0, 0x20400, 2, 40, 0, 0, len(pages), len(content), 32, 2, 0, 6
    ) + b"".join(pages)
    return struct.pack(">IIIII", 0xFADE0CC0, 0, 1, 0, 20) + directory
