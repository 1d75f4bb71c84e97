import pytest

from seqkit import kernels
from seqkit.kernels import compiled
from seqkit.kernels.library_files import library_file
from tests.packaging import tiny

EXPORTS = ["seqkit_source", "seqkit_gather"]


@pytest.fixture
def read():
    from binaries import read_binary

    return read_binary


def test_linux(read):
    found = read(tiny.elf(EXPORTS, ["libc.so.6", "libm.so.6"], ["GLIBC_2.2.5", "GLIBC_2.14", "GLIBC_2.4"]))
    assert found == ("ELF", "x86_64", set(EXPORTS), {"libc.so.6", "libm.so.6"}, ("glibc", (2, 14)), False)
    assert read(tiny.elf(machine=183)).machine == "aarch64"


def test_windows(read):
    found = read(tiny.pe(EXPORTS, ["KERNEL32.dll", "ntdll.dll"], system=(6, 1)))
    assert found == ("PE", "x86_64", set(EXPORTS), {"KERNEL32.dll", "ntdll.dll"}, ("Windows", (6, 1)), False)


@pytest.mark.parametrize(("machine", "name"), [(0x0100000C, "aarch64"), (0x01000007, "x86_64")])
def test_macos(read, machine, name):
    found = read(tiny.macho(EXPORTS, ["/usr/lib/libSystem.B.dylib"], machine, (10, 15)))
    assert found == ("Mach-O", name, set(EXPORTS), {"/usr/lib/libSystem.B.dylib"}, ("macOS", (10, 15)), True)


def test_a_signature_must_fit_the_content(read):
    content = tiny.macho(EXPORTS)
    assert read(content).signed
    assert not read(tiny.macho(EXPORTS, signed=False)).signed
    place = content.index(b"_seqkit_source")
    assert not read(content[:place] + b"_Seqkit_source" + content[place + 14 :]).signed


@pytest.mark.parametrize("content", [b"", b"text", b"\xca\xfe\xba\xbe more"])
def test_other_files_are_refused(read, content):
    with pytest.raises(ValueError, match="is no 64-bit ELF, PE or Mach-O library"):
        read(content)


@pytest.mark.skipif(kernels.load_library("gather") is None, reason="built without a compiler")
def test_the_libraries_of_this_machine_export_only_their_functions(read):
    for library, stem in (("gather", "gather"), ("sweeps", "sweeps_plain")):
        content = (compiled.FOLDER / library_file(stem)).read_bytes()
        assert read(content).exports == {*compiled.FUNCTIONS[library], "seqkit_source"}
