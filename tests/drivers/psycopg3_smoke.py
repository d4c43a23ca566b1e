#!/usr/bin/python3
"""psycopg 3 through PGHOST:PGPORT: what its users do. Ends with exit code 0, or a traceback."""
import asyncio
import datetime
import decimal
import threading
import uuid

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb


def types(connection):
    values = [7, 2**40, 1.5, decimal.Decimal("123.456"), "tëxt ✓", b"\x00\xff", True, None,
              datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29, 12, 30, 1, 5),
              uuid.UUID(int=5), [1, 2, 3], ["a", None]]
    casts = ["int4", "int8", "float8", "numeric", "text", "bytea", "bool", "text", "date",
             "timestamp", "uuid", "int4[]", "text[]"]
    sql = "SELECT " + ", ".join(f"%s::{cast}" for cast in casts)
    for binary in (False, True):
        row = connection.cursor(binary=binary).execute(sql, values).fetchone()
        assert list(row) == values, row
    assert connection.execute("SELECT %s", [Jsonb({"a": [1]})]).fetchone() == ({"a": [1]},)


def statements(connection):
    connection.execute("CREATE TABLE smoke_psycopg3 (id serial PRIMARY KEY, v text)")
    cursor = connection.cursor(row_factory=dict_row)
    cursor.executemany("INSERT INTO smoke_psycopg3 (v) VALUES (%s) RETURNING id",
                       [(f"v{n}",) for n in range(100)], returning=True)
    assert cursor.fetchone() == {"id": 1}
    for n in range(20):  # prepared by itself after five
        found = cursor.execute("SELECT v FROM smoke_psycopg3 WHERE id = %s", [n + 1]).fetchone()
        assert found == {"v": f"v{n}"}
    assert len(cursor.execute("SELECT * FROM smoke_psycopg3").fetchall()) == 100


def transactions(connection):
    try:
        with connection.transaction():
            connection.execute("DELETE FROM smoke_psycopg3")
            with connection.transaction(force_rollback=True):
                connection.execute("INSERT INTO smoke_psycopg3 (v) VALUES ('inner')")
            assert connection.execute("SELECT count(*) FROM smoke_psycopg3").fetchone() == (0,)
            connection.execute("SELECT 1/0")
    except psycopg.errors.DivisionByZero as failed:
        assert failed.sqlstate == "22012"
    assert connection.execute("SELECT count(*) FROM smoke_psycopg3").fetchone() == (100,)


def copy_and_pipeline(connection):
    with connection.cursor().copy("COPY smoke_psycopg3 (v) FROM STDIN") as copy:
        for n in range(1000):
            copy.write_row([f"copied {n}"])
    with connection.cursor().copy("COPY smoke_psycopg3 TO STDOUT") as copy:
        assert sum(bytes(block).count(b"\n") for block in copy) == 1100
    with connection.pipeline():
        cursors = [connection.execute("SELECT %s::int * 2", [n]) for n in range(50)]
    assert [cursor.fetchone()[0] for cursor in cursors] == [2 * n for n in range(50)]
    with connection.transaction(), connection.cursor("named") as cursor:
        cursor.execute("SELECT id FROM smoke_psycopg3 ORDER BY id")
        assert len(cursor.fetchmany(10)) == 10
    connection.execute("DROP TABLE smoke_psycopg3")


def cancel_and_notices(connection):
    timer = threading.Timer(0.3, connection.cancel)
    timer.start()
    try:
        connection.execute("SELECT pg_sleep(30)")
        raise AssertionError("not cancelled")
    except psycopg.errors.QueryCanceled:
        timer.join()
    heard = []
    connection.add_notice_handler(lambda notice: heard.append(notice.message_primary))
    connection.execute("DO $$ BEGIN RAISE NOTICE 'hello'; END $$")
    assert heard == ["hello"]


async def concurrently():
    async def one(number):
        async with await psycopg.AsyncConnection.connect() as connection:
            for n in range(10):
                cursor = await connection.execute("SELECT %s::int, %s::int", [number, n])
                assert await cursor.fetchone() == (number, n)
    await asyncio.gather(*(one(number) for number in range(20)))


def main():
    with psycopg.connect("", autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS smoke_psycopg3")
        for part in (types, statements, transactions, copy_and_pipeline, cancel_and_notices):
            part(connection)
    asyncio.run(concurrently())
    print("psycopg3 ok")


main()
