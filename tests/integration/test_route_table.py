"""Every statement of route_table.txt goes where it belongs, and really belongs there.

What the table says is proven on the servers themselves: a standby runs what is for replicas, and
refuses what is for the primary, unless the table says why it must not be asked.
"""
import pathlib
import re
from typing import NamedTuple

import pytest

from support import wire
from support.cluster import wait_until
from support.weir import Weir
from support.wire import COPY_DONE, SYNC, bind, execute, parse, query

HERE = pathlib.Path(__file__).parent
DATABASE, ROLE = "routes", "router"
MEMBER_OF = ("pg_monitor, pg_read_server_files, pg_write_server_files, pg_execute_server_program, "
             "pg_checkpoint, pg_signal_backend")
# These cannot run in the transaction that keeps the primary as it was.
TRANSACTION = re.compile(r"(BEGIN|START|COMMIT|ROLLBACK|PREPARE TRANSACTION)\b")
# What a standby says to a write without the SQLSTATE for that. The file: COPY of an unlogged table.
REFUSED = re.compile(r'during recovery|recovery is in progress|could not open file "base/')


# --- the table ------------------------------------------------------------------------------------


class Row(NamedTuple):
    route: str
    sql: str
    notes: dict

    @property
    def given(self):
        return self.notes.get("given")

    @property
    def values(self):
        return [value.strip() for value in self.notes.get("with", "").split(",") if value]

    def __str__(self):
        given = f"{self.given}; " if self.given else ""
        return given + " ".join(self.sql.split())


def read_table():
    rows = []
    for line in (HERE / "route_table.txt").read_text().split("\n## ", 1)[1].splitlines()[1:]:
        if start := re.match(r"(primary|replica|either) +(.*)", line):
            rows.append(Row(start[1], start[2], {}))
        elif note := re.match(r" {4}(given|with|error|why) +(.*)", line):
            rows[-1].notes[note[1]] = note[2]
        elif line.startswith(" " * 9):
            rows[-1] = rows[-1]._replace(sql=f"{rows[-1].sql}\n{line[9:]}")
        else:
            assert not line or line.startswith("## "), f"neither a row nor a note: {line}"
    return rows


TABLE = read_table()
every_row = pytest.mark.parametrize("row", TABLE, ids=str)


def test_the_table_is_large_and_says_nothing_twice():
    assert len(TABLE) >= 400
    assert len({str(row) for row in TABLE}) == len(TABLE)


# --- servers --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(cluster):
    """Its name; everything the table is about is in there, on all hosts."""
    cluster.sql(0, f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE}' IN ROLE {MEMBER_OF}")
    cluster.sql(0, f"CREATE DATABASE {DATABASE}")
    try:
        cluster.sql(0, (HERE / "route_schema.sql").read_text(), DATABASE)
        cluster.wait_replayed()
        yield DATABASE
    finally:
        cluster.sql(0, f"DROP DATABASE {DATABASE} WITH (FORCE)")
        cluster.sql(0, f"DROP ROLE {ROLE}")
        for left in pathlib.Path("/tmp").glob("weir-route-table*"):  # what the servers were told to
            left.unlink()


class Session:
    """A connection that forgets what a statement left behind."""

    def __init__(self, connect):
        self.connect, self.client = connect, None

    def run(self, row, transaction=False):
        """The ServerError that a row's statement fails with, or None."""
        self.client = self.client or self.connect()
        try:
            if row.given:
                self.client.query(row.given)
            if transaction:
                self.client.query("BEGIN")
            send(self.client, row)
            return None
        except wire.ServerError as failed:
            return failed
        finally:
            self.forget()

    def forget(self):
        try:
            self.client.query("ROLLBACK")
            self.client.query("DISCARD ALL")
        except (wire.ServerError, wire.Closed, OSError):
            self.client.drop()
            self.client = None


def send(client, row):
    if row.values:
        return client.extended(row.sql, row.values)
    client.send(query(row.sql))
    got = [client.read_noting()]
    while got[-1].type not in "EGZ":
        got.append(client.read_noting())
    if got[-1].type == "G":
        client.send(COPY_DONE)
    if got[-1].type != "Z":
        got += client.read_until_ready()
    for part in got:
        if part.type == "E":
            raise wire.ServerError(part.fields())
    return got


@pytest.fixture(scope="module")
def hosts(cluster, database):
    """A session on the primary and one on a standby."""
    made = [Session(lambda n=n: cluster.connect(n, ROLE, ROLE, database)) for n in (0, 1)]
    yield made
    for session in made:
        if session.client:
            session.client.drop()


# --- is the table right? --------------------------------------------------------------------------


def refused(failed):
    return failed is not None and (failed.code == "25006" or REFUSED.search(failed.message))


@every_row
def test_proof(hosts, row):
    primary, standby = hosts
    on_standby = standby.run(row)
    if row.route == "primary":
        assert refused(on_standby) or "why" in row.notes, f"a standby answers {on_standby}"
    else:
        code = on_standby.code if on_standby else None
        assert code == row.notes.get("error"), f"a standby answers {on_standby}"
    failed = None
    if not TRANSACTION.match(row.sql):
        failed = primary.run(row, transaction=True)
    if TRANSACTION.match(row.sql) or failed and failed.code == "25001":
        failed = primary.run(row)
    code = failed.code if failed else None
    assert code == row.notes.get("error"), f"the primary answers {failed}"


# --- does Weir follow it? -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def routing(cluster, database):
    proxy = Weir(cluster, {"databases": {database: {"cluster": "main"}},
                           "users": {ROLE: {"password": ROLE}}})
    try:
        proxy.start().wait_ready()
        with proxy.connect(ROLE, database=database) as client:
            # Its catalog is read, its replicas are known.
            wait_until(lambda: route(client, "SELECT 1") == "replica", "a replica is used")
        yield proxy
    finally:
        proxy.discard()


@pytest.fixture(scope="module")
def client(routing, database):
    with routing.connect(ROLE, database=database) as made:
        yield made


def route(client, sql):
    lines = [line for line, in client.query(f"EXPLAIN ROUTE {sql}")]
    assert lines[0].startswith("route: "), lines
    return lines[0].removeprefix("route: ")


@every_row
def test_route(routing, client, database, row):
    if row.given:
        with routing.connect(ROLE, database=database) as own:
            own.query(row.given)
            told = own.query(f"EXPLAIN ROUTE {row.sql}")
    else:
        told = client.query(f"EXPLAIN ROUTE {row.sql}")
    if row.route != "either":
        assert told[0] == [f"route: {row.route}"], "\n".join(line for line, in told)


def test_route_by_the_extended_protocol(client):
    for sql, expected in (("SELECT rate()", "replica"), ("SELECT draw()", "primary")):
        client.send(parse("", f"EXPLAIN ROUTE {sql}"), bind("", ""), execute(), SYNC)
        assert client.rows()[0] == [f"route: {expected}"]


def test_what_is_for_replicas_runs_there(routing, database):
    """Nothing of it had to be repaired."""
    not_yet = (HERE / "not_yet.txt").read_text()

    def elsewhere():
        row, = [row for row in routing.show("ROUTE_TOTALS") if row["database"] == database]
        return {name: row[name] for name in ("reads_on_primary", "writes", "retries", "errors")}

    before = elsewhere()
    session = Session(lambda: routing.connect(ROLE, database=database))
    rows = [row for row in TABLE if row.route == "replica" and f"[{row}]" not in not_yet]
    failures = [f"{row}: {failed}" for row in rows if (failed := session.run(row))]
    assert not failures and elsewhere() == before
    session.client.drop()


def test_own_writes_are_read_where_they_are(routing, cluster, database):
    with routing.connect(ROLE, database=database) as own, cluster.paused(1, 2):
        own.query("INSERT INTO insert_log VALUES (1, 'own')")
        assert route(own, "SELECT * FROM insert_log") == "primary"
        assert own.value("SELECT count(*) FROM insert_log WHERE note = 'own'") == "1"
