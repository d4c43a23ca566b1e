"""The console's tables as psql and drivers see them, beside the same tables on PostgreSQL."""
import os
import pty
import re
import select
import subprocess
import time

import psycopg
import pytest

from support import PG_BIN, SLOW


def psql(conninfo, *commands):
    arguments = [part for command in commands for part in ("-c", command)]
    done = subprocess.run([PG_BIN / "psql", "-X", conninfo, *arguments], capture_output=True,
                          text=True, timeout=60 * SLOW, check=False,
                          env={**os.environ, "PAGER": "cat"})
    assert done.stderr.strip() in ("", "Did not find any relations."), done.stderr
    assert done.returncode == 0
    return done.stdout + done.stderr


@pytest.fixture
def console(weir):
    return weir.conninfo(user="admin", database="weir")


@pytest.fixture
def twins(console, cluster):
    """A schema on PostgreSQL with the same tables."""
    server = f"host=127.0.0.1 port={cluster.ports[0]} user=postgres dbname=app sslmode=disable"
    with psycopg.connect(console, autocommit=True) as ours, \
            psycopg.connect(server, autocommit=True) as theirs:
        theirs.execute("DROP SCHEMA IF EXISTS console CASCADE")
        theirs.execute("CREATE SCHEMA console")
        theirs.execute("SET search_path = console")
        names = [name for (name,) in ours.execute(
            "SELECT table_name FROM information_schema.tables").fetchall()]
        for name in names:
            columns = ours.execute(
                "SELECT column_name, data_type FROM information_schema.columns "
                "WHERE table_name = %s ORDER BY ordinal_position", [name]).fetchall()
            theirs.execute(f'CREATE TABLE "{name}" (' + ", ".join(
                f'"{column}" {type_}' for column, type_ in columns) + ")")
        yield server + " options='-c search_path=console'", names
        theirs.execute("DROP SCHEMA console CASCADE")


def test_every_table_is_described_as_on_postgres(console, twins):
    server, names = twins
    assert {"pools", "clients", "statements", "hosts"} <= set(names)
    ours = psql(console, *(f"\\d {name}" for name in names))
    theirs = psql(server, *(f"\\d {name}" for name in names))
    assert ours.split() == theirs.replace('Table "console.', 'Table "public.').split()
    for title in names:
        assert f'Table "public.{title}"' in ours


def rows(output):
    return [[cell.strip() for cell in line.split("|")] for line in output.splitlines()
            if "|" in line]


@pytest.mark.parametrize("command", ["\\d", "\\dt"])
def test_lists_of_tables(console, twins, command):
    server, names = twins
    ours, theirs = rows(psql(console, command)), rows(psql(server, command))
    assert ours[0] == theirs[0]
    assert [row[1:3] for row in ours] == [row[1:3] for row in theirs]
    assert [row[1] for row in ours[1:]] == sorted(names)


@pytest.mark.parametrize("command", [
    "\\d po*", "\\d+ pools", "\\dt+", "\\dt pools", "\\dv", "\\di", "\\ds", "\\dn", "\\du", "\\l",
    "\\df", "\\dT", "\\dx", "\\conninfo", "SELECT version()", "SELECT current_database()",
    "SELECT current_schema()", "SELECT current_user"])
def test_psql_gets_an_answer(console, twins, command):
    server, _ = twins
    ours, theirs = psql(console, command), psql(server, command)
    if rows(theirs):  # the same columns
        assert rows(ours)[0] == rows(theirs)[0]
    assert ours.strip()


def test_tab_completes(console):
    """What psql asks for when the tab key is pressed."""
    process, terminal = pty.fork()
    if process == 0:
        os.environ.update(TERM="xterm", PAGER="cat", INPUTRC="/dev/null")
        os.execv(PG_BIN / "psql", ["psql", "-X", console])

    def read_until(text, seen=""):
        deadline = time.monotonic() + 20 * SLOW
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([terminal], [], [], 0.1)[0]:
                seen += os.read(terminal, 65536).decode(errors="replace")
        return seen

    try:
        read_until("weir=")
        os.write(terminal, b"SELECT database FROM host_p\t")
        read_until("host_pools")
        os.write(terminal, b"; \n\\d statem\t")
        read_until("statements")
        os.write(terminal, b"\n\\q\n")
        assert "first_seen" in read_until("last_seen")
    finally:
        os.close(terminal)
        os.waitpid(process, 0)


def both(console, server, sql):
    with psycopg.connect(console, autocommit=True) as ours, \
            psycopg.connect(server, autocommit=True) as theirs:
        mine, yours = ours.execute(sql), theirs.execute(sql)
        assert [column.name for column in mine.description] == \
            [column.name for column in yours.description]
        return mine.fetchall(), yours.fetchall()


@pytest.mark.parametrize("sql", [
    "SELECT n FROM generate_series(2, 5) n",
    "SELECT n + 1 AS more FROM generate_series(1 + 1, 2 * 2) AS n WHERE n <> 3",
    "SELECT relname FROM pg_catalog.pg_class WHERE relname ~ '^(pools|pins)$' "
    "AND relkind = ANY (ARRAY['r', 'v']) ORDER BY relname",
    "SELECT relname FROM pg_class WHERE relname ~* '^POOLS$' AND relname !~ 'x' ORDER BY 1",
    "SELECT relname FROM pg_class WHERE relname LIKE 'host\\_p%' OR relname LIKE '_ins' "
    "ORDER BY 1",
    "SELECT E'it\\'s\\ta tab' AS text, 'plain\\n' AS other",
    "SELECT '17'::int4 + 1 AS n, 'a'::character varying(10) AS t, "
    "NULL::timestamp with time zone AS u",
    "SELECT relname FROM pg_class WHERE oid = 'pools'::regclass",
    "SELECT attname, format_type(atttypid, atttypmod) AS type FROM pg_attribute "
    "WHERE attrelid = 'pools'::regclass AND attnum > 0 ORDER BY attnum",
    "SELECT column_name, ordinal_position, data_type, is_nullable FROM information_schema.columns "
    "WHERE table_name = 'hosts' ORDER BY ordinal_position",
    "SELECT 'a -- no comment' AS a /* ::int */, \"relname\" FROM pg_class WHERE relname = 'pins'",
])
def test_the_same_answers(console, twins, sql):
    ours, theirs = both(console, twins[0], sql)
    assert [tuple(map(str, row)) for row in ours] == [tuple(map(str, row)) for row in theirs]


@pytest.mark.parametrize("sql", [
    "SELECT 'x' WHERE 'a' ~ '('", "SELECT $$", "SELECT E'", "SELECT ::", "SELECT 1::",
    "SELECT * FROM generate_series(", "SELECT 1 = ANY (ARRAY[", "SELECT OPERATOR(", "SELECT a[",
    "SELECT * FROM " + "generate_series(1, " * 300 + "1" + ")" * 300,
    "SELECT " + "(" * 5000, "SELECT 'a'::regclass::regclass::text",
    "SELECT " + "OPERATOR(" * 25000], ids=range(13))
def test_what_is_no_sql_is_an_error(console, sql):
    with psycopg.connect(console, autocommit=True) as driver:
        try:
            driver.execute(sql)
        except psycopg.Error as error:
            assert error.sqlstate
        assert driver.execute("SELECT count(*) FROM lists").fetchone()[0] > 5


def test_sql_of_the_consoles_own_stays(console):
    """What is SQLite's, and no PostgreSQL's, or looks like what is rewritten."""
    with psycopg.connect(console, autocommit=True) as driver:
        assert driver.execute("SELECT 'a::int' || '~' || 'pg_catalog.x', \"name\" FROM databases "
                              "WHERE name = 'app'").fetchone() == ("a::int~pg_catalog.x", "app")
        assert driver.execute("SELECT count(*) FROM pools WHERE database LIKE 'a%'").fetchone()
        text = driver.execute("SELECT version()").fetchone()[0]
        assert re.match(r"PostgreSQL 15\.", text) and "Weir" in text
