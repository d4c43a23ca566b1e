"""Sessions and their twins: the same messages to a proxy and to PostgreSQL, equal answers.

`Twin` holds both connections; `exchange` sends the same bytes to both and compares all that comes
back. `Script` makes up a session's requests from a seed.
"""
import random
import re
import struct
from typing import NamedTuple

from support import wire
from support.wire import FLUSH, SYNC, bind, call, close, describe, execute, parse, query

SKIPPED_FIELDS = "FLR"  # file, line and routine of an error
# Of a prepared transaction, which is the whole cluster's: each twin puts a letter of its own there.
GID = "gid_X"
GIDS = b"gid_W", b"gid_D"


def plain(message):
    """A message without what must differ: object ids of tables, process ids, names that two
    sessions of one cluster cannot share."""
    if message.type in "EN":
        # Whether a function's name needs its schema there was decided when the connection first
        # called it.
        fields = {k: re.sub("gid_[WD]", GID, v).replace("public.watch()", "watch()")
                  for k, v in message.fields().items() if k not in SKIPPED_FIELDS}
        return message.type, tuple(sorted(fields.items()))
    if message.type == "D":
        return "D", re.sub(b"gid_[WD]", GID.encode(), message.body)
    if message.type == "T":
        (count,), at, columns = struct.unpack_from("!H", message.body), 2, []
        for _ in range(count):
            end = message.body.index(b"\0", at)
            columns.append((message.body[at:end], message.body[end + 7:end + 19]))
            at = end + 19
        return "T", tuple(columns)
    if message.type == "A":
        return "A", message.body[4:]
    return message.type, message.body


def answer(connection, readies):
    """What comes up to the last of so many ReadyForQuery; settings that were reported are sorted,
    since their order is not the protocol's."""
    found, reported = [], []
    try:
        while readies:
            got = connection.read()
            if got.type == "S":
                reported.append(got.body)
                continue
            if got.type == "Z":
                readies -= 1
                found += [("S", body) for body in sorted(reported)]
                reported.clear()
            found.append(plain(got))
    except wire.Closed:
        found.append(("closed", b""))
    return found


def settled(answers, failed):
    """In a transaction that has failed every error is as good as the one that says so: which comes
    first depends on what is prepared on the connection. And our names in SQL shift positions."""
    result = []
    for kind, body in answers:
        if kind == "E" and failed and dict(body)["S"] == "ERROR":
            body = "in a failed transaction"
        elif kind == "E":
            body = tuple((k, v) for k, v in body if k != "P")
        elif kind == "Z":
            failed = body == b"E"
        result.append((kind, body))
    return result


class Difference(AssertionError):
    pass


class Step(NamedTuple):
    """What a session does next, and for people what that is."""

    parts: list
    readies: int  # ReadyForQuery to come
    what: str
    kind: str = "ask"  # or "leave", with `what` and `until` as Twin.leave() needs; "hear"
    until: str = "CE"


class Twin:
    """The two connections are made by what it is given, and again after each leave(). `notify`
    sends a notification of that payload to both from elsewhere."""

    def __init__(self, connect_through, connect_direct, notify):
        self.connect = connect_through, connect_direct
        self.notify = notify
        self.history, self.failed = [], False
        self.through, self.direct = (connect() for connect in self.connect)

    def do(self, step):
        if step.kind == "leave":
            self.leave(step)
        elif step.kind == "hear":
            self.hear(step.what)
        else:
            self.exchange(*step.parts, readies=step.readies, what=step.what)

    def leave(self, step):
        """Without a word, when its parts were answered up to one of the messages `until` ("" =
        they need not be), and comes again. `what` is a query that waits for what the old session
        has left."""
        self.history.append(f"leaves {step.parts}")
        for connection in (self.through, self.direct):
            connection.send(*step.parts)
            while step.until and step.parts and connection.read().type not in step.until:
                pass
            connection.drop()
        self.failed = False
        self.through, self.direct = (connect() for connect in self.connect)
        self.exchange(query(step.what), what=step.what)

    def hear(self, payload):
        """A notification from elsewhere. If PostgreSQL's session hears of it while it is idle, the
        other one must before it says anything; it belongs in front of the next answer if not."""
        self.notify(payload)
        self.history.append(f"is told {payload}")
        probe = f"SELECT 'after {payload}'"
        self.direct.send(query(probe))
        expected = answer(self.direct, 1)
        first = []
        while len(first) < len(expected) and expected[len(first)][0] == "A":
            first.append(plain(self.through.read()))
        self.through.send(query(probe))
        self.compare(expected, first + answer(self.through, 1))

    def exchange(self, *parts, readies=1, what=""):
        self.history.append(what or b"".join(parts)[:200])
        for connection, gid in zip((self.through, self.direct), GIDS):
            connection.send(*(part.replace(GID.encode(), gid) for part in parts))
        self.compare(answer(self.direct, readies), answer(self.through, readies))

    def compare(self, expected, got):
        failed, self.failed = self.failed, ("Z", b"E") in expected[-1:]
        if expected != got and settled(expected, failed) != settled(got, failed):
            at = next((i for i, (a, b) in enumerate(zip(expected, got)) if a != b),
                      min(len(expected), len(got)))
            raise Difference(
                "\n".join(["", *(f"  {step!r}" for step in self.history[-40:]),
                           f"PostgreSQL  {expected[:at + 3]!r}", f"the proxy   {got[:at + 3]!r}"]))

    def close(self):
        for connection in (self.through, self.direct):
            try:
                connection.terminate()
            except OSError:
                pass


# What each session needs, in both databases. {n} is its number.
SCHEMA = """
CREATE TABLE own{n} (id serial PRIMARY KEY, v text);
CREATE SEQUENCE seq{n};
CREATE TABLE watched{n} (kind text);
CREATE TRIGGER watch BEFORE INSERT ON watched{n} FOR EACH ROW EXECUTE FUNCTION watch('own{n}');
CREATE CONSTRAINT TRIGGER watch_late AFTER UPDATE ON watched{n} DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION watch('own{n}');
GRANT ALL ON ALL TABLES IN SCHEMA public TO twin_role;
GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO twin_role;
"""
# watch() leaves in the session what its row says.
SHARED_SCHEMA = """
CREATE FUNCTION set_inside(name text, value text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config(name, value, false); RETURN current_setting(name); END $$;
CREATE FUNCTION fails() RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('work_mem', '7MB', false); RAISE 'on purpose'; END $$;
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  CASE NEW.kind
    WHEN 'setting' THEN PERFORM set_config('work_mem', '9MB', false);
    WHEN 'local' THEN PERFORM set_config('timezone', 'Asia/Tokyo', true);
    WHEN 'custom' THEN PERFORM set_config('app.user', 'trigger', false);
    WHEN 'role' THEN SET ROLE twin_role;
    WHEN 'notify' THEN PERFORM pg_notify(TG_ARGV[0], 'trigger');
    WHEN 'listen' THEN EXECUTE 'LISTEN ' || TG_ARGV[0];
    WHEN 'lock' THEN PERFORM pg_advisory_lock(1000 + substr(TG_ARGV[0], 4)::int);
    WHEN 'temp' THEN CREATE TEMP TABLE IF NOT EXISTS scratch (a int);
    WHEN 'prepare' THEN EXECUTE 'PREPARE inside AS SELECT 17';
    WHEN 'hold' THEN EXECUTE 'DECLARE c CURSOR WITH HOLD FOR SELECT 18';
    WHEN 'notice' THEN RAISE NOTICE 'watched';
    WHEN 'fail' THEN RAISE 'watched';
    ELSE NULL;
  END CASE;
  RETURN NEW; END $$;
"""
# All of those, and what they do to the session or to others.
WATCHED = ["setting", "local", "custom", "role", "notify", "listen", "lock", "temp", "prepare",
           "hold", "notice", "fail", "nothing"]

SETTINGS = {
    "work_mem": ["'1MB'", "'2MB'", "3072"],
    "timezone": ["'UTC'", "'Europe/Berlin'", "'+3'"],
    "datestyle": ["ISO", "dmy", "'SQL, MDY'", "German", "ymd"],
    "intervalstyle": ["postgres", "iso_8601"],
    "extra_float_digits": ["0", "-3", "3"],
    "search_path": ["public", "nowhere, public", "'$user', public", "pg_catalog"],
    "statement_timeout": ["0", "'1min'"],
    "application_name": ["'one'", "'two words'"],
    "client_min_messages": ["warning", "error", "notice"],
    "default_transaction_isolation": ["'repeatable read'", "'read committed'"],
    "bytea_output": ["escape", "hex"],
    "enable_seqscan": ["on", "off"],
    "app.user": ["'7'", "'eight'"],
    "standard_conforming_strings": ["on", "off"],
}
TELLING = ("SELECT timestamptz '2001-02-03 04:05:06+00', interval '1 year 2 days', 1::float8/3, "
           "'\\x4142'::bytea, current_schemas(false), date '2001-02-03', 'a\\134b'")


class Script:
    """Random Steps of one session."""

    def __init__(self, number, seed):
        self.n, self.random = number, random.Random(seed)
        self.queue = []  # what comes next, whatever chance says
        self.told = self.lives = 0

    def step(self):
        if self.queue:
            return self.queue.pop(0)
        kind = self.random.choice(
            [self.setting] * 6 + [self.show] * 6 + [self.read] * 8 + [self.write] * 5 +
            [self.transaction] * 8 + [self.read_only] * 2 + [self.failure] * 2 +
            [self.sql_prepared] * 3 +
            [self.named] * 6 + [self.batch] * 4 + [self.temporary] * 2 + [self.cursor] * 3 +
            [self.lock] + [self.inside] * 2 + [self.clean] + [self.random_numbers] +
            [self.copy] + [self.savepoint] * 3 + [self.sequence] + [self.notification] * 4 +
            [self.function_call] * 2 + [self.leaving] * 2 + [self.role] * 5 + [self.hearing] * 2 +
            [self.two_phase] * 2 + [self.trigger] * 4)
        return kind()

    def sql(self, text):
        if self.random.random() < 0.3 and ";" not in text:
            return Step([parse("", text), bind("", ""), describe("P"), execute(), SYNC], 1,
                        f"extended: {text}")
        return Step([query(text)], 1, text)

    def pick(self, *choices):
        return self.random.choice(choices)

    def custom(self):
        """One that no session before it has named: that is NULL until it is."""
        return f"app.life{self.lives}_of_{self.n}"

    def setting(self):
        name = self.pick(*SETTINGS, self.custom())
        value = self.pick(*SETTINGS.get(name, ["'7'", "''"]))
        plain_value = value.strip("'")
        return self.sql(self.pick(
            f"SET {name} TO {value}", f"SET {name} TO {value}", f"SET LOCAL {name} TO {value}",
            f"RESET {name}", f"SET {name} TO DEFAULT",
            f"SELECT set_config('{name}', '{plain_value}', {self.pick('true', 'false')})",
            f"SET {name} TO {value}; SELECT 1/0", f"SET {name} TO {value}; SHOW {name}",
            "RESET ALL", "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE",
            f"SET {name} TO 'no such value'"))

    def show(self):
        name = self.pick(*SETTINGS)
        return self.sql(self.pick(f"SHOW {name}", TELLING, f"SHOW {self.custom()}",
                                  f"SELECT current_setting('{self.custom()}', true)",
                                  f"SELECT nullif(current_setting('{name}', true), '')"))

    def read(self):
        return self.sql(self.pick(
            f"SELECT count(*), sum(id) FROM own{self.n}", f"SELECT v FROM own{self.n} ORDER BY id",
            f"TABLE own{self.n} ORDER BY id LIMIT 3", "SELECT 1", "",
            "SELECT generate_series(1, 3); SELECT 'second'", "SELECT current_user, session_user"))

    def write(self):
        value = self.random.randrange(1000)
        return self.sql(self.pick(
            f"INSERT INTO own{self.n} (v) VALUES ('{value}')",
            f"INSERT INTO own{self.n} (v) VALUES ('{value}') RETURNING *",
            f"UPDATE own{self.n} SET v = v || 'x' WHERE id % 3 = 0",
            f"DELETE FROM own{self.n} WHERE id % 7 = 0",
            f"WITH gone AS (DELETE FROM own{self.n} WHERE id % 5 = 0 RETURNING id) "
            "SELECT count(*) FROM gone"))

    def transaction(self):
        return self.sql(self.pick(
            "BEGIN", "BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ",
            "COMMIT", "COMMIT", "COMMIT", "ROLLBACK", "ROLLBACK", "COMMIT AND CHAIN", "END",
            "ROLLBACK AND CHAIN", "SHOW transaction_isolation"))

    def read_only(self):
        """As a whole: what pins a session is not for a replica (docs/limits.md)."""
        begin = self.pick("BEGIN READ ONLY", "BEGIN; SET TRANSACTION READ ONLY",
                          "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
                          "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")
        inner = [self.pick(self.show, self.read, self.setting, self.failure, self.write,
                           self.savepoint)() for _ in range(self.random.randrange(1, 5))]
        self.queue = [self.sql(begin), *inner, self.sql(self.pick("COMMIT", "ROLLBACK"))]
        return self.sql(self.pick("COMMIT", "ROLLBACK"))

    def savepoint(self):
        name = self.pick("a", "b")
        return self.sql(self.pick(f"SAVEPOINT {name}", f"SAVEPOINT {name}",
                                  f"ROLLBACK TO {name}", f"RELEASE {name}"))

    def failure(self):
        return self.sql(self.pick("SELECT 1/0", "SELEC", "SELECT * FROM nowhere", "SELECT fails()",
                                  f"INSERT INTO own{self.n} (id) VALUES (1), (1)"))

    def sql_prepared(self):
        name = self.pick("q", "r")
        return self.sql(self.pick(
            f"PREPARE {name} AS SELECT count(*) FROM own{self.n}", f"EXECUTE {name}",
            f"PREPARE {name} (int) AS SELECT $1 + 1", f"EXECUTE {name}(4)", f"EXECUTE {name}",
            f"DEALLOCATE {name}", "DEALLOCATE ALL", f"EXPLAIN (COSTS OFF) EXECUTE {name}"))

    def named(self):
        name = self.pick("s", "t", "u", "q")
        # Whatever the search_path is: one that cannot be prepared now fails in its own way.
        text = self.pick(f"SELECT v FROM public.own{self.n} ORDER BY id", "SELECT $1::text || 'x'",
                         f"INSERT INTO public.own{self.n} (v) VALUES ($1)", "SHOW work_mem",
                         "SELECT 1/0",
                         "SET work_mem TO '5MB'", "BEGIN", "COMMIT")
        made = [parse(name, text)]
        bound = [bind("", name, ["v"]) if "$1" in text else bind("", name), execute()]
        used = [bind("", name), describe("P"), execute()]
        parts = self.pick([*made, *bound], [*made, describe("S", name)], used, used, used,
                          [close("S", name)], [close("S", name), *made, *bound],
                          [*made, SYNC, *bound], [bind("p", name), execute("p", 1), execute("p")],
                          [query(f"DEALLOCATE {name}")])
        readies = sum(part == SYNC or part[:1] == b"Q" for part in parts)
        if parts[-1][:1] != b"Q":
            parts, readies = [*parts, SYNC], readies + 1
        return Step(parts, readies, f"named {name}: {[part[:60] for part in parts]}")

    def batch(self):
        """Several requests sent at once; errors in the middle."""
        parts, words = [], []
        for _ in range(self.random.randrange(2, 6)):
            text = self.pick("SELECT 1", "SELECT 1/0", "SHOW timezone", f"TABLE own{self.n}",
                             f"INSERT INTO own{self.n} (v) VALUES ('batch')",
                             "SET timezone TO 'Asia/Tokyo'", "SAVEPOINT a", "BEGIN", "COMMIT",
                             "SELECT generate_series(1, 4)")
            rows = self.pick(0, 0, 0, 2)
            parts += [parse("", text), bind("", ""), execute("", rows)]
            words.append(text)
            if self.random.random() < 0.3:
                parts.append(SYNC)
                words.append("sync")
        parts.append(SYNC)
        return Step(parts, sum(part == SYNC for part in parts), f"batch: {words}")

    def temporary(self):
        return self.sql(self.pick(
            "CREATE TEMP TABLE scratch (a int)", "INSERT INTO scratch VALUES (1)",
            "SELECT count(*) FROM scratch", "DROP TABLE scratch", "DISCARD TEMP",
            "CREATE TEMP TABLE scratch (a int) ON COMMIT DROP",
            f"CREATE TEMP VIEW seen AS SELECT * FROM own{self.n}", "DROP VIEW seen"))

    def cursor(self):
        name = self.pick("c", "d")
        return self.sql(self.pick(
            f"DECLARE {name} CURSOR FOR SELECT generate_series(1, 5)",
            f"DECLARE {name} CURSOR WITH HOLD FOR SELECT id FROM own{self.n} ORDER BY id",
            f"FETCH 2 FROM {name}", f"FETCH ALL FROM {name}", f"MOVE 1 IN {name}",
            f"CLOSE {name}", "CLOSE ALL"))

    def lock(self):
        return self.sql(self.pick(
            f"SELECT pg_try_advisory_lock({self.n})", f"SELECT pg_advisory_unlock({self.n})",
            f"SELECT pg_advisory_lock({self.n})", "SELECT pg_advisory_unlock_all()",
            f"SELECT pg_try_advisory_xact_lock({self.n})"))

    def inside(self):
        name = self.pick("work_mem", "timezone", "intervalstyle")
        value = self.pick(*SETTINGS[name]).strip("'")
        return self.sql(self.pick(f"SELECT public.set_inside('{name}', '{value}')",
                                  "DO $$ BEGIN PERFORM "
                                  f"set_config('{name}', '{value}', false); END $$"))

    def clean(self):
        return self.sql(self.pick("DISCARD ALL", "DISCARD ALL", "DISCARD PLANS", "UNLISTEN *"))

    def random_numbers(self):
        return self.sql("SELECT setseed(0.25); SELECT random() < 2")

    def copy(self):
        text = f"COPY own{self.n} (v) FROM STDIN"
        rows = [wire.copy_data(b"one\ntwo\n"), wire.copy_data(b"three\n")]
        if self.random.random() < 0.3:
            return Step([query("COPY (SELECT generate_series(1, 3)) TO STDOUT")], 1, "copy out")
        end = wire.COPY_DONE if self.random.random() < 0.7 else wire.copy_fail("changed my mind")
        return Step([query(text), *rows, end], 1, text)

    def notification(self):
        # A channel of its own: when another session's notification comes is not certain.
        own = f"own{self.n}"
        return self.sql(self.pick(
            f"LISTEN {own}", f"LISTEN {own}", f"NOTIFY {own}, 'text'", f"NOTIFY {own}",
            f"SELECT pg_notify('{own}', 'asked')", f"UNLISTEN {own}", "UNLISTEN *",
            "SELECT * FROM pg_listening_channels()", f"LISTEN {own}; NOTIFY {own}, 'both'",
            f"LISTEN {own}; SELECT 1/0", f"NOTIFY {own}; SELECT 1/0"))

    def function_call(self):
        int4div, lower, set_config, pg_notify = 154, 870, 2078, 3036
        message = self.pick(
            call(int4div, b"7", b"2"), call(int4div, b"7", b"0"), call(lower, b"ABC"),
            call(lower, None), call(99999), call(set_config, b"work_mem", b"6MB", b"f"),
            call(pg_notify, b"own%d" % self.n, b"called"))
        return Step([message], 1, f"function call {message[5:]!r}")

    def leaving(self):
        """In the middle of whatever there is, and sometimes of a batch, of a COPY, of an answer, of
        a message, of a statement that runs. What no answer tells of may not have begun."""
        text = f"INSERT INTO public.own{self.n} (v) VALUES ('unfinished')"
        wait = f"SELECT pg_advisory_lock({self.n}), pg_advisory_unlock({self.n})"
        batch = [parse("", text), bind("", ""), execute()]
        self.lives += 1
        gone = f"DELETE FROM public.own{self.n}"
        unheard = [parse("", gone), bind("", ""), execute()]
        return self.pick(
            Step([], 0, wait, "leave"), Step([*batch, FLUSH], 0, wait, "leave"),
            Step([query(f"COPY public.own{self.n} (v) FROM STDIN"), wire.copy_data(b"half a r")], 0,
                 wait, "leave", "GE"),
            Step([query("SELECT repeat('x', 1000) FROM generate_series(1, 3000)")], 0, wait,
                 "leave", "DE"),
            Step([query(text)[:9]], 0, wait, "leave", ""), Step(unheard, 0, wait, "leave", ""),
            Step([query(f"BEGIN; SELECT pg_advisory_lock({self.n})"),
                  query(f"{gone}; SELECT pg_sleep(0.1)")], 0, wait, "leave", "TE"))

    def role(self):
        return self.sql(self.pick(
            "SET ROLE twin_role", "SET ROLE twin_role", "SET ROLE NONE", "RESET ROLE",
            "SET LOCAL ROLE twin_role", "SET ROLE nobody_at_all",
            f"SELECT set_config('role', '{self.pick('twin_role', 'none')}', false)",
            "SET SESSION AUTHORIZATION app", "SET SESSION AUTHORIZATION twin_role",
            "SET LOCAL SESSION AUTHORIZATION app", "RESET SESSION AUTHORIZATION",
            "SET SESSION AUTHORIZATION DEFAULT", "SET ROLE twin_role; SELECT 1/0",
            "SELECT current_user, session_user, current_setting('role'), "
            "current_setting('is_superuser')",
            "SHOW role", "SHOW session_authorization", "SHOW is_superuser"))

    def hearing(self):
        self.told += 1
        return Step([], 1, f"news {self.told}", "hear")

    def two_phase(self):
        """As a whole, and by the user's own role: a row that is locked for good would keep the
        session waiting for itself, and only its owner may finish it."""
        gid = f"{GID}{self.n}"
        insert = f"INSERT INTO public.own{self.n} (v) VALUES ('prepared')"
        # Not UNLISTEN of nothing: docs/limits.md.
        inner = [self.pick(self.show, self.setting, self.savepoint,
                           lambda: self.sql(f"{self.pick('LISTEN', 'NOTIFY')} own{self.n}"),
                           lambda: self.sql(f"SELECT pg_advisory_xact_lock({self.n})"))()
                 for _ in range(self.random.randrange(3))]
        asked = f"SELECT gid, owner FROM pg_catalog.pg_prepared_xacts WHERE gid = '{gid}'"
        between = [self.pick(self.show, self.read, self.setting,
                             lambda: self.sql(self.pick(asked, "SELECT fails()")))()
                   for _ in range(self.random.randrange(4))]
        end = self.pick("COMMIT", "ROLLBACK")
        self.queue = [self.sql("RESET SESSION AUTHORIZATION"), self.sql("RESET ROLE"),
                      self.sql("BEGIN"), self.sql(insert), *inner,
                      self.sql(f"PREPARE TRANSACTION '{gid}'"), self.sql(asked), *between,
                      self.sql(f"{end} PREPARED '{gid}'")]
        return self.sql("ROLLBACK")

    def trigger(self):
        table = f"public.watched{self.n}"
        kind = self.pick(*WATCHED)
        return self.sql(self.pick(
            *[f"INSERT INTO {table} VALUES ('{kind}')"] * 4,
            f"INSERT INTO {table} VALUES ('nothing'), ('{kind}')",
            *[f"UPDATE {table} SET kind = '{kind}'"] * 2, f"DELETE FROM {table}",
            f"WITH new AS (INSERT INTO {table} VALUES ('{kind}') RETURNING *) SELECT * FROM new",
            f"COPY {table} FROM PROGRAM 'echo {kind}'", "SET CONSTRAINTS ALL IMMEDIATE",
            f"ALTER TABLE {table} {self.pick('DISABLE', 'ENABLE', 'ENABLE')} TRIGGER watch",
            f"SELECT pg_advisory_unlock({1000 + self.n})", "EXECUTE inside",
            "DEALLOCATE inside"))

    def sequence(self):
        return self.sql(self.pick(f"SELECT nextval('seq{self.n}')",
                                  f"SELECT setval('seq{self.n}', 40)"))
