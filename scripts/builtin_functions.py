#!/usr/bin/env python3
"""Writes src/sql/builtin_functions.inc from a running PostgreSQL's pg_proc and pg_type.

    scripts/builtin_functions.py [psql's connection options] > src/sql/builtin_functions.inc

Use the major version whose grammar libpg_query has (15). The names are sorted, so that the code
can search them by halves. A name of which any overload is volatile counts as volatile. What the
volatile ones do, and which non-volatile ones must not run on a replica, is decided by hand, in
src/sql/functions.cc.
"""

import subprocess
import sys

QUERY = """
select proname, bool_or(provolatile = 'v')
from pg_catalog.pg_proc
where pronamespace = 'pg_catalog'::regnamespace and prokind in ('f', 'a', 'w')
group by proname order by proname collate "C"
"""

# Those that a call of one argument may cast to; their input functions change nothing.
TYPES = """
select typname from pg_catalog.pg_type
where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm')
  and typname !~ '^(_|pg_)' order by typname collate "C"
"""


def rows(options, query):
    command = ["psql", "-X", "-A", "-t", "-F", " ", *options, "-c", query]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return [line.split() for line in out.splitlines() if line]


def array(name, names):
    print(f"constexpr std::string_view {name}[] = {{")
    line = "   "
    for function in names:
        word = f' "{function}",'
        if len(line) + len(word) > 100:
            print(line)
            line = "   "
        line += word
    print(line)
    print("};")


def main():
    options = sys.argv[1:]
    version = rows(options, "show server_version")[0][0]
    functions = rows(options, QUERY)
    print(f"// Written by scripts/builtin_functions.py from PostgreSQL {version}.")
    array("kNotVolatile", [name for name, volatile in functions if volatile == "f"])
    array("kVolatile", [name for name, volatile in functions if volatile == "t"])
    array("kTypes", [name for name, in rows(options, TYPES)])


if __name__ == "__main__":
    main()
