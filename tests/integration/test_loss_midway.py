"""Server connections that are lost in the middle: of a pipeline, a batch, a COPY, an answer."""
import time
from random import Random

import pytest

from support import BACKEND, wire
from support.cluster import fresh_name, wait_catalog, wait_until
from support.loss import (COMMIT_TAG, FAILED, LOSSES, NOT_DONE, ROLLBACK_TAG, ROLLED_BACK, UNKNOWN,
                          ask, cut_behind, error, goes_on, kill, pid_of, query, shown, terminate)


@pytest.mark.parametrize("seed", range(3))
def test_at_any_byte(start_weir, cluster, table, seed):
    """However far the answers have come: every request has its answers, in order, and they are
    true."""
    random = Random(seed)
    cluster.sql(0, f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    expected, codes = {}, set()
    with cut_behind(start_weir, cluster, b"/* cut */\0", passes=(0, 150)) as session:
        wait_catalog(session)
        for first in range(0, 400, 4):
            groups = []
            for number in range(first, first + 4):
                cut = "/* cut */" if random.random() < 0.2 else ""
                text = f"INSERT INTO {table} VALUES ({number}) {cut}"
                end = "COMMIT " + ("/* cut */" if random.random() < 0.3 else "")
                groups.append((number, random.choice((
                    [wire.query(text)],
                    [wire.parse("", text) + wire.bind("", "") + wire.execute() + wire.SYNC],
                    [wire.query("BEGIN"), wire.query(text), wire.query(end)],
                    [wire.query("BEGIN"), wire.query(text), wire.query("SAVEPOINT a"),
                     wire.query(end)]))))
            session.send(*(request for _, requests in groups for request in requests))
            for number, requests in groups:
                answers = [shown(session.read_until_ready()) for _ in requests]
                found = {part[1] for answer in answers for part in answer if part[0] == "E"}
                codes |= found
                done = answers[-1][-2:] in ([("C", "INSERT 0 1"), ("Z", "I")],
                                            [COMMIT_TAG, ("Z", "I")])
                assert done or found, answers
                assert session.status == "I", answers
                expected[number] = {1} if done else {0, 1} if UNKNOWN in found else {0}
        last = query(session, "SELECT 1")  # with replicas behind, on one still to be cut
        assert last[-2:] in (error(NOT_DONE, "I"), [("C", "SELECT 1"), ("Z", "I")])
    counts = dict.fromkeys(expected, 0)
    for (number,) in cluster.sql(0, f"SELECT id FROM {table}"):
        counts[int(number)] += 1
    wrong = {number for number, count in counts.items() if count not in expected[number]}
    assert not wrong, [(number, counts[number], expected[number]) for number in wrong]
    assert codes <= {UNKNOWN, ROLLED_BACK, FAILED} and len(codes) > 1


@pytest.mark.parametrize("lose", LOSSES)
def test_a_pipeline(session, cluster, table, lose):
    """Each request by itself: what was answered has happened; what was not may have, at most once;
    what had not been sent yet runs elsewhere."""
    cluster.sql(0, f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey")
    session.extended("SELECT 1", name="before")
    insert = f"INSERT INTO {table} SELECT $1::int FROM pg_sleep($2::float8)"
    session.extended(insert, (0, 0), name="insert")
    for number in range(1, 21):
        session.send(wire.bind("", "insert", (number, 30 if number == 8 else 0)), wire.execute(),
                     wire.SYNC)
    session.send(wire.query("SET work_mem = '5MB'"))  # more than plain: it waits its turn
    session.send(wire.bind("", "insert", (21, 0)), wire.execute(), wire.SYNC)
    pid = pid_of(cluster, f"INSERT INTO {table}")
    wait_until(lambda: cluster.value(0, f"SELECT count(*) FROM {table}") == "8", "7 are done")
    lose(cluster, pid)
    answers = [shown(session.read_until_ready()) for _ in range(22)]
    done = [("2",), ("C", "INSERT 0 1"), ("Z", "I")]
    assert answers[:7] == [done] * 7
    for answer in answers[7:20]:
        assert [part for part in answer if part != ("2",)] in (error(UNKNOWN, "I"), done[1:])
    assert answers[7][-2:] == error(UNKNOWN, "I")
    assert answers[20:] == [[("C", "SET"), ("Z", "I")], done]
    counts = {int(number): int(count) for number, count in
              cluster.sql(0, f"SELECT id, count(*) FROM {table} GROUP BY id")}
    assert set(counts.values()) == {1}
    assert {0, *range(1, 8), 21} <= set(counts) and 8 not in counts
    assert session.value("SHOW work_mem") == "5MB"
    session.send(wire.bind("", "before"), wire.execute(), wire.SYNC)
    assert [m.values() for m in session.read_until_ready() if m.type == "D"] == [["1"]]


def test_a_batch_without_its_sync(session, cluster, table):
    """An error, and nothing more up to the Sync."""
    session.send(wire.parse("", f"INSERT INTO {table} SELECT 1 FROM pg_sleep(30)"),
                 wire.bind("", ""), wire.execute(), wire.FLUSH)
    terminate(cluster, pid_of(cluster, f"INSERT INTO {table}"))
    told = []  # at once: what is sent before that is on its way to a server that may live
    while not told or told[-1].type != "E":
        told.append(session.read_noting())
    session.send(wire.parse("", f"INSERT INTO {table} VALUES (2)"), wire.bind("", ""),
                 wire.execute(), wire.SYNC)
    told += session.read_until_ready()
    assert [part for part in shown(told) if part[0] not in "12"] == error(NOT_DONE, "I")
    goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


@pytest.mark.parametrize("next_message", [wire.SYNC, wire.execute(), wire.FLUSH])
def test_a_batch_that_waits_for_its_sync(session, cluster, table, next_message):
    session.send(wire.parse("", f"INSERT INTO {table} VALUES (1)"), wire.bind("", ""),
                 wire.execute(), wire.parse("", BACKEND), wire.bind("", ""), wire.execute(),
                 wire.FLUSH)
    pid = [session.read() for _ in range(7)][5].values()[0]
    terminate(cluster, pid)
    session.send(*{next_message: 0, wire.SYNC: 0})
    assert shown(session.read_until_ready()) == error(NOT_DONE, "I")
    goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


def test_what_was_only_prepared_is_prepared_elsewhere(session, cluster):
    """As asyncpg does it: Parse, Describe, Flush, and later the rest."""
    text = "SELECT 1 /* weir: primary */"
    session.send(wire.parse("s", text), wire.describe("S", "s"), wire.FLUSH)
    assert [session.read().type for _ in range(3)] == list("1tT")
    cluster.sql(0, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app' "
                   "AND datname = 'app'")
    time.sleep(0.2)
    assert ask(session, wire.bind("", "s"), wire.execute(), wire.SYNC) == \
        [("2",), ("D",), ("C", "SELECT 1"), ("Z", "I")]


def test_a_large_message_half_sent(session, cluster, table):
    """What comes of it later belongs to it."""
    text = wire.query(f"INSERT INTO {table} VALUES (1, '{'x' * (8 << 20)}')")
    session.send(text[:4 << 20])
    time.sleep(0.5)
    assert cluster.value(0, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE "
                            "usename = 'app' AND datname = 'app'") != "0"
    assert shown(session.read_until_ready()) == error(UNKNOWN, "I")
    session.send(text[4 << 20:])
    goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_copy_in(session, cluster, table, begun, extended):
    text = f"COPY {table} (id) FROM STDIN"
    if begun:
        session.query("BEGIN")
    if extended:
        session.send(wire.parse("", text), wire.bind("", ""), wire.execute(), wire.SYNC)
    else:
        session.send(wire.query(text))
    while session.read().type != "G":
        pass
    session.send(wire.copy_data(b"1\n"))
    terminate(cluster, pid_of(cluster, f"COPY {table}"))
    session.send(wire.copy_data(b"2\n"), wire.COPY_DONE)
    if extended:
        session.send(wire.SYNC)
    code, status = (ROLLED_BACK, "E") if begun else (NOT_DONE, "I")
    assert shown(session.read_until_ready()) == error(code, status)
    if begun:
        assert query(session, "ROLLBACK") == [ROLLBACK_TAG, ("Z", "I")]
    goes_on(session)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "0"


@pytest.fixture(name="noisy")
def _noisy(cluster):
    """A function whose third call takes too long. The notice makes the server send what it has;
    without it, it sends no more than its buffer's 8 kB, and so a part of a row."""
    name = fresh_name("noisy")
    cluster.sql(0, f"CREATE FUNCTION {name}(n int, width int) RETURNS text LANGUAGE plpgsql STABLE "
                   "AS 'BEGIN IF n = 3 AND width < 1000 THEN RAISE NOTICE ''three''; END IF; "
                   "IF n = 3 THEN PERFORM pg_sleep(30); END IF; RETURN repeat(''x'', width); END'")
    cluster.wait_replayed()
    yield name
    cluster.sql(0, f"DROP FUNCTION {name}(int, int)")


def replica_with(cluster, pattern):
    return next(number for number in cluster.replicas if cluster.value(
        number, "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND usename = 'app' "
                f"AND query LIKE '%{pattern}%'") == "1")


@pytest.mark.parametrize("copy", [False, True])
def test_a_read_of_which_the_client_has_a_part(session, cluster, noisy, copy):
    text = f"SELECT {noisy}(n, 10) FROM generate_series(1, 4) n"
    if copy:
        text = f"COPY ({text}) TO STDOUT"
    session.send(wire.query(f"{text} /* weir: replica */"))
    got = [session.read() for _ in range(3)]
    assert [m.type for m in got] == (list("Hdd") if copy else list("TDD"))
    number = replica_with(cluster, noisy)
    terminate(cluster, pid_of(cluster, noisy, number), number)
    assert shown(session.read_until_ready()) == error(NOT_DONE, "I")
    goes_on(session)


def test_a_message_of_which_the_client_has_a_part(session, cluster, noisy):
    """Nothing can be said in the middle of one: the connection ends there."""
    session.send(wire.query(f"SELECT {noisy}(n, 6000) FROM generate_series(1, 4) n "
                            "/* weir: replica */"))
    assert session.read().type == "T"
    assert session.read().type == "D"
    number = replica_with(cluster, noisy)
    kill(cluster, pid_of(cluster, noisy, number), number)
    with pytest.raises(wire.Closed):
        while True:
            assert session.read().type in "DN"
