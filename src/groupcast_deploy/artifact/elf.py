"""Removes debug data from shared libraries (64-bit little-endian ELF, `man 5 elf`). Pure."""

from __future__ import annotations

import struct

_MAGIC = b"\x7fELF\x02\x01"
# e_phoff, e_shoff; e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
_TABLES, _TABLES_AT = struct.Struct("<QQ"), 32
_COUNTS, _COUNTS_AT = struct.Struct("<5H"), 54
# p_offset, p_vaddr, p_paddr, p_filesz, after p_type and p_flags.
_SEGMENT, _SEGMENT_AT = struct.Struct("<4Q"), 8


def without_debug(library: bytes) -> bytes:
    """A library without debug data, linker symbols and section table, which are a third of the zip file.

    The dynamic loader reads only segments, and in wheels' libraries everything else follows them.
    ValueError if it is not an ELF file.
    """
    if not library.startswith(_MAGIC):
        raise ValueError("not a 64-bit little-endian ELF file")
    segments_at, _ = _TABLES.unpack_from(library, _TABLES_AT)
    segment_size, segments, section_size, _, _ = _COUNTS.unpack_from(library, _COUNTS_AT)
    end = 0
    for number in range(segments):
        at = segments_at + number * segment_size
        offset, _, _, size = _SEGMENT.unpack_from(library, at + _SEGMENT_AT)
        end = max(end, offset + size, at + segment_size)
    kept = bytearray(library[:end])
    _TABLES.pack_into(kept, _TABLES_AT, segments_at, 0)
    _COUNTS.pack_into(kept, _COUNTS_AT, segment_size, segments, section_size, 0, 0)
    return bytes(kept)
