"""READ ONLY transactions: which host serves one is decided by the first statement in it."""
import psycopg
import pytest

from support import SLOW, wire
from support.cluster import fresh_name, wait_catalog, wait_until
from support.faults import steady_lag
from support.wire import SYNC, bind, execute, parse

PORT = "SELECT inet_server_port()"
# So that what a session has seen on the primary does not send its next transaction there.
EVENTUAL = {"weir.consistency": "eventual"}
REPEATABLE = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


@pytest.fixture(scope="module")
def names(cluster, shared_weir):
    """What a standby refuses, told by the catalog or, for `hidden`, by nothing."""
    made = {kind: fresh_name(f"ro_{kind}") for kind in ("unlogged", "view", "reader", "hidden")}
    cluster.sql(0, """
        CREATE UNLOGGED TABLE {unlogged} (id int); INSERT INTO {unlogged} VALUES (7);
        CREATE VIEW {view} AS SELECT id FROM {unlogged};
        CREATE FUNCTION {reader}() RETURNS int LANGUAGE sql STABLE AS 'SELECT id FROM {unlogged}';
        CREATE FUNCTION {hidden}() RETURNS int LANGUAGE plpgsql STABLE AS $$
            DECLARE n int; BEGIN
            EXECUTE 'SELECT id FROM ' || reverse(reverse('{unlogged}')) INTO n; RETURN n; END $$;
        GRANT ALL ON {unlogged}, {view} TO app""".format(**made))
    cluster.wait_replayed()
    with shared_weir.connect() as client:  # what was made did not pass through it
        wait_catalog(client)
        known = "EXPLAIN ROUTE SELECT * FROM {view}".format(**made)
        wait_until(lambda: client.query(known)[0] == ["route: primary"], "the catalog is read",
                   60 * SLOW)
    yield made
    cluster.sql(0, "DROP FUNCTION {hidden}, {reader}; DROP VIEW {view}; DROP TABLE {unlogged}"
                .format(**made))


@pytest.fixture
def client(weir):
    with weir.connect(**EVENTUAL) as made:
        yield made


def began_on_a_replica(cluster, client, begin="BEGIN READ ONLY"):
    """Where it would stay, were it not for what comes: shown by one that does stay."""
    client.query(begin)
    assert cluster.number_of(client.value(PORT)) != 0
    client.query("COMMIT")
    client.query(begin)


ONLY_THE_PRIMARY = {
    "SELECT id FROM {unlogged}": "7",
    "SELECT id FROM {view}": "7",
    "SELECT {reader}()": "7",
    "SELECT {hidden}()": "7",  # refused by the replica first
    "SELECT pg_is_in_recovery()": "f",
    "SELECT count(*) FROM pg_stat_replication": "2",
    "SHOW in_hot_standby": "off",
    "SELECT (pg_export_snapshot() IS NOT NULL)": "t",
}


@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("sql", ONLY_THE_PRIMARY)
def test_what_only_the_primary_can_answer(cluster, client, names, sql, protocol):
    text, answer = sql.format(**names), ONLY_THE_PRIMARY[sql]
    if protocol == "prepared":
        client.send(parse("asked", text), SYNC)
        client.read_until_ready()
    for begin in ("BEGIN READ ONLY", REPEATABLE):
        began_on_a_replica(cluster, client, begin)
        if protocol == "simple":
            assert client.query(text) == [[answer]]
        elif protocol == "extended":
            assert client.extended(text) == [[answer]]
        else:
            client.send(bind("", "asked"), execute(), SYNC)
            assert client.rows() == [[answer]]
        assert client.status == "T"
        assert cluster.number_of(client.value(PORT)) == 0  # where it stays
        isolation = "repeatable read" if begin == REPEATABLE else "read committed"
        assert client.value("SHOW transaction_isolation") == isolation
        with pytest.raises(wire.ServerError) as failed:
            client.query("CREATE TABLE never ()")
        assert failed.value.code == "25006" and client.status == "E"
        client.query("ROLLBACK")
        assert client.status == "I"


@pytest.mark.parametrize("sql", ["LOCK TABLE {t} IN SHARE MODE", "ANALYZE {t}", "VACUUM {t}",
                                 "PREPARE TRANSACTION 'never'"])
def test_what_a_primary_allows_read_only_transactions(cluster, client, table, sql):
    """Though it is no read, and a standby refuses it."""
    with cluster.connect(0, "app", "app") as direct:
        answers = []
        for target in (client, direct):
            target.query("BEGIN READ ONLY")
            target.send(wire.query(sql.format(t=table)))
            answers.append([got.body for got in target.read_until_ready()])
            target.query("ROLLBACK" if target.status != "I" else "ROLLBACK PREPARED 'never'")
    assert answers[0] == answers[1]


def test_what_a_replica_can_answer_stays_there(cluster, client, names):
    for first in (PORT, "SELECT set_config('work_mem', '5MB', true)", "SHOW work_mem",
                  "SELECT setseed(0.5)", "SAVEPOINT a"):
        client.query("BEGIN READ ONLY")
        client.query(first)
        assert cluster.number_of(client.value(PORT)) != 0, first
        client.query("COMMIT")
        client.query("DISCARD ALL")


def test_only_the_first_statement_moves_it(cluster, client, names):
    """Nothing that the client has seen of it is taken back."""
    client.query("BEGIN READ ONLY")
    assert cluster.number_of(client.value(PORT)) != 0
    with pytest.raises(wire.ServerError) as failed:
        client.query("SELECT id FROM {unlogged}".format(**names))
    assert failed.value.code in ("0A000", "55000") and client.status == "E"
    client.query("ROLLBACK")


REFUSED = ("INSERT INTO {t} VALUES (1)", "COPY {t} FROM STDIN", "COPY {t} (id) FROM STDIN",
           "SELECT * FROM {t} FOR UPDATE", "TRUNCATE {t}", "CREATE TABLE never ()",
           "SELECT nextval('{t}_seq')", "SELECT setval('{t}_seq', 1)", "DECLARE c CURSOR FOR "
           "SELECT 1 FROM {t} FOR SHARE", "EXPLAIN ANALYZE DELETE FROM {t}",
           "LOCK TABLE {t} IN ROW EXCLUSIVE MODE", "SET TRANSACTION READ WRITE")


@pytest.mark.parametrize("begin", [("BEGIN READ ONLY",), ("BEGIN", "SET TRANSACTION READ ONLY"),
                                   ("SET default_transaction_read_only = on", "BEGIN")])
def test_writes_are_refused_in_the_primarys_words(cluster, weir, table, begin):
    cluster.sql(0, f"CREATE SEQUENCE {table}_seq; GRANT ALL ON SEQUENCE {table}_seq TO app")
    cluster.wait_replayed()

    def said(client, first, sql):
        for part in begin:
            client.query(part)
        if first:
            client.query(f"SELECT 1 FROM {table}")
        try:
            return client.query(sql.format(t=table))
        except wire.ServerError as failed:
            return failed.code, failed.message
        finally:
            client.query("ROLLBACK")

    with weir.connect(**EVENTUAL) as ours, cluster.connect(0, "app", "app") as theirs:
        for sql in REFUSED:
            for first in (True, False):
                assert said(ours, first, sql) == said(theirs, first, sql), sql


@pytest.mark.parametrize("way", ["statements", "text", "batch"])
@pytest.mark.parametrize("sql", [
    "SET TRANSACTION READ WRITE", "RESET transaction_read_only",
    "SET LOCAL transaction_read_only TO off", "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE, READ WRITE"])
def test_modes_that_a_standby_has_not(cluster, weir, table, sql, way):
    """Of a session that only reads by default: as the primary takes them."""
    texts = ["BEGIN", sql, f"INSERT INTO {table} VALUES (1) ON CONFLICT DO NOTHING", "COMMIT"]
    requests = {"statements": [wire.query(text) for text in texts],
                "text": [wire.query("; ".join(texts))],
                "batch": [b"".join((*(part for text in texts for part in (
                    parse("", text), bind("", ""), execute())), SYNC))]}

    def answers(client):
        client.query("SET default_transaction_read_only = on")
        for request in requests[way]:
            client.send(request)
            for got in client.read_until_ready():
                yield got.fields()["M"] if got.type == "E" else got.type

    with weir.connect(**EVENTUAL) as ours, cluster.connect(0, "app", "app") as theirs:
        assert list(answers(ours)) == list(answers(theirs))


def test_who_asks_for_a_replica_hears_of_its_recovery(client, table):
    with pytest.raises(wire.ServerError) as failed:
        client.query(f"/* weir: replica */ COPY {table} FROM STDIN")
    assert failed.value.message == "cannot execute COPY during recovery"


def test_what_it_leaves_is_left_on_the_primary(cluster, client, table):
    """An advisory lock pins the session, which can write all the same."""
    client.query("BEGIN READ ONLY")
    client.query("SELECT pg_advisory_lock(20261129)")
    client.query("COMMIT")
    client.query(f"INSERT INTO {table} VALUES (1)")
    held = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = 20261129"
    assert cluster.value(0, held) == "1"
    client.query("SELECT pg_advisory_unlock(20261129)")
    assert cluster.value(0, held) == "0"


def test_an_empty_batch_says_nothing(cluster, client, names):
    client.query("BEGIN READ ONLY")
    client.send(SYNC)
    client.read_until_ready()
    assert client.status == "T"
    assert client.value("SELECT id FROM {unlogged}".format(**names)) == "7"
    client.query("COMMIT")


def test_drivers(cluster, weir, names):
    with weir.psycopg(options="-c weir.consistency=eventual") as client:
        client.autocommit = False
        client.read_only = True
        for level in (psycopg.IsolationLevel.READ_COMMITTED,
                      psycopg.IsolationLevel.REPEATABLE_READ):
            client.isolation_level = level
            found = client.execute("SELECT id, inet_server_port() FROM {unlogged} WHERE id = %s"
                                   .format(**names), [7]).fetchall()
            assert found == [(7, cluster.ports[0])]
            client.commit()
            assert client.execute(PORT).fetchone()[0] != cluster.ports[0]
            client.commit()


def test_hints_of_the_first_statement(cluster, client, names):
    client.query("BEGIN READ ONLY")
    assert cluster.number_of(client.value(f"/* weir: primary */ {PORT}")) == 0
    client.query("COMMIT")
    client.query("BEGIN READ ONLY")
    with pytest.raises(wire.ServerError):
        client.query("/* weir: replica */ SELECT id FROM {unlogged}".format(**names))
    client.query("ROLLBACK")


def test_without_a_primary_it_waits_and_then_fails(start_weir, cluster, names):
    """The transaction has failed then, and goes on no further, as after any error."""
    weir = start_weir({"timeouts": {"query_wait": "1s", "server_retry": "100ms"}})
    with weir.connect(**EVENTUAL) as client:
        client.query("SELECT 1")
        with cluster.killed(0):
            client.query("BEGIN READ ONLY")
            client.send(wire.query("SELECT pg_is_in_recovery()"))
            with pytest.raises(wire.ServerError):
                client.rows()
            assert client.status == "E"
            with pytest.raises(wire.ServerError) as failed:
                client.query("SELECT 1")
            assert failed.value.code == "25P02"
            client.query("ROLLBACK")
            assert client.status == "I"
            client.query("BEGIN READ ONLY")
            assert cluster.number_of(client.value(PORT)) != 0
            client.query("COMMIT")
    cluster.sql(0, "INSERT INTO {unlogged} VALUES (7)".format(**names))  # a crash has emptied it


def test_sessions_that_only_read(weir, cluster, names):
    """Without a transaction block there is nothing to move."""
    with weir.connect(options="-c default_transaction_read_only=on", **EVENTUAL) as client:
        wait_until(lambda: cluster.number_of(client.value(PORT)) != 0,
                   lambda: client.query(f"EXPLAIN ROUTE {PORT}"))  # the primary was down before
        for sql, answer in ONLY_THE_PRIMARY.items():
            assert client.query(sql.format(**names)) == [[answer]]
            client.query("BEGIN")
            assert client.query(sql.format(**names)) == [[answer]]
            client.query("COMMIT")


# --- strong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", REPEATABLE])
def test_strong_counts_from_the_first_statement(weir, cluster, table, begin):
    """What others commit behind BEGIN is seen, as on the primary; where each statement sees what
    is there then, by each."""
    with steady_lag(cluster, 100), weir.connect(**{"weir.consistency": "strong"}) as client:
        for n in range(1, 11):
            client.query(begin)
            cluster.sql(0, f"INSERT INTO {table} VALUES ({n})")
            assert client.value(f"SELECT count(*) FROM {table}") == str(n)
            if begin != REPEATABLE:
                cluster.sql(0, f"UPDATE {table} SET v = '{n}' WHERE id = {n}")
                assert client.value(f"SELECT v FROM {table} WHERE id = {n}") == str(n)
            client.query("COMMIT")


@pytest.mark.parametrize("way", ["text", "prepared", "text with more", "more behind it",
                                 "large"])
def test_strong_ones_are_proven_by_what_takes_the_snapshot(weir, cluster, table, way):
    """However they have begun: what is committed then may be on no replica yet."""
    with weir.connect(**{"weir.consistency": "strong"}) as client:
        client.query("SET weir.explain = on")
        client.send(parse("begins", REPEATABLE), SYNC)
        client.read_until_ready()

        def begun_on_a_replica():
            client.notices.clear()
            if way == "prepared":
                client.send(bind("", "begins"), execute(), SYNC)
                client.read_until_ready()
            else:
                more = "; SET LOCAL work_mem = '5MB'" if way == "text with more" else ""
                client.query(REPEATABLE + more)
            if "replica" in client.notices[0]["M"] or way == "text with more":
                return True
            client.query("ROLLBACK")
            return False

        wait_until(begun_on_a_replica, "it begins on a replica", 10 * SLOW)
        with cluster.paused(1, 2):
            cluster.sql(0, f"INSERT INTO {table} VALUES (1)")
            if way == "more behind it":
                client.query("SET LOCAL work_mem = '5MB'")
            comment = f"/* {'x' * 1_200_000} */" if way == "large" else ""
            assert client.value(f"SELECT count(*) FROM {table} {comment}") == "1"
            client.query("COMMIT")


@pytest.mark.parametrize("end", ["COMMIT AND CHAIN", "ROLLBACK AND CHAIN", "prepared"])
@pytest.mark.parametrize("before", ["nothing", "another one", "more in its text"])
def test_strong_ones_that_another_one_begins(weir, cluster, table, end, before):
    """AND CHAIN begins one with a snapshot of its own, of the same kind."""
    with weir.connect(**{"weir.consistency": "strong"}) as client:
        client.send(parse("ends", "COMMIT AND CHAIN"), SYNC)
        client.read_until_ready()

        def on_a_replica():
            client.query(REPEATABLE + ("; SELECT 1" if before == "more in its text" else ""))
            if cluster.number_of(client.value(PORT)) != 0:
                return True
            client.query("ROLLBACK")
            return False

        def chain():
            if end == "prepared":
                client.send(bind("", "ends"), execute(), SYNC)
                client.read_until_ready()
            else:
                client.query(end)

        wait_until(on_a_replica, "a replica is proven fresh", 10 * SLOW)
        if before == "another one":
            chain()
        chain()
        with cluster.paused(1, 2):
            cluster.sql(0, f"INSERT INTO {table} VALUES (1)")
            assert client.value(f"SELECT count(*) FROM {table}") == "1"
            assert client.value("SHOW transaction_isolation") == "repeatable read"
            cluster.sql(0, f"INSERT INTO {table} VALUES (2)")
            assert client.value(f"SELECT count(*) FROM {table}") == "1"
            with pytest.raises(wire.ServerError) as failed:
                client.query(f"INSERT INTO {table} VALUES (3)")
            assert failed.value.code == "25006"
        client.query("ROLLBACK")


def test_what_and_chain_begins_moves_as_any_other(cluster, client, names):
    """By its own first statement; with what SET TRANSACTION has said of the one before."""
    client.query("BEGIN READ ONLY")
    assert cluster.number_of(client.value(PORT)) != 0
    client.query("COMMIT AND CHAIN")
    assert client.value("SELECT id FROM {unlogged}".format(**names)) == "7"
    assert client.value("SHOW transaction_read_only") == "on"
    client.query("COMMIT")
    client.query("BEGIN READ ONLY")
    client.query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    assert cluster.number_of(client.value(PORT)) != 0
    client.query("COMMIT AND CHAIN")
    assert client.value("SELECT id FROM {unlogged}".format(**names)) == "7"
    assert client.value("SHOW transaction_isolation") == "repeatable read"
    client.query("ROLLBACK")


def test_strong_ones_with_a_snapshot_are_on_replicas(weir, cluster):
    with weir.connect(**{"weir.consistency": "strong"}) as client:
        def on_a_replica():
            client.query(REPEATABLE)
            host = cluster.number_of(client.value(PORT))
            client.query("COMMIT")
            return host != 0
        wait_until(on_a_replica, "a replica is proven fresh", 10 * SLOW)


# --- defaults that ALTER ROLE has set -------------------------------------------------------------


@pytest.fixture
def altered(start_weir, cluster):
    """Gives the user a default, through a proxy of its own."""
    proxy = start_weir()
    reset = []

    def alter(setting, value):
        reset.append(setting)
        with proxy.connect() as client:
            client.query(f"ALTER ROLE app IN DATABASE app SET {setting} = '{value}'")
        cluster.wait_replayed()
        return proxy

    yield alter
    for setting in reset:
        cluster.sql(0, f"ALTER ROLE app IN DATABASE app RESET {setting}")
    cluster.wait_replayed()


def retries(weir):
    return sum(int(row["retries"]) for row in weir.show("ROUTE_TOTALS"))


def test_serializable_by_default(altered, cluster):
    """A standby refuses all of it: that is learned once by each worker, for each change of defaults
    that is noted."""
    weir = altered("default_transaction_isolation", "serializable")
    clients = [weir.connect(**EVENTUAL) for _ in range(4)]
    for client in clients:
        for _ in range(10):
            assert cluster.number_of(client.value(PORT)) == 0
            client.query("BEGIN READ ONLY")
            assert client.value("SHOW transaction_isolation") == "serializable"
            assert cluster.number_of(client.value(PORT)) == 0
            client.query("COMMIT")
    assert 1 <= retries(weir) <= 8, "of 120 reads"
    # What says otherwise goes to replicas.
    clients[0].query(REPEATABLE)
    assert cluster.number_of(clients[0].value(PORT)) != 0
    clients[0].query("COMMIT")
    clients[1].query("SET default_transaction_isolation = 'read committed'")
    wait_until(lambda: cluster.number_of(clients[1].value(PORT)) != 0, "it reads on replicas")
    for client in clients:
        client.terminate()


def test_read_only_by_default(altered, cluster, table):
    weir = altered("default_transaction_read_only", "on")
    with weir.connect() as client:
        client.query("BEGIN")
        assert cluster.number_of(client.value(PORT)) != 0
        client.query("COMMIT")
        with pytest.raises(wire.ServerError) as failed:
            client.query(f"INSERT INTO {table} VALUES (1)")
        assert failed.value.code == "25006"
        client.query(f"BEGIN READ WRITE; INSERT INTO {table} VALUES (1); COMMIT")
        assert client.value(f"SELECT count(*) FROM {table}") == "1"
