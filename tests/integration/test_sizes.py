"""Messages of every kind in every size, by several sessions over fewer servers: each answer to the
byte as PostgreSQL gives it. What is short is handled whole, what is long in pieces, and in between
lie the borders: of a read, of a server's buffer, of what is gathered, analysed, kept."""
import itertools
import os
import random
import threading
import time

import pytest

from support import SLOW
from support.wire import (COPY_DONE, SYNC, bind, call, close, copy_data, copy_fail, describe,
                          execute, message, parse, query)

KB, MB = 1 << 10, 1 << 20
BORDERS = (0, 1, 63, 100, KB, 8 * KB, 16 * KB, 32 * KB, 64 * KB, 128 * KB, MB, 3 * MB)
SESSIONS, STEPS = 3, 60
SEEDS = [int(os.environ["WEIR_TEST_SEED"])] if "WEIR_TEST_SEED" in os.environ else [0, 1]
LOWER = 870  # the object id of lower(text)
SCHEMA = """
DROP TABLE IF EXISTS sizes;
CREATE TABLE sizes (v text);
CREATE OR REPLACE FUNCTION say(level text, n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN
  IF level = 'error' THEN RAISE EXCEPTION '%', repeat('e', n) USING DETAIL = repeat('d', n); END IF;
  RAISE NOTICE '%', repeat('n', n); RETURN n; END $$;
GRANT ALL ON sizes TO PUBLIC;
"""


class Script:
    """What one session sends, and how many ReadyForQuery answer each step."""

    def __init__(self, rng, number):
        self.rng, self.number, self.names = rng, number, itertools.count()
        self.prepared = []

    def size(self, most=3 * MB):
        border = self.rng.choice([b for b in BORDERS if b <= most])
        return max(0, min(most, border + self.rng.choice((-30, -7, -1, 0, 1, 5, 40, 300))))

    def text(self, most=3 * MB):
        return self.rng.choice("abcxyz") * self.size(most)

    def step(self):
        return getattr(self, self.rng.choice(KINDS))()

    @staticmethod
    def whole(*parts):
        return b"".join(parts) + SYNC, 1

    def of_query_text(self):
        return query(f"SELECT length('{self.text()}')"), 1

    def of_row(self):
        return query(f"SELECT repeat('r', {self.size()}), 1"), 1

    def of_rows(self):
        return query(f"SELECT n, repeat('m', {self.size(64 * KB)}) FROM generate_series(1, "
                     f"{self.rng.choice((1, 2, 40))}) n"), 1

    def of_error(self):
        return query(f"SELECT '{self.text()}'::int"), 1

    def of_raised(self):
        return query(f"SELECT say('{self.rng.choice(('error', 'notice'))}', {self.size()})"), 1

    def of_several(self):
        return query(f"SELECT say('notice', {self.size(64 * KB)}); SELECT repeat('x', "
                     f"{self.size(MB)}); SELECT '{self.text(MB)}'::int; SELECT 4"), 1

    def of_parameter(self):
        return self.whole(parse("", "SELECT length($1), $1"), bind("", "", [self.text(MB)]),
                          describe("P"), execute())

    def of_bad_parameter(self):
        return self.whole(parse("", "SELECT $1::int"), bind("", "", [self.text(MB)]), execute())

    def of_unnamed(self):
        return self.whole(parse("", f"SELECT '{self.text()}', $1::int"), describe("S"),
                          bind("", "", [self.rng.choice((7, "x"))]), execute())

    def of_prepare(self):
        self.prepared.append(f"s{next(self.names)}" + "n" * self.rng.choice((0, 60)))
        return self.whole(parse(self.prepared[-1], f"SELECT '{self.text()}', $1::int"),
                          describe("S", self.prepared[-1]))

    def of_prepare_badly(self):
        return self.whole(parse("bad", f"SELECT '{self.text()}'::int"), describe("S", "bad"))

    def of_prepared(self):
        if not self.prepared:
            return self.of_prepare()
        name = self.rng.choice(self.prepared)
        if self.rng.random() < 0.2:
            self.prepared.remove(name)
            return self.whole(close("S", name), bind("", name, [1]), execute())
        return self.whole(bind("", name, [self.rng.choice((1, 2, "x" * self.size(MB)))]),
                          describe("P"), execute())

    def of_portal(self):
        # PostgreSQL ends a session that sends a Describe, Execute or CopyFail of over 10,000 bytes.
        name = "p" * self.size(8 * KB)
        return self.whole(parse("", f"SELECT repeat('p', {self.size(64 * KB)}) FROM "
                                    "generate_series(1, 5)"),
                          bind(name, ""), execute(name, 2), execute(name, 2), execute(name, 2))

    def of_copy_in(self):
        line = self.rng.choice((b"v\n", b"w" * self.size(64 * KB) + b"\n"))
        data = line * self.rng.choice((1, 3, 50))
        size = self.rng.choice((1, 100, 8 * KB, 70 * KB, 4 * MB))
        pieces = [data[at:at + size] for at in range(0, min(len(data), 500 * size), size)]
        end = self.rng.choice((COPY_DONE, COPY_DONE, copy_fail("f" * self.size(8 * KB))))
        return (query("COPY sizes FROM STDIN") + b"".join(map(copy_data, pieces)) + end, 1)

    def of_copy_badly(self):
        return (query("COPY sizes FROM STDIN") + copy_data(b"a\tb" * self.size(64 * KB) + b"\n") +
                COPY_DONE, 1)

    def of_copy_out(self):
        return query(f"COPY (SELECT repeat('o', {self.size(MB)}) FROM generate_series(1, 3)) TO "
                     "STDOUT"), 1

    def of_function_call(self):
        return call(LOWER, b"L" * self.size(MB)), 1

    def of_setting(self):
        text = self.text(64 * KB)
        return query(self.rng.choice((
            f"SET sizes.a TO '{text}'", f"SELECT set_config('sizes.b', '{text}', false)",
            f"DO $$ BEGIN SET sizes.c TO '{text}'; END $$"))), 1

    def of_shown(self):
        # Empty where another session has set it once (docs/limits.md).
        return query("SELECT " + ", ".join(f"nullif(current_setting('sizes.{name}', true), '')"
                                           for name in "abc")), 1

    def of_columns(self):
        return query("SELECT " + ", ".join(f"{n} AS c{'c' * 40}{n}" for n in range(
            self.rng.choice((1, 200, 1600, 1700))))), 1

    def of_parameters(self):
        count = self.rng.choice((1, 1000, 65535))
        listed = ",".join(f"(${n + 1}::int)" for n in range(count))
        return self.whole(parse("", f"SELECT sum(v) FROM (VALUES {listed}) x(v)"), describe("S"),
                          bind("", "", list(range(count))), execute())

    def of_begin(self):
        if self.number != 0:  # who is in a transaction keeps a server
            return self.of_count()
        return query("BEGIN"), 1

    def of_end(self):
        return query(self.rng.choice(("COMMIT", "ROLLBACK"))), 1

    def of_count(self):
        return query("SELECT count(*), sum(length(v)) FROM sizes"), 1

    def of_nonsense(self):
        return message("P", b"\x01" * (self.size(64 * KB) + 1)) + SYNC, 1

    def of_pipeline(self):
        steps = [self.step() for _ in range(self.rng.choice((2, 3, 5)))]
        return b"".join(sent for sent, _ in steps), sum(count for _, count in steps)


KINDS = [kind for kind in dir(Script) if kind.startswith("of_")]


def said(got):
    """But for the line of PostgreSQL's source: a Bind may fail in a Parse that is hidden."""
    if got.type not in "EN":
        return got.body
    fields = got.body.split(b"\0")
    return b"\0".join(field for field in fields if field[:1] not in (b"F", b"L", b"R"))


def send(client, sent, rng):
    at = rng.randrange(len(sent)) if rng.random() < 0.3 else 0
    client.send(sent[:at])
    if at:
        time.sleep(0.003)
    client.send(sent[at:])


def play(seed, connect):
    """[session, step] -> the kinds and bodies of all messages."""
    rng = random.Random(seed)
    clients = [connect() for _ in range(SESSIONS)]
    scripts = [Script(random.Random(f"{seed} {number}"), number) for number in range(SESSIONS)]
    heard = []
    for turn in range(STEPS):
        for number, (client, script) in enumerate(zip(clients, scripts)):
            client.socket.settimeout(60 * SLOW)
            sent, count = script.step()
            sender = threading.Thread(target=send, args=(client, sent, random.Random(seed + turn)))
            sender.start()
            answer = []
            while count:
                got = client.read()
                count -= got.type == "Z"
                answer.append((got.type, said(got)))
            sender.join()
            heard.append((number, turn, sent[:60], answer))
    for client in clients:
        client.terminate()
    return heard


def short(answer):
    return [(kind, len(body), body[:90], body[-30:]) for kind, body in answer]


@pytest.mark.parametrize("seed", SEEDS)
def test_sizes(start_weir, cluster, seed):
    cluster.sql(0, SCHEMA, database="app")
    wanted = play(seed, lambda: cluster.connect(0, "app", "app"))
    cluster.sql(0, SCHEMA, database="app")
    cluster.wait_replayed()
    # They read what others have written.
    weir = start_weir({"pool": {"size": 2}, "routing": {"consistency": "strong"}})
    got = play(seed, weir.connect)
    for (number, turn, sent, before), (_, _, _, after) in zip(wanted, got, strict=True):
        assert short(after) == short(before), f"session {number}, step {turn}: {sent}"
        assert after == before, f"session {number}, step {turn}: {sent}"
