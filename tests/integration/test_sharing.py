"""Short reads of several clients on one server connection, one behind another (pool.depth)."""
import contextlib
import random
import socket
import struct
import threading
import time

import psycopg
import pytest

from support import SLOW, wire
from support.asking import WAYS
from support.cluster import fresh_name, wait_catalog, wait_until
from support.loss import LOSSES
from support.orders import order
from support.wire import SYNC, bind, cancel, execute, parse, query

WARM_UP = 60    # calls, until a shape is known to be short
SECONDS = 0.5   # of what was thought to be short and is not


@pytest.fixture
def word(cluster):
    """A read that answers what it is told, sooner or later, or fails."""
    name = fresh_name()
    cluster.sql(0, f"""
        CREATE FUNCTION {name}(told text) RETURNS text LANGUAGE plpgsql STABLE AS $$
        BEGIN
          PERFORM pg_sleep(CASE WHEN told LIKE 'late%' THEN {SECONDS} * {SLOW}
                                WHEN told LIKE 'soon%' THEN 0.002 ELSE 0 END);
          IF told LIKE 'fail%' THEN RAISE 'no %', told USING ERRCODE = 'WE001'; END IF;
          RETURN told;
        END $$""")
    cluster.wait_replayed()
    yield name
    cluster.sql(0, f"DROP FUNCTION {name}")


@pytest.fixture
def start(start_weir, word):
    """start(size, changes): a proxy with one worker that knows that the read is short."""
    def begin(size, changes=None, **pool):
        weir = start_weir({"workers": 1, "pool": {"size": size, **pool},
                           "routing": {"split_reads": False}, **(changes or {})})
        with weir.connect() as client:
            wait_catalog(client)
            learn(client, word)
        return weir
    return begin


def learn(client, word):
    for _ in range(WARM_UP):
        assert client.value(f"SELECT {word}('x')") == "x"
        client.send(parse("", f"SELECT {word}($1)"), bind("", "", ["y"]), execute(), SYNC)
        assert client.read_until_ready()[2].values() == ["y"]


def shared(weir):
    return sum(int(row["shared_reads"]) for row in weir.show("ROUTE_TOTALS"))


def assert_shared(weir, more_than, before=0):
    """A slow build may find that nothing is short."""
    assert SLOW > 1 or shared(weir) - before > more_than


def wait_idle(weir):
    wait_until(lambda: all(row["state"] == "idle" for row in weir.show("SERVERS")),
               lambda: f"servers are idle: {weir.show('SERVERS')}", 20 * SLOW)


def connected(weir, stack, count, **parameters):
    return [stack.enter_context(weir.connect(**parameters)) for _ in range(count)]


@pytest.mark.parametrize("split", [False, True], ids=["primary", "replicas"])
def test_all_get_their_own_answers(start_weir, cluster, word, split):
    """More clients than connections, of all kinds, at once."""
    weir = start_weir({"workers": 1, "pool": {"size": 2}, "routing": {"split_reads": split}})
    with weir.connect() as client:
        learn(client, word)
    ways, results = list(WAYS.values()), {}
    told = {n: [f"word {n} {i}" for i in range(150)] for n in range(20)}

    def ask(number):
        results[number] = ways[number % len(ways)](weir, word, told[number])
    threads = [threading.Thread(target=ask, args=[number]) for number in told]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120 * SLOW)
    assert results == told
    assert_shared(weir, 200)
    assert len([row for row in weir.show("SERVERS") if row["user"] == "app"]) <= 2 * 3
    wait_idle(weir)
    assert int(weir.show("ROUTE_TOTALS")[0]["errors"]) == 0


def test_it_can_be_off(start, word):
    weir = start(1, depth=1)
    with contextlib.ExitStack() as stack:
        clients = connected(weir, stack, 4)
        for client in clients:
            client.send(query(f"SELECT {word}('soon')"))
        assert all(client.rows() == [["soon"]] for client in clients)
    assert shared(weir) == 0


def test_it_is_turned_off_and_on_while_it_is_at_work(start, word):
    weir = start(1)
    with contextlib.ExitStack() as stack:
        clients = connected(weir, stack, 4)

        def grown():
            before = shared(weir)
            for _ in range(20):
                for client in clients:
                    client.send(query(f"SELECT {word}('soon')"))
                assert all(client.rows() == [["soon"]] for client in clients)
            return shared(weir) - before

        def grows():  # a machine that stalls makes the short ones long
            wait_until(lambda: grown() > 0 or SLOW > 1, "some are shared", 30)
        grows()
        send_together(clients, word)
        order(weir, "SET pool.depth = 1")
        assert [client.rows()[0][0].split()[0] for client in clients] == ["late"] + ["word"] * 3
        assert grown() == 0
        order(weir, "SET pool.depth = 4")
        grows()


def test_each_has_its_own_error(start, word):
    weir = start(1)
    with contextlib.ExitStack() as stack:
        clients = connected(weir, stack, 6)
        for turn in range(20):
            for number, client in enumerate(clients):
                what = "fail" if (number + turn) % 3 == 0 else "word"
                if number % 2:
                    client.send(query(f"SELECT {word}('{what} {number} {turn}')"))
                else:
                    client.send(parse("", f"SELECT {word}($1)"),
                                bind("", "", [f"{what} {number} {turn}"]), execute(), SYNC)
            for number, client in enumerate(clients):
                got = client.read_until_ready()
                assert client.status == "I"
                errors = [m.fields() for m in got if m.type == "E"]
                rows = [m.values() for m in got if m.type == "D"]
                text = f"{number} {turn}"
                if (number + turn) % 3 == 0:
                    assert [(e["C"], e["M"]) for e in errors] == [("WE001", f"no fail {text}")]
                    assert not rows
                else:
                    assert not errors and rows == [[f"word {text}"]]
    assert_shared(weir, 50)
    wait_idle(weir)


def test_a_table_that_is_gone(start, cluster, word):
    """What a statement meant has changed since it was prepared: as at PostgreSQL, but for one that
    answers other columns now, which is prepared anew."""
    table = fresh_name()
    cluster.sql(0, f"CREATE TABLE {table} AS SELECT 1 AS a; GRANT SELECT ON {table} TO PUBLIC")
    weir = start(1)
    try:
        with contextlib.ExitStack() as stack:
            clients = connected(weir, stack, 4)
            for client in clients:
                client.send(parse("mine", f"SELECT * FROM {table}"), SYNC)
                client.read_until_ready()

            def ask():
                for client in clients:
                    client.send(bind("", "mine"), execute(), SYNC)
                return [client.read_until_ready() for client in clients]
            for _ in range(WARM_UP):
                assert all([m.type for m in got] == list("2DCZ") for got in ask())
            before = shared(weir)
            for _ in range(WARM_UP):  # one that is slow beside others shares nothing
                ask()
            assert_shared(weir, 0, before)
            cluster.sql(0, f"ALTER TABLE {table} ADD b int DEFAULT 2")
            for got in ask():
                assert [m.values() for m in got if m.type == "D"] == [["1", "2"]]
            cluster.sql(0, f"DROP TABLE {table}")
            for got in ask():
                assert [m.fields()["C"] for m in got if m.type == "E"] == ["42P01"]
    finally:
        cluster.sql(0, f"DROP TABLE IF EXISTS {table}")


def test_settings_are_not_mixed(start, word):
    weir = start(2)
    zones = ["UTC", "Asia/Tokyo", "America/Lima"]
    with contextlib.ExitStack() as stack:
        clients = connected(weir, stack, 12)
        mine = [zones[number % 3 if number < 4 else 0] for number in range(len(clients))]
        for client, zone in zip(clients, mine):
            client.query(f"SET timezone = '{zone}'")
        for _ in range(WARM_UP):
            for client in clients:
                client.send(query("SELECT current_setting('timezone')"))
            assert [client.rows() for client in clients] == [[[zone]] for zone in mine]
    assert_shared(weir, 50)


def test_what_is_large_waits_for_a_connection(start, word):
    """What is too large to be kept could not be sent elsewhere."""
    weir = start(1)
    large = f"SELECT {word}('large') /* {'x' * 20_000} */"
    with contextlib.ExitStack() as stack:
        first, *others = connected(weir, stack, 4)
        before = shared(weir)
        first.send(query(f"SELECT {word}('late')"))
        for client in others:
            client.send(query(large))
        assert first.rows() == [["late"]]
        assert [client.rows() for client in others] == [[["large"]]] * 3
        assert shared(weir) == before


def send_together(clients, word, first="late"):
    """The first one's takes long, though its kind is short; the others come right behind it."""
    for number, client in enumerate(clients):
        client.send(query(f"SELECT {word}('{first if number == 0 else 'word'} {number}')"))


def follow_together(weir, clients, word):
    """The same, and waits until the three others follow the first."""
    before = shared(weir)
    send_together(clients, word)
    with contextlib.suppress(*[AssertionError] * (SLOW > 1)):
        wait_until(lambda: shared(weir) - before == 3, "they are sent", 5 * SLOW)


@pytest.mark.parametrize("whose", [0, 1, 2])
def test_a_cancel_is_of_one(start, word, whose):
    weir = start(1)
    with contextlib.ExitStack() as stack:
        clients = connected(weir, stack, 4)
        follow_together(weir, clients, word)
        cancel(weir.host, weir.port, clients[whose].pid, clients[whose].secret)
        for number, client in enumerate(clients):
            got = client.read_until_ready()
            if number == whose:
                assert [m.fields()["C"] for m in got if m.type == "E"] == ["57014"]
            else:
                text = f"{'word' if number else 'late'} {number}"
                assert [m.values() for m in got if m.type == "D"] == [[text]]
        send_together(clients, word, first="word")  # all of them go on
        assert [client.rows() for client in clients] == [[[f"word {n}"]] for n in range(4)]
    wait_idle(weir)


def test_many_cancels(start, word):
    """At any moment: whoever has asked for none gets none."""
    weir, seed = start(2), random.randrange(1 << 30)
    ends = time.monotonic() + 5
    failed, cancelled = [], []

    def ask(number, cancels):
        luck = random.Random(seed + number)
        with weir.connect() as client:
            turn = 0
            while time.monotonic() < ends:
                turn += 1
                text = f"{luck.choice(['soon', 'word'])} {number} {turn}"
                client.send(query(f"SELECT {word}('{text}')"))
                if cancels and luck.random() < 0.3:
                    cancel(weir.host, weir.port, client.pid, client.secret)
                got = client.read_until_ready()
                codes = [m.fields()["C"] for m in got if m.type == "E"]
                if codes == ["57014"] and cancels:
                    cancelled.append(number)
                elif codes or [m.values() for m in got if m.type == "D"] != [[text]]:
                    failed.append((number, turn, text, codes, got))
    threads = [threading.Thread(target=ask, args=[n, n % 4 == 0]) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60 * SLOW)
    assert not failed, (seed, failed[:3])
    assert cancelled
    assert_shared(weir, 20)
    wait_idle(weir)


@pytest.mark.parametrize("politely", [False, True], ids=["reset", "terminate"])
@pytest.mark.parametrize("who", [0, 1, 2])
def test_who_leaves_disturbs_nobody(start, word, who, politely):
    weir = start(1)
    with contextlib.ExitStack() as stack:
        clients = connected(weir, stack, 4)
        follow_together(weir, clients, word)
        if politely:
            clients[who].terminate()
        else:
            clients[who].socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                           struct.pack("ii", 1, 0))
            clients[who].drop()
        for number, client in enumerate(clients):
            if number != who:
                assert client.rows() == [[f"{'word' if number else 'late'} {number}"]]
        wait_idle(weir)


def test_nobody_stays_behind_what_is_late(start, word):
    """Another connection is free before long: who was sent behind the late one goes there."""
    weir = start(2)
    with contextlib.ExitStack() as stack:
        late, soon, *others = connected(weir, stack, 8)
        late.send(query(f"SELECT {word}('late')"))
        soon.send(query(f"SELECT {word}('soon')"))
        begun = time.monotonic()
        for number, client in enumerate(others):
            client.send(query(f"SELECT {word}('word {number}')"))
        for number, client in enumerate(others):
            assert client.rows() == [[f"word {number}"]]
        assert time.monotonic() - begun < SECONDS * SLOW * 0.6
        assert soon.rows() == [["soon"]] and late.rows() == [["late"]]
    wait_idle(weir)


def test_nothing_is_sent_behind_what_is_not_known_to_be_short(start, word):
    weir = start(1)
    with contextlib.ExitStack() as stack:
        first, second = connected(weir, stack, 2)
        for text in ("SELECT pg_sleep(0.01), 'unknown'", f"SELECT {word}('x') FOR UPDATE",
                     f"BEGIN; SELECT {word}('x'); COMMIT", "SELECT 1; SELECT 2"):
            first.send(query(text))
            second.send(query(f"SELECT {word}('x')"))
            first.read_until_ready()
            assert second.rows() == [["x"]]
        assert shared(weir) == 0
        # What may be sent behind a short one must be known as well.
        first.send(query(f"SELECT {word}('soon')"))
        second.send(query("SELECT 'quite new', 7"))
        assert first.rows() == [["soon"]] and second.rows() == [["quite new", "7"]]
        assert shared(weir) == 0


def test_a_transaction_has_its_connection_to_itself(start, cluster, table, word):
    weir = start(1)
    with weir.connect() as writer, weir.connect() as reader:
        for _ in range(WARM_UP):
            assert reader.value(f"SELECT count(*) FROM {table}") == "0"
        writer.query("BEGIN")
        writer.query(f"INSERT INTO {table} VALUES (1)")
        reader.send(query(f"SELECT count(*) FROM {table}"))
        reader.socket.settimeout(0.3)
        with pytest.raises(TimeoutError):
            reader.read()
        reader.socket.settimeout(wire.TIMEOUT_S)
        writer.query("ROLLBACK")
        assert reader.rows() == [["0"]]


def test_writers_have_their_turn(start, cluster, table, word):
    """However many reads come: who waits is before those that come later."""
    weir = start(1)
    ends, waits = threading.Event(), []

    def read(number):
        with weir.connect() as client:
            while not ends.is_set():
                assert client.value(f"SELECT {word}('{number}')") == str(number)
    readers = [threading.Thread(target=read, args=[number]) for number in range(12)]
    for reader in readers:
        reader.start()
    try:
        with weir.connect() as writer:
            for number in range(30):
                begun = time.monotonic()
                writer.query(f"INSERT INTO {table} VALUES ({number})")
                waits.append(time.monotonic() - begun)
    finally:
        ends.set()
        for reader in readers:
            reader.join(30)
    assert max(waits) < 1 * SLOW, waits
    assert_shared(weir, 100)
    assert cluster.value(0, f"SELECT count(*) FROM {table}") == "30"


@pytest.mark.parametrize("lose", LOSSES)
def test_the_connection_is_lost(start, cluster, word, lose):
    """None of those who were sent behind is told: they can be run again."""
    weir = start(1)
    with contextlib.ExitStack() as stack:
        clients = connected(weir, stack, 4)
        follow_together(weir, clients, word)
        pid = next(int(row["remote_pid"]) for row in weir.show("SERVERS")
                   if row["user"] == "app" and row["state"] == "active")
        lose(cluster, pid)
        got = clients[0].read_until_ready()
        codes = [m.fields()["C"] for m in got if m.type == "E"]
        rows = [m.values() for m in got if m.type == "D"]
        assert rows == [["late 0"]] or codes in (["08006"], ["57P01"]), got
        for number, client in enumerate(clients[1:], start=1):
            assert client.rows() == [[f"word {number}"]]
    wait_idle(weir)


def test_pipelines_wait_for_their_turn(start, word):
    """Each client's own requests stay in their order."""
    weir = start(1)
    with contextlib.ExitStack() as stack:
        clients = connected(weir, stack, 6)
        for turn in range(10):
            counts = [10 if number % 3 == turn % 3 else 1 for number in range(len(clients))]
            for number, client in enumerate(clients):
                client.send(*(query(f"SELECT {word}('{number} {turn} {i}')")
                              for i in range(counts[number])))
            for number, client in enumerate(clients):
                for i in range(counts[number]):
                    assert client.rows() == [[f"{number} {turn} {i}"]]
    assert_shared(weir, 10)
    wait_idle(weir)


def test_a_client_that_reads_nothing(start, word):
    """Its answer is larger than what its socket takes: others wait for it for a moment only."""
    weir = start(2, {"limits": {"buffer_bytes": "64kB"}})
    big = f"SELECT repeat({word}('x'), 30000000)"
    with contextlib.ExitStack() as stack:
        hungry, *others = connected(weir, stack, 6)
        for _ in range(WARM_UP):
            assert others[0].value(f"SELECT repeat({word}('x'), 3)") == "xxx"
        hungry.send(query(big))
        for turn in range(20):
            for number, client in enumerate(others):
                client.send(query(f"SELECT {word}('word {number} {turn}')"))
            for number, client in enumerate(others):
                assert client.rows() == [[f"word {number} {turn}"]]
        assert len(hungry.rows()[0][0]) == 30000000
    wait_idle(weir)


def test_psycopg_pool_of_threads(start, cluster, table, word):
    """Reads and writes of many sessions: each sees its own writes."""
    weir = start(3)
    cluster.sql(0, f"INSERT INTO {table} SELECT g FROM generate_series(1, 8) AS g")
    failed = []

    def work(number):
        with weir.psycopg() as connection:
            connection.autocommit = True
            mine = 1000 * number
            for turn in range(60):
                connection.execute(f"INSERT INTO {table} VALUES (%s)", [mine + turn])
                for _ in range(3):
                    seen = connection.execute(
                        f"SELECT count(*) FROM {table} WHERE id BETWEEN %s AND %s",
                        [mine, mine + 999]).fetchone()[0]
                    if seen != turn + 1:
                        failed.append((number, turn, seen))
    threads = [threading.Thread(target=work, args=[n]) for n in range(1, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120 * SLOW)
    assert not failed
    with psycopg.connect(host=weir.host, port=weir.port, user="app", password="app",
                         dbname="app") as connection:
        assert connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] == 8 + 12 * 60
    assert_shared(weir, 0)


# --- while others are idle ------------------------------------------------------------------------


@contextlib.contextmanager
def crowd(weir, statement, clients=24):
    """Clients that ask all the time: what one of them has asked, and each answer, is told."""
    stop, answers, failures = threading.Event(), [0] * clients, []

    def ask(number):
        try:
            with weir.connect() as client:
                while not stop.is_set():
                    told = f"{number}.{answers[number]}"
                    assert client.value(statement.format(told)) == told
                    answers[number] += 1
        except Exception as failed:  # noqa: BLE001
            failures.append(failed)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failures


@pytest.mark.skipif(SLOW > 1, reason="a slow build keeps no host busy")
def test_a_busy_host_gets_fewer_connections(start, word):
    """All its cores are busy with 24 connections, which the pool has for all. Nobody needs wait."""
    weir = start(40, min=30, share_early=True)
    wait_until(lambda: len(weir.show("SERVERS")) >= 30, "all have connections", 20 * SLOW)
    with crowd(weir, f"SELECT {word}('{{}}')"):
        wait_until(lambda: shared(weir) > 2000, "some share", 20)
        with weir.connect() as client:  # for whom there is an idle one
            for _ in range(20):
                client.query("BEGIN")
                began = time.monotonic()
                assert client.value(f"SELECT {word}('own')") == "own"
                assert time.monotonic() - began < 1
                client.query("COMMIT")
    assert all(row["cl_waiting"] == "0" for row in weir.show("POOLS"))


def test_early_sharing_is_off_by_default(start, word):
    weir = start(40, min=30)
    wait_until(lambda: len(weir.show("SERVERS")) >= 30, "all have connections", 20 * SLOW)
    wait_idle(weir)
    with crowd(weir, f"SELECT {word}('{{}}')") as answers:
        wait_until(lambda: sum(answers) > 3000, "they are at work", 30 * SLOW)
    assert shared(weir) == 0


def test_reads_that_only_wait_do_not_share_for_long(start, word):
    """No core is busy with them: each is answered sooner on a connection of its own."""
    weir = start(40, min=30, share_early=True)
    with weir.connect() as client:
        for _ in range(WARM_UP):
            client.value(f"SELECT substr({word}('soon'), 5)")
    with crowd(weir, f"SELECT substr({word}('soon{{}}'), 5)", 12):
        time.sleep(3 * SLOW)
        before, asked = shared(weir), weir.show("STATS_TOTALS")
        time.sleep(2 * SLOW)
        after, then = shared(weir), weir.show("STATS_TOTALS")
    queries = sum(int(b["query_count"]) - int(a["query_count"]) for a, b in zip(asked, then))
    assert queries > 500 and after - before < queries / 5
