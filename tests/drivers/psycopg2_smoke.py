#!/usr/bin/python3
"""psycopg2 through PGHOST:PGPORT: what its users do. Ends with exit code 0, or a traceback."""
import datetime
import decimal
import io
import threading

import psycopg2
import psycopg2.errors
import psycopg2.extras


def types(cursor):
    values = (7, 1.5, decimal.Decimal("1.25"), "tëxt ✓", True, None, datetime.date(2024, 2, 29),
              datetime.timedelta(hours=5), [1, 2, 3])
    cursor.execute("SELECT %s, %s::float8, %s, %s, %s, %s, %s, %s, %s", values)
    assert cursor.fetchone() == values
    cursor.execute("SELECT %s::bytea", (psycopg2.Binary(b"\x00\xff"),))
    assert bytes(cursor.fetchone()[0]) == b"\x00\xff"
    cursor.execute("SELECT %s::jsonb", (psycopg2.extras.Json({"a": 1}),))
    assert cursor.fetchone() == ({"a": 1},)


def transactions(connection):
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE smoke_psycopg2 (id int, v text)")
        psycopg2.extras.execute_values(cursor, "INSERT INTO smoke_psycopg2 VALUES %s",
                                       [(n, f"v{n}") for n in range(500)])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("DELETE FROM smoke_psycopg2")
            cursor.execute("SELECT * FROM nonesuch")
    except psycopg2.errors.UndefinedTable as failed:
        assert failed.pgcode == "42P01"
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM smoke_psycopg2")
        assert cursor.fetchone() == (500,)


def copy_and_cursors(connection):
    with connection, connection.cursor() as cursor:
        cursor.copy_expert("COPY smoke_psycopg2 FROM STDIN WITH CSV",
                           io.StringIO("".join(f"{n},x\n" for n in range(1000))))
        result = io.StringIO()
        cursor.copy_expert("COPY smoke_psycopg2 TO STDOUT", result)
        assert result.getvalue().count("\n") == 1500
    with connection, connection.cursor("named") as cursor:
        cursor.itersize = 100
        cursor.execute("SELECT id FROM smoke_psycopg2")
        assert sum(1 for _ in cursor) == 1500
    with connection, connection.cursor(cursor_factory=psycopg2.extras.DictCursor) as cursor:
        cursor.execute("PREPARE p AS SELECT v FROM smoke_psycopg2 WHERE id = $1")
        for n in range(10):
            cursor.execute("EXECUTE p (%s)", (400 + n,))
            assert cursor.fetchone()["v"] in (f"v{400 + n}", "x")
        cursor.execute("DEALLOCATE p; DROP TABLE smoke_psycopg2")


def cancel_and_listen(connection):
    connection.autocommit = True
    cursor = connection.cursor()
    timer = threading.Timer(0.3, connection.cancel)
    timer.start()
    try:
        cursor.execute("SELECT pg_sleep(30)")
        raise AssertionError("not cancelled")
    except psycopg2.errors.QueryCanceled:
        timer.join()
    cursor.execute("LISTEN smoke; NOTIFY smoke, 'hello'")
    connection.poll()
    assert [notice.payload for notice in connection.notifies] == ["hello"]
    cursor.execute("UNLISTEN *")


def main():
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS smoke_psycopg2")
        types(cursor)
    transactions(connection)
    copy_and_cursors(connection)
    cancel_and_listen(connection)
    connection.close()
    print("psycopg2 ok")


main()
