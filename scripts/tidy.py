#!/usr/bin/env python3
"""Checks what the compiler cannot: who includes whom, purity, lengths, and traps of this toolchain.

Usage: tidy.py [repository root]. Prints one line a finding; exits 1 if there is any.
The rules are those of docs/architecture.md; a rule that is wrong is changed here, in one place.
A line that must break one says so, with the reason, in itself or above: "// tidy: why".
"""
import ast
import pathlib
import re
import subprocess
import sys

# Folder -> folders it may include (itself always).
_BELOW_PROXY = {"protocol", "base", "config", "sql", "cluster", "route", "session", "pool", "net"}
LAYERS = {
    "protocol": set(),
    "base": set(),
    "pch": set(),
    "config": {"base"},
    "sql": {"base", "protocol"},
    "cluster": {"base", "config", "protocol"},
    "route": {"base", "config", "sql", "cluster"},
    "session": {"base", "config", "protocol", "sql"},
    "pool": {"base", "config"},
    "net": {"base", "config", "protocol"},
    "proxy": _BELOW_PROXY,
    "admin": _BELOW_PROXY | {"proxy"},
    "top": set(),
    "main": _BELOW_PROXY | {"proxy", "admin", "top"},
}
# Pure folders are fed bytes, events and a time: no sockets, files, threads, or clock.
PURE = {"protocol", "base", "config", "sql", "cluster", "route", "session", "pool"}
IMPURE_HEADERS = re.compile(
    r"#include <(boost/asio|boost/beast|sys/(?!un\.h)|unistd\.h|poll\.h|fcntl\.h|netdb\.h|"
    r"fstream|filesystem|thread>|mutex>|shared_mutex>|condition_variable>|future>|libpq-fe\.h)")
MAX_FILE, MAX_FUNCTION, MAX_LINE = 600, 70, 100

LATER = r"\b(TO" r"DO|FIX" r"ME|XX" r"X)\b"
MACHINE = r"(?<![\w.\"'])/(?:work|farm)/"
BANNED = [  # (pattern, folders where it is allowed, what to do instead)
    (r"\bassert\(", (), "use CHECK (base/check.h): it stays on in release builds"),
    (r"_clock::now\(", ("net", "proxy", "admin", "top", "main", "tests"),
     "take the time as a parameter"),
    (r"asio::detached", (), "use net::spawn: detached swallows exceptions"),
    (r"^\s*throw\b", (), "return a status: nothing of ours throws"),
    (r"\busing namespace\b(?!.*literals)", ("tests",), "name what is used"),
    (r"\bspdlog::", ("base", "net", "proxy", "admin", "main", "tests"), "pure code does not log"),
]
COROUTINE = [  # GCC 12.2 miscompiles each of these, silently
    (r"co_await[^;]*\[[^\]]*\]\s*(\([^)]*\))?\s*(mutable)?\s*(->[^{;]*)?\{",
     "name the lambda first"),
    (r"co_await\s+[\w.:>\-]+\((?:[^;]*,)?\s*\{", "name the braced argument first"),
    (r"\?[^;:?{}]*\bco_await\b|\?[^;{}]*[^:]:[^:;{}]*\bco_await\b",
     "use if/else, not ?: around co_await"),
]
NAMELESS = {"util", "utils", "common", "manager", "helper", "helpers", "context", "misc"}


def blank(match):
    """A comment or literal gives way to spaces, so that lines and columns stay."""
    text = match.group()
    if text.startswith("/"):
        return re.sub(r"[^\n]", " ", text)
    return text[0] + re.sub(r"[^\n]", " ", text[1:-1]) + text[-1]


def code_of(text):
    """The file without comments, directives and the insides of literals."""
    text = re.sub(r'R"(\w*)\((?:.|\n)*?\)\1"', lambda m: re.sub(r"[^\n]", " ", m.group()), text)
    text = re.sub(r'//[^\n]*|/\*(?:.|\n)*?\*/|"(?:\\.|[^"\\\n])*"|'
                  r"(?<![\w])'(?:\\.|[^'\\\n])+'", blank, text)
    return re.sub(r"(?m)^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  text)


def functions(code):
    """(first line, length) of every function body that is not inside another."""
    stack, head_start, found = [], 0, []
    for match in re.finditer(r"[{};]", code):
        at, mark = match.start(), match.group()
        if mark == "{":
            head = code[head_start:at]
            if "function" in stack or re.search(r"[\w>,({=]$", head):
                stack.append("inner")
            elif re.search(r"\bnamespace\b|\bextern\b", head):
                stack.append("namespace")
            elif re.search(r"\b(class|struct|union|enum)\b[^()]*$", head) or ")" not in head:
                stack.append("type")
            else:
                stack.append("function")
                start_line = code.count("\n", 0, head_start + len(head) - len(head.lstrip())) + 1
        elif mark == "}" and stack:
            ended = stack.pop()
            if ended == "function":
                found.append((start_line, code.count("\n", 0, at) + 2 - start_line))
            if ended == "inner":  # an initialiser: the head of its function goes on
                continue
        if not stack or stack[-1] != "inner":
            head_start = at + 1
    return found


class Tidy:
    def __init__(self, root):
        self.root = root
        self.lines = []  # of the file at hand
        self.findings = []

    def add(self, path, line, words):
        if not re.search(r"(//|#) tidy: \w", "".join(self.lines[max(line - 2, 0):line])):
            self.findings.append(f"{path}:{line}: {words}")

    def files(self):
        listed = subprocess.run(["git", "-C", str(self.root), "ls-files", "--cached", "--others",
                                 "--exclude-standard"], capture_output=True, text=True, check=True)
        names = sorted(set(listed.stdout.splitlines()))
        return [pathlib.PurePosixPath(name) for name in names if (self.root / name).is_file()]

    def run(self):
        for path in self.files():
            if "corpus" in path.parts:
                continue
            try:
                text = (self.root / path).read_text(encoding="utf-8")
            except UnicodeDecodeError:
                continue
            self.check_text(path, text)
            if path.suffix in (".h", ".cc"):
                self.check_cpp(path, text)
            elif path.suffix == ".py" or re.match(r"#!/usr/bin/(env )?python3", text):
                self.check_python(path, text)
        return self.findings

    def check_text(self, path, text):
        self.lines = lines = text.splitlines()
        code_like = path.suffix in (".h", ".cc", ".py", ".go", ".js", ".java") or not path.suffix
        if code_like and len(lines) > MAX_FILE:
            self.add(path, 1, f"{len(lines)} lines, the limit is {MAX_FILE}")
        if NAMELESS & set(re.split(r"[_.\-]", path.name.lower())):
            self.add(path, 1, "a name that says nothing: name what the file holds")
        for number, line in enumerate(lines, 1):
            if code_like and len(line) > MAX_LINE:
                self.add(path, number, f"{len(line)} columns, the limit is {MAX_LINE}")
            if re.search(LATER, line):
                self.add(path, number, "finish it, or open an issue")
            if re.search(MACHINE, line):
                self.add(path, number, "a path of one machine")

    def folder(self, path):
        if path.parts[0] == "src":
            return path.parts[1] if len(path.parts) > 2 else "main"
        return path.parts[0]  # protocol, tests

    def check_cpp(self, path, text):
        folder = self.folder(path)
        if folder not in LAYERS and folder != "tests":
            self.add(path, 1, f"unknown folder {folder}: give it a place in LAYERS")
            return
        code = code_of(text)
        self.check_includes(path, folder, text)
        for number, line in enumerate(code.splitlines(), 1):
            for pattern, allowed, advice in BANNED:
                if folder not in allowed and re.search(pattern, line):
                    self.add(path, number, advice)
        for pattern, advice in COROUTINE:
            for match in re.finditer(pattern, code):
                self.add(path, code.count("\n", 0, match.start()) + 1, advice)
        for start, length in functions(code):
            if length > MAX_FUNCTION:
                self.add(path, start, f"{length} lines of function, the limit is {MAX_FUNCTION}")
        if path.suffix == ".h":
            if "#pragma once" not in text:
                self.add(path, 1, "no #pragma once")
            if not re.match(r"//\s*\S", text):
                self.add(path, 1, "the first line says what the header is for")
        elif path.suffix == ".cc":
            self.check_built(path)

    def check_includes(self, path, folder, text):
        if folder == "tests":
            return
        for number, line in enumerate(text.splitlines(), 1):
            own = re.match(r'#include "(\w+)/', line)
            if own and own[1] in LAYERS and own[1] != folder and own[1] not in LAYERS[folder]:
                self.add(path, number, f"{folder} may not include {own[1]}")
            if folder in PURE and IMPURE_HEADERS.match(line):
                # The loader's only door to the disk: password files and the look at TLS files.
                if str(path).endswith("src/config/files.cc"):
                    continue
                self.add(path, number, f"{folder} is pure: no sockets, files, threads or clock")

    def check_built(self, path):
        """A source that no meson.build names is neither compiled nor tested."""
        for above in path.parents:
            build = self.root / above / "meson.build"
            if build.exists():
                stem = path.relative_to(above).as_posix()
                if not re.search(rf"\b{re.escape(path.stem)}\b", build.read_text()):
                    self.add(path, 1, f"{above}/meson.build does not name {stem}")
                return
        self.add(path, 1, "no meson.build above it")

    def check_python(self, path, text):
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION:
                    self.add(path, node.lineno, f"{length} lines of function, the limit is "
                                                f"{MAX_FUNCTION}")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent)
    findings = Tidy(root.resolve()).run()
    print("\n".join(findings) or "tidy")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
