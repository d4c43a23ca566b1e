#!/usr/bin/env python3
"""Writes unicode_tables.inc, the tables of saslprep.cc and nfkc.cc, to standard output.

SASLprep (RFC 4013) knows the characters of Unicode 3.2 only; a text with any other is taken as
it is. So the tables hold no other either: Python's stringprep module has RFC 3454's tables,
unicodedata the decompositions, which Unicode's stability policy keeps for ever.
"""
import stringprep
import unicodedata

LIMIT = 0x110000
HANGUL = range(0xAC00, 0xD7A4)  # composed and decomposed by arithmetic


def ranges(contains):
    found, first = [], None
    for code in range(LIMIT + 1):
        inside = code < LIMIT and contains(chr(code))
        if inside and first is None:
            first = code
        elif not inside and first is not None:
            found.append((first, code - 1))
            first = None
    return found


def known(code):
    return not 0xD800 <= code < 0xE000 and not stringprep.in_table_a1(chr(code))


def prohibited(char):
    return any(table(char) for table in (
        stringprep.in_table_c12, stringprep.in_table_c21_c22, stringprep.in_table_c3,
        stringprep.in_table_c4, stringprep.in_table_c5, stringprep.in_table_c6,
        stringprep.in_table_c7, stringprep.in_table_c8, stringprep.in_table_c9))


def emit(declaration, items):
    print(f"{declaration} = {{")
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > 100:
            print(line)
            line = "   "
        line += f" {item},"
    print(line + "\n};")


def emit_ranges(name, contains):
    emit(f"constexpr CodeRange {name}[]", (f"{{{a:#x}, {b:#x}}}" for a, b in ranges(contains)))


def emit_classes():
    found = []
    for code in range(LIMIT):
        combining = unicodedata.combining(chr(code)) if known(code) else 0
        if not combining:
            continue
        if found and found[-1][1] == code - 1 and found[-1][2] == combining:
            found[-1][1] = code
        else:
            found.append([code, code, combining])
    emit("constexpr ClassRange kCombiningClasses[]",
         (f"{{{a:#x}, {b:#x}, {c}}}" for a, b, c in found))


def emit_decompositions():
    spans, pool = [], []
    for code in range(LIMIT):
        if not known(code) or code in HANGUL:
            continue
        parts = unicodedata.normalize("NFKD", chr(code))
        if parts == chr(code):
            continue
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code, len(pool)])
        pool += [f"{ord(part):#x}" for part in parts] + ["0"]
    emit("constexpr DecompositionRange kDecompositions[]",
         (f"{{{a:#x}, {b:#x}, {at}}}" for a, b, at in spans))
    emit("constexpr char32_t kDecompositionPool[]", pool)


def emit_compositions():
    pairs = []
    for code in range(LIMIT):
        if not known(code) or code in HANGUL:
            continue
        if unicodedata.normalize("NFC", chr(code)) != chr(code):
            continue  # never composed
        parts = unicodedata.decomposition(chr(code)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            pairs.append((int(parts[0], 16), int(parts[1], 16), code))
    emit("constexpr Composition kCompositions[]",
         (f"{{{a:#x}, {b:#x}, {c:#x}}}" for a, b, c in sorted(pairs)))


def main():
    print("// Written by unicode_tables.py; do not edit. Sorted by code point.")
    print("// clang-format off")
    print("#ifdef PROTOCOL_SASLPREP_TABLES")
    emit_ranges("kSpaces", stringprep.in_table_c12)
    emit_ranges("kMappedToNothing", stringprep.in_table_b1)
    emit_ranges("kProhibited", prohibited)
    emit_ranges("kUnassigned", stringprep.in_table_a1)
    emit_ranges("kRightToLeft", stringprep.in_table_d1)
    emit_ranges("kLeftToRight", stringprep.in_table_d2)
    print("#endif\n#ifdef PROTOCOL_NFKC_TABLES")
    emit_classes()
    emit_decompositions()
    emit_compositions()
    print("#endif\n// clang-format on")


main()
