"""Late reads are sent to another replica, too (routing.hedge_reads)."""
import contextlib
import os
import random
import signal
import threading
import time

import psycopg
import pytest

from support import SLOW, wire
from support.asking import WAYS, ask_simple
from support.cluster import frozen, wait_until
from support.orders import order
from support.wire import cancel, query

FAST = 0.001    # seconds, of a read as it should be
SLEEPS = 3      # and of one that is late
WARM_UP = 120   # calls, until what is usual is known of each worker


@pytest.fixture
def nap(cluster, table):
    """A read, {name}(text), that answers its argument behind the port of its host; and set(port,
    seconds, ends=None): how long it takes there, and the error that it ends with."""
    made = f"nap_{table}"
    cluster.sql(0, f"""
        CREATE TABLE {made} (port int PRIMARY KEY, seconds float8, ends text);
        INSERT INTO {made} SELECT p, {FAST} FROM unnest('{{{','.join(map(str, cluster.ports))}}}'
          ::int[]) AS p;
        GRANT SELECT ON {made} TO PUBLIC;
        CREATE FUNCTION {made}(told text) RETURNS text LANGUAGE plpgsql STABLE AS $$
        DECLARE here {made}%ROWTYPE;
        BEGIN
          SELECT * INTO here FROM {made} WHERE port = inet_server_port();
          PERFORM pg_sleep(here.seconds);
          IF here.ends IS NOT NULL THEN
            RAISE EXCEPTION USING ERRCODE = here.ends, MESSAGE = told;
          END IF;
          RETURN here.port || ' ' || told;
        END $$""")
    cluster.wait_replayed()

    def change(number, seconds, ends=None):
        ends = f"'{ends}'" if ends else "NULL"
        cluster.sql(0, f"UPDATE {made} SET seconds = {seconds}, ends = {ends}"
                       f" WHERE port = {cluster.ports[number]}")
        cluster.wait_replayed()
    change.name = made
    yield change
    cluster.sql(0, f"DROP FUNCTION {made}; DROP TABLE {made}")


@pytest.fixture
def start(start_weir, nap):
    """start(**routing): a proxy that knows how long the read takes; every other one is of replica
    1, until that is found to be slow."""
    def begin(changes=None, **routing):
        weir = start_weir({"routing": {"hedge_reads": True, "balancing": "round_robin",
                                       "consistency": "eventual", "slow_start": "0", **routing},
                           **(changes or {})})
        wait_until(lambda: [row["reads"] for row in weir.show("HOSTS")].count("1") == 2,
                   "both replicas", 10 * SLOW)
        warm_up(weir, nap)
        return weir
    return begin


def warm_up(weir, nap):
    """What was late becomes the exception."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.connect()) for _ in range(4)]
        for number in range(WARM_UP):
            assert clients[number % 4].value(f"SELECT {nap.name}('x')").endswith(" x")


def totals(weir):
    rows = weir.show("ROUTE_TOTALS")
    return {key: sum(int(row[key]) for row in rows)
            for key in ("hedges", "hedges_won", "retries", "errors")}


def all_idle(weir):
    return all(row["state"] == "idle" for row in weir.show("SERVERS"))


def wait_idle(weir):
    wait_until(lambda: all_idle(weir), lambda: f"servers are idle: {weir.show('SERVERS')}",
               20 * SLOW)


ALL_WAYS = pytest.mark.parametrize("ask", WAYS.values(), ids=WAYS)


def timed(ask, weir, function, count):
    told = [f"word {number}" for number in range(count)]
    begun = time.monotonic()
    answers = ask(weir, function, told)
    return [answer.split(" ", 1) for answer in answers], told, time.monotonic() - begun


@ALL_WAYS
def test_a_slow_replica(start, cluster, nap, ask):
    weir = start()
    ask(weir, nap.name, ["x"] * 2 * WARM_UP)  # also of its own shape
    nap(1, SLEEPS)
    before = totals(weir)
    answers, told, took = timed(ask, weir, nap.name, 20)
    assert [text for _, text in answers] == told
    assert {port for port, _ in answers} == {str(cluster.ports[2])}
    assert took < SLEEPS * SLOW
    after = totals(weir)
    assert after["hedges_won"] - before["hedges_won"] >= 5
    assert after["hedges"] >= after["hedges_won"]
    assert (after["retries"], after["errors"]) == (before["retries"], before["errors"])
    # What was late is cancelled, and its connections serve on.
    wait_idle(weir)
    assert not cluster.sql(1, "SELECT pid FROM pg_stat_activity WHERE state = 'active'"
                              f" AND query ~ '{nap.name}' AND pid <> pg_backend_pid()")
    nap(1, FAST)
    wait_until(lambda: str(cluster.ports[1]) in {a.split(" ")[0]
                                                 for a in ask(weir, nap.name, ["x"] * 4)},
               "replica 1 answers again", 20 * SLOW)


def test_not_by_default(start, cluster, nap):
    weir = start(hedge_reads=False)
    nap(1, 1)
    answers, _, took = timed(ask_simple, weir, nap.name, 4)
    assert str(cluster.ports[1]) in {port for port, _ in answers} and took >= 1
    assert totals(weir)["hedges"] == 0


def test_the_first_one_may_be_faster_after_all(start, cluster, nap):
    weir = start()
    nap(1, 0.2)
    nap(2, 2)
    before = totals(weir)
    with weir.connect() as client:
        answers = [client.value(f"SELECT {nap.name}('{n}')").split(" ") for n in range(4)]
    assert answers == [[str(cluster.ports[1]), str(n)] for n in range(4)]
    assert totals(weir)["hedges"] - before["hedges"] >= 4
    wait_idle(weir)


def test_errors(start, nap, cluster):
    """Who fails is not heard while the other one runs; if both do, there is one error."""
    weir = start()
    nap(1, 0.3, ends="22012")
    nap(2, 0.6)
    answers, told, _ = timed(ask_simple, weir, nap.name, 4)
    assert answers == [[str(cluster.ports[2]), text] for text in told]
    nap(1, FAST)
    nap(2, FAST)
    order(weir, "RESET STATEMENTS")
    warm_up(weir, nap)
    nap(1, 0.3, ends="22012")
    nap(2, 0.4, ends="22023")
    with weir.connect() as client:
        for number in range(2):
            with pytest.raises(wire.ServerError) as failed:
                client.query(f"SELECT {nap.name}('told {number}')")
            assert (failed.value.code, failed.value.message) == ("22023", f"told {number}")
        assert client.value("SELECT 'on'") == "on"
    wait_idle(weir)


def test_what_comes_behind_waits(start, nap):
    weir = start()
    nap(1, SLEEPS)
    with weir.connect() as client:
        for _ in range(6):
            client.send(query(f"SELECT {nap.name}('first')"))
            time.sleep(0.05)
            client.send(query("SELECT 'second'"), query("SELECT set_config('a.b', 'c', false)"),
                        query("SELECT current_setting('a.b')"))
            values = []
            for _ in range(4):
                values += [m.values()[0] for m in client.read_until_ready() if m.type == "D"]
            assert values[0].endswith(" first") and values[1:] == ["second", "c", "c"]
    wait_idle(weir)


def test_cancel(start, nap):
    weir = start()
    nap(1, 30)
    nap(2, 30)
    with weir.connect() as client:
        timer = threading.Timer(0.4, cancel, (weir.host, weir.port, client.pid, client.secret))
        timer.start()
        begun = time.monotonic()
        with pytest.raises(wire.ServerError) as failed:
            client.query(f"SELECT {nap.name}('x')")
        assert failed.value.code == "57014" and time.monotonic() - begun < 10 * SLOW
        timer.join()
        assert client.value("SELECT 1") == "1"
    assert totals(weir)["hedges"] >= 1
    wait_idle(weir)


def test_a_client_that_leaves(start, nap, cluster):
    weir = start()
    nap(1, 30)
    nap(2, 30)
    clients = [weir.connect() for _ in range(4)]
    for number, client in enumerate(clients):
        client.send(query(f"SELECT {nap.name}('x')"))
    wait_until(lambda: totals(weir)["hedges"] >= 4, "they race", 10 * SLOW)
    for number, client in enumerate(clients):
        client.drop() if number % 2 else client.terminate()
    # Who said goodbye has it carried out, as with PostgreSQL: the operator ends that here.
    for number in (1, 2):
        nap_of = f"query ~ '{nap.name}' AND state = 'active' AND pid <> pg_backend_pid()"
        cluster.sql(number, f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {nap_of}")
    wait_idle(weir)


def test_a_lost_connection(start, nap, cluster):
    weir = start()
    nap(1, 30)
    nap(2, 1.5)
    with weir.connect() as client:
        client.send(query(f"SELECT {nap.name}('x')"))
        wait_until(lambda: totals(weir)["hedges"] >= 1, "it is late", 10 * SLOW)
        cluster.sql(1, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                       f" WHERE query ~ '{nap.name}' AND pid <> pg_backend_pid()")
        assert client.read_until_ready()[1].values() == [f"{cluster.ports[2]} x"]
    wait_idle(weir)


def test_frozen_backends(start, nap, cluster):
    weir = start()
    nap(1, 1)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.connect()) for _ in range(4)]
        for client in clients:
            client.send(query(f"SELECT {nap.name}('x')"))
        pids = [int(pid) for pid, in cluster.sql(
            1, f"SELECT pid FROM pg_stat_activity WHERE query ~ '{nap.name}'"
               " AND backend_type = 'client backend' AND pid <> pg_backend_pid()")]
        assert pids
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        try:
            for client in clients:
                assert client.read_until_ready()[1].values() == [f"{cluster.ports[2]} x"]
        finally:
            for pid in pids:
                os.kill(pid, signal.SIGCONT)
    wait_idle(weir)


def test_a_large_answer(start, nap, cluster):
    weir = start()
    rows = f"SELECT repeat('x', 100000), {nap.name}(g::text) FROM generate_series(1, 50) AS g"
    with weir.connect() as client:
        for _ in range(40):
            client.query(rows)
        nap(1, 0.5)
        before = totals(weir)
        for _ in range(4):
            client.send(query(rows))
            values = [m.values() for m in client.read_until_ready() if m.type == "D"]
            assert values == [["x" * 100000, f"{cluster.ports[2]} {g}"] for g in range(1, 51)]
        assert totals(weir)["hedges_won"] > before["hedges_won"]
    wait_idle(weir)


def test_what_is_sent_once(start, nap, cluster, table):
    """Writes, transactions, reads that ask for more than another replica is known to have."""
    weir = start()
    nap(0, 0.2)
    nap(1, 0.2)
    nap(2, 0.2)
    before = totals(weir)
    with weir.connect() as client:
        for number in range(3):
            client.query(f"INSERT INTO {table} SELECT {number}, {nap.name}('x')")
            client.query("BEGIN READ ONLY")
            assert client.value(f"SELECT {nap.name}('x')").endswith(" x")
            client.query("COMMIT")
            client.query("BEGIN")
            assert client.value(f"SELECT {nap.name}('x')").endswith(" x")
            client.query("COMMIT")
            client.query("SET weir.consistency = strong")
            assert client.value(f"SELECT {nap.name}('x')").endswith(" x")
            client.query("RESET weir.consistency")
        assert client.value(f"/* weir: primary */ SELECT count(*) FROM {table}") == "3"
    assert totals(weir)["hedges"] == before["hedges"]


def test_nobody_gets_anothers_answer(start, nap, cluster):
    """Sixteen sessions, four ways to ask, replicas that are slow by turns, six connections each."""
    weir = start({"pool": {"size": 6}}, balancing="least_connections")
    seed = int(os.environ.get("WEIR_TEST_SEED", "1"))
    ends = time.monotonic() + 8
    wrong, counted = [], []

    def work(number):
        dice = random.Random(seed * 1000 + number)
        ways = [way for name, way in WAYS.items() if name != "asyncpg"]
        while time.monotonic() < ends:
            told = [f"{number} {dice.random()}" for _ in range(dice.randrange(1, 30))]
            try:
                got = dice.choice(ways)(weir, nap.name, told)
                wrong.extend((a, b) for a, b in zip(got, told) if a.split(" ", 1)[1] != b)
                counted.append(len(got))
            except (OSError, AssertionError, wire.ServerError, psycopg.Error) as error:
                wrong.append(repr(error))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    dice = random.Random(seed)
    while time.monotonic() < ends - 1:
        nap(dice.choice((1, 2)), dice.choice((FAST, FAST, 0.05, 0.4)))
        time.sleep(dice.random() * 0.5)
    for number in (1, 2):
        nap(number, FAST)
    for thread in threads:
        thread.join()
    assert not wrong, f"seed {seed}: {wrong[:5]}"
    assert sum(counted) > 100 and totals(weir)["hedges_won"] > 0, f"seed {seed}: {totals(weir)}"
    wait_idle(weir)


@pytest.mark.alone
@pytest.mark.parametrize("hedged", [True, False])
def test_reads_while_a_replica_hangs(start_weir, cluster, table, hedged):
    """Not all clients come to wait there, one after the other; hedged reads hardly wait at all."""
    cluster.sql(0, f"INSERT INTO {table} SELECT g, 'x' FROM generate_series(1, 1000) AS g")
    cluster.wait_replayed()
    weir = start_weir({"routing": {"hedge_reads": hedged, "slow_start": "0"},
                       "clusters": {"main": {"monitor": {"timeout": "3s"}}}})
    counted, waits, over = [0] * 12, [], threading.Event()

    def read(number):
        with weir.connect() as client:
            client.socket.settimeout(60 * SLOW)
            while not over.is_set():
                begun = time.monotonic()
                assert client.value(f"SELECT v FROM {table} WHERE id = {number + 1}") == "x"
                waits.append((begun, time.monotonic() - begun))
                counted[number] += 1

    threads = [threading.Thread(target=read, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(2)
        before = sum(counted)
        with frozen(cluster, 1):
            time.sleep(0.5)  # the longest that it takes to be left
            since, then = time.monotonic(), sum(counted)
            time.sleep(1)
            read_in_a_second = sum(counted) - then
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert read_in_a_second > before / 2 / 10, (before / 2, read_in_a_second)
    late = sorted(took for begun, took in waits if since <= begun < since + 1)
    assert late[int(len(late) * 0.99)] < 0.2 * SLOW
    if hedged:
        assert max(took for _, took in waits) < 2 * SLOW  # not until its monitor knows
        assert totals(weir)["hedges_won"] > 0
