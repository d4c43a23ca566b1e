#!/usr/bin/python3
"""asyncpg through PGHOST:PGPORT: what its users do. Ends with exit code 0, or a traceback."""
import asyncio
import datetime
import decimal
import io
import os
import uuid

import asyncpg

HOW = {"ssl": os.environ.get("PGSSLMODE", "disable"), "timeout": 30}


async def types(connection):
    values = [7, 2**40, 1.5, decimal.Decimal("1.25"), "tëxt ✓", b"\x00\xff", True, None,
              datetime.date(2024, 2, 29), uuid.UUID(int=5), [1, 2], '{"a": 1}']
    casts = ["int4", "int8", "float8", "numeric", "text", "bytea", "bool", "text", "date", "uuid",
             "int4[]", "jsonb"]
    sql = "SELECT " + ", ".join(f"${n + 1}::{cast}" for n, cast in enumerate(casts))
    assert list(await connection.fetchrow(sql, *values)) == values


async def statements(connection):
    await connection.execute("CREATE TABLE smoke_asyncpg (id int PRIMARY KEY, v text)")
    await connection.executemany("INSERT INTO smoke_asyncpg VALUES ($1, $2)",
                                 [(n, f"v{n}") for n in range(200)])
    statement = await connection.prepare("SELECT v FROM smoke_asyncpg WHERE id = $1")
    for n in range(50):
        assert await statement.fetchval(n) == f"v{n}"
    assert [column.name for column in statement.get_attributes()] == ["v"]
    await connection.execute("SELECT 1; SELECT 2")


async def transactions(connection):
    try:
        async with connection.transaction():
            await connection.execute("DELETE FROM smoke_asyncpg")
            async with connection.transaction():
                await connection.execute("INSERT INTO smoke_asyncpg VALUES (1, 'x')")
            await connection.fetch("SELECT 1/0")
    except asyncpg.DivisionByZeroError as failed:
        assert failed.sqlstate == "22012"
    assert await connection.fetchval("SELECT count(*) FROM smoke_asyncpg") == 200
    async with connection.transaction(readonly=True):
        count = 0
        async for _ in connection.cursor("SELECT * FROM smoke_asyncpg", prefetch=10):
            count += 1
        assert count == 200


async def copies(connection):
    await connection.copy_records_to_table(
        "smoke_asyncpg", records=[(n, f"v{n}") for n in range(1000, 3000)])
    result = io.BytesIO()
    await connection.copy_from_query("SELECT * FROM smoke_asyncpg", output=result)
    assert result.getvalue().count(b"\n") == 2200
    await connection.execute("DROP TABLE smoke_asyncpg")


async def cancels(connection):
    try:
        await connection.fetch("SELECT pg_sleep(30)", timeout=0.3)
        raise AssertionError("no timeout")
    except asyncio.TimeoutError:
        pass
    assert await connection.fetchval("SELECT 1") == 1


async def pool():
    """asyncpg's own pool resets sessions with several commands in one query."""
    async with asyncpg.create_pool(min_size=5, max_size=10, **HOW) as connections:
        async def one(number):
            async with connections.acquire() as connection:
                assert await connection.fetchval("SELECT $1::int", number) == number
        await asyncio.gather(*(one(number) for number in range(200)))


async def main():
    connection = await asyncpg.connect(**HOW)
    await connection.execute("DROP TABLE IF EXISTS smoke_asyncpg")
    for part in (types, statements, transactions, copies, cancels):
        await part(connection)
    await connection.close()
    await pool()
    print("asyncpg ok")


asyncio.run(main())
