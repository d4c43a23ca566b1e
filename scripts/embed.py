#!/usr/bin/env python3
"""Writes files into a C++ source that is admin::assets(). Usage: embed.py OUTPUT FILE...

Each is served by its name; index.html is "/".
"""
import hashlib
import pathlib
import sys

TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


def array(name, body):
    rows = (body[at:at + 24] for at in range(0, len(body), 24))
    return "\n".join([f"constexpr unsigned char {name}[] = {{",
                      *("  " + ",".join(map(str, row)) + "," for row in rows), "};"])


def main():
    output, files = pathlib.Path(sys.argv[1]), [pathlib.Path(name) for name in sys.argv[2:]]
    bodies = [file.read_bytes() for file in files]
    source = ["// Made by scripts/embed.py.", '#include "admin/assets.h"', "", "namespace admin {",
              "namespace {", ""]
    source += [array(f"kBody{number}", body) for number, body in enumerate(bodies)]
    source += ["", "template <std::size_t size>",
               "std::string_view text(const unsigned char (&bytes)[size]) {",
               "  return {reinterpret_cast<const char*>(bytes), size};", "}", "", "}  // namespace",
               "", "std::span<const Asset> assets() {", "  static const Asset kAssets[] = {"]
    for number, (file, body) in enumerate(zip(files, bodies)):
        path = "/" if file.name == "index.html" else f"/{file.name}"
        tag = f'\\"{hashlib.sha256(body).hexdigest()[:16]}\\"'
        source.append(f'    {{"{path}", "{TYPES[file.suffix]}", "{tag}", text(kBody{number})}},')
    source += ["  };", "  return kAssets;", "}", "", "}  // namespace admin", ""]
    output.write_text("\n".join(source))


if __name__ == "__main__":
    main()
