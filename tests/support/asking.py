"""Ways to ask a function of one text again and again, each through a session of its own."""
import asyncio

import asyncpg

from support.wire import SYNC, bind, describe, execute, parse


def ask_simple(weir, function, told):
    with weir.connect() as client:
        return [client.value(f"SELECT {function}('{text}')") for text in told]


def ask_extended(weir, function, told):
    with weir.connect() as client:
        answers = []
        for text in told:
            client.send(parse("", f"SELECT {function}($1)"), describe("S"), bind("", "", [text]),
                        describe("P"), execute(), SYNC)
            got = client.read_until_ready()
            assert [m.type for m in got] == list("1tT2TDCZ")
            answers.append(got[5].values()[0])
        return answers


def ask_named(weir, function, told):
    with weir.connect() as client:
        client.send(parse("mine", f"SELECT {function}($1)"), SYNC)
        client.read_until_ready()
        answers = []
        for text in told:
            client.send(describe("S", "mine"), bind("", "mine", [text]), execute(), SYNC)
            got = client.read_until_ready()
            assert [m.type for m in got] == list("tT2DCZ")
            answers.append(got[3].values()[0])
        return answers


def ask_psycopg(weir, function, told):
    with weir.psycopg() as connection:
        connection.prepare_threshold = 1
        return [connection.execute(f"SELECT {function}(%s)", [text]).fetchone()[0]
                for text in told]


def ask_asyncpg(weir, function, told):
    async def run():
        connection = await asyncpg.connect(host=weir.host, port=weir.port, user="app",
                                           password="app", database="app", ssl=False)
        try:
            return [await connection.fetchval(f"SELECT {function}($1)", text) for text in told]
        finally:
            await connection.close()
    return asyncio.run(run())


WAYS = {"simple": ask_simple, "extended": ask_extended, "named": ask_named,
        "psycopg": ask_psycopg, "asyncpg": ask_asyncpg}
