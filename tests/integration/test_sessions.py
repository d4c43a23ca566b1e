"""Session state that cannot move pins the session; nothing of it reaches another client."""
import time

import pytest

from support import BACKEND, SLOW, wire
from support.cluster import wait_until
from support.wire import SYNC, bind, execute, parse


@pytest.fixture
def narrow(start_weir):
    """Few server connections, so that clients must share them."""
    return start_weir({"pool": {"size": 3}})


@pytest.fixture
def pair(narrow):
    with narrow.connect() as one, narrow.connect() as two:
        yield narrow, one, two


def pins(weir):
    return sorted(row["reason"] for row in weir.show("PINS"))


def unpinned(weir):
    wait_until(lambda: not pins(weir), "no session is pinned", 5 * SLOW)


def test_temporary_table(pair):
    weir, one, two = pair
    one.query("CREATE TEMP TABLE scratch (n int)")
    for n in range(5):
        one.query(f"INSERT INTO scratch VALUES ({n})")
        two.query("/* weir: primary */ SELECT 1")
        with pytest.raises(wire.ServerError) as failed:
            two.query("/* weir: primary */ SELECT * FROM scratch")
        assert failed.value.code == "42P01"
        assert one.value("SELECT count(*) FROM scratch") == str(n + 1)
    assert any("temp" in reason for reason in pins(weir))
    one.query("DISCARD ALL")
    unpinned(weir)
    with pytest.raises(wire.ServerError):
        one.query("SELECT * FROM scratch")


def test_temporary_tables_end_with_their_session(narrow):
    for _ in range(10):
        with narrow.connect() as client:
            client.query("CREATE TEMP TABLE same_name (n int); INSERT INTO same_name VALUES (1)")
            assert client.value("SELECT count(*) FROM same_name") == "1"
            client.terminate()


def test_temporary_table_of_a_transaction_needs_no_pin(pair):
    weir, one, _ = pair
    one.query("BEGIN; CREATE TEMP TABLE brief (n int) ON COMMIT DROP; INSERT INTO brief VALUES (1)")
    assert one.value("SELECT count(*) FROM brief") == "1"
    one.query("ROLLBACK")
    unpinned(weir)


@pytest.mark.parametrize("taken, given_back", [
    ("CREATE TEMP TABLE gone (n int)", ["DROP TABLE gone"]),
    ("CREATE TEMP TABLE one (n int); CREATE TEMP TABLE two (n int)", ["DROP TABLE one, two"]),
    ("SELECT pg_advisory_lock(5), pg_advisory_lock(6)",
     ["SELECT pg_advisory_unlock(5)", "SELECT pg_advisory_unlock(6)"]),
    ("SELECT pg_advisory_lock(7)", ["SELECT pg_advisory_unlock_all()"]),
    ("BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT", ["CLOSE c"]),
    ("BEGIN; LISTEN news; COMMIT", ["UNLISTEN news"]),
    ("PREPARE p AS SELECT 1", ["DEALLOCATE p"]),
])
def test_a_pin_ends_with_what_it_is_for(pair, taken, given_back):
    weir, one, _ = pair
    one.query(taken)
    for statement in given_back:
        assert pins(weir)
        one.query(statement)
    unpinned(weir)


def test_a_pin_stays_for_what_is_left(pair):
    weir, one, _ = pair
    one.query("CREATE TEMP TABLE one (n int); CREATE TEMP TABLE two (n int)")
    one.query("DROP TABLE one")
    assert one.value("SELECT count(*) FROM two") == "0"
    assert len(pins(weir)) == 1


def test_session_advisory_lock(pair):
    weir, one, two = pair
    one.query("SELECT pg_advisory_lock(77)")
    for _ in range(5):
        assert one.value("SELECT 1") == "1"
        assert two.value("SELECT pg_try_advisory_lock(77)") == "f"
    assert any("advisory" in reason for reason in pins(weir))
    assert one.value("SELECT pg_advisory_unlock(77)") == "t"
    wait_until(lambda: two.value("SELECT pg_try_advisory_lock(77)") == "t", "the lock is free",
               5 * SLOW)
    two.query("SELECT pg_advisory_unlock_all()")


def test_advisory_lock_ends_with_its_session(narrow):
    for _ in range(5):
        client = narrow.connect()
        assert client.value("SELECT pg_try_advisory_lock(88)") == "t"
        client.drop()
        with narrow.connect() as other:
            wait_until(lambda: other.value("SELECT pg_try_advisory_lock(88)") == "t",
                       "the lock is free", 5 * SLOW)
            other.query("SELECT pg_advisory_unlock(88)")
            other.terminate()


def test_cursor_with_hold(pair):
    weir, one, two = pair
    one.query("BEGIN; DECLARE held CURSOR WITH HOLD FOR SELECT generate_series(1, 100)")
    one.query("COMMIT")
    for n in range(5):
        assert one.query("FETCH 1 FROM held") == [[str(n + 1)]]
        two.query("/* weir: primary */ SELECT 1")
        with pytest.raises(wire.ServerError) as failed:
            two.query("FETCH 1 FROM held")
        assert failed.value.code == "34000"
    assert any("cursor" in reason for reason in pins(weir))
    one.query("CLOSE held")
    one.query("CLOSE ALL")
    unpinned(weir)


def test_listen_and_notify(pair):
    _, one, two = pair
    one.query("LISTEN news")
    two.query("NOTIFY news, 'hello'")
    deadline = time.monotonic() + 10
    while not one.notifications and time.monotonic() < deadline:
        one.query("SELECT 1")
        time.sleep(0.01)
    assert one.notifications == [[b"news", b"hello"]]
    one.query("NOTIFY news, 'myself'")
    assert one.notifications[1:] == [[b"news", b"myself"]]
    assert one.notifiers[0] != one.pid and one.notifiers[1] == one.pid  # some ignore their own
    one.query("UNLISTEN *")
    two.query("NOTIFY news, 'unheard'")
    one.query("SELECT 1")
    assert len(one.notifications) == 2


def test_notification_comes_without_asking(pair):
    """A listener that only waits, as job queues do."""
    _, one, two = pair
    one.query("LISTEN news")
    two.query("BEGIN; NOTIFY news, 'now'; COMMIT")
    got = one.read()
    assert got.type == "A" and got.body[4:] == b"news\0now\0"


def test_random_seed(pair):
    _, one, two = pair
    one.query("SELECT setseed(0.5)")
    two.query("SELECT random(), random()")
    first = one.value("SELECT random()")
    with wire.connect(two.socket.getpeername()[0], two.socket.getpeername()[1], "app", "app",
                      "app") as third:
        third.query("SELECT setseed(0.5)")
        assert third.value("SELECT random()") == first


def test_setting_hidden_in_a_function(pair, cluster, table):
    """set_config in a body is invisible in the text; it must still not reach another client."""
    _, one, two = pair
    cluster.sql(0, f"CREATE FUNCTION {table}_set() RETURNS void LANGUAGE plpgsql AS "
                   "$$ BEGIN PERFORM set_config('work_mem', '33MB', false); END $$")
    cluster.wait_replayed()
    one.query(f"SELECT {table}_set()")
    assert one.value("/* weir: primary */ SELECT current_setting('work_mem')") == "33MB"
    for _ in range(5):
        assert two.value("/* weir: primary */ SELECT current_setting('work_mem')") == "4MB"
    one.query("DO $$ BEGIN PERFORM set_config('application_name', 'hidden', false); END $$")
    for _ in range(5):
        got = two.value("/* weir: primary */ SELECT current_setting('application_name')")
        assert got == ""
    cluster.sql(0, f"DROP FUNCTION {table}_set()")


def test_pinned_sessions_show_where_and_why(pair):
    weir, one, _ = pair
    one.query("SET application_name TO 'the pinned one'")
    one.query("CREATE TEMP TABLE scratch (n int)")
    rows = [row for row in weir.show("PINS") if row["application_name"] == "the pinned one"]
    assert len(rows) == 1
    assert rows[0]["user"] == "app" and rows[0]["database"] == "app"
    assert rows[0]["reason"] and rows[0]["since"]


def test_sessions_that_leave_free_their_connections(start_weir):
    """More pinned sessions than connections, one after the other: none is lost."""
    weir = start_weir({"pool": {"size": 2}})
    for n in range(20):
        client = weir.connect()
        client.query("CREATE TEMP TABLE scratch (n int)")
        client.query("SELECT pg_advisory_lock(1)")
        client.drop() if n % 2 else client.terminate()
    with weir.connect() as client:
        assert client.value("/* weir: primary */ SELECT 1") == "1"


def test_discard_all_after_everything(pair):
    weir, one, two = pair
    one.query("SET work_mem TO '9MB'; CREATE TEMP TABLE scratch (n int); "
              "SELECT pg_advisory_lock(5); LISTEN x; PREPARE p AS SELECT 1")
    one.query("DISCARD ALL")
    unpinned(weir)
    assert one.value("/* weir: primary */ SELECT current_setting('work_mem')") == "4MB"
    assert two.value("SELECT pg_try_advisory_lock(5)") == "t"
    two.query("SELECT pg_advisory_unlock_all()")


def test_part_of_datestyle(target):
    """SET datestyle may name the style or the order: the other part stays what it was."""
    with target.connect(DateStyle="Postgres, MDY") as client:
        client.query("SET datestyle TO ISO")
        client.query("SET datestyle TO dmy")
        for _ in range(6):
            assert client.value("SELECT date '1999-01-08'") == "1999-01-08"
            assert client.value("SHOW datestyle") == "ISO, DMY"
        client.query("BEGIN; SET LOCAL datestyle TO German")
        assert client.value("SELECT date '1999-01-08'") == "08.01.1999"
        client.query("COMMIT")
        for _ in range(6):
            assert client.value("SHOW datestyle") == "ISO, DMY"


def test_a_library_is_not_loaded_for_others(start_weir):
    """LOAD runs on a connection of its own, which ends with the session that keeps it."""
    weir = start_weir({"users": {"postgres": {"password": "postgres"}}})
    loaded = "SELECT count(*) FROM pg_settings WHERE name LIKE 'auto_explain.%'"
    with weir.connect("postgres", database="postgres") as client, \
            weir.connect("postgres", database="postgres") as other:
        client.query("SELECT 1")
        client.query("SET auto_explain.nonsense = 1")
        client.query("LOAD 'auto_explain'")
        assert int(client.value(loaded)) > 0
        with pytest.raises(wire.ServerError) as failed:
            client.query("SHOW auto_explain.nonsense")
        assert failed.value.code == "42704"
        assert other.value(loaded) == "0"
        client.query("DISCARD ALL")
        for one in (client, other, client):
            assert one.value(loaded) == "0"


def test_the_backend_that_was_told_stays(target):
    """Whoever asked for its process id is found by it."""
    with target.connect() as client, target.connect() as other:
        pid = client.value("SELECT pg_backend_pid()")
        other.query("SELECT 1")
        assert {client.value("SELECT pg_backend_pid()") for _ in range(5)} == {pid}
        client.send(wire.query("SELECT pg_sleep(30)"))
        wait_until(lambda: other.value("SELECT count(*) FROM pg_stat_activity WHERE state = "
                                       f"'active' AND wait_event = 'PgSleep' AND pid = {pid}")
                   == "1", "the query is seen", 5 * SLOW)
        assert other.value(f"SELECT pg_cancel_backend({pid})") == "t"
        with pytest.raises(wire.ServerError) as failed:
            for got in client.read_until_ready():
                if got.type == "E":
                    raise wire.ServerError(got.fields())
        assert failed.value.code == "57014"


def test_who_counts_the_sessions_is_one_of_them(start_weir, cluster):
    """pg_stat_database: each client that looks finds one more, and looks again at no cost."""
    weir = start_weir({"pool": {"size": 2}}, workers=1)
    count = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
    seen = []
    for how in ("simple", "a function", "extended", "a block"):
        with weir.connect() as client:
            client.query("CREATE TEMP TABLE scratch (n int); DROP TABLE scratch")
            if how == "a block":
                client.query("BEGIN")
            if how == "extended":
                client.send(parse("", count), bind("", ""), execute(), SYNC)
                ((found,),) = client.rows()
            elif how == "a function":
                found = client.value("SELECT pg_stat_get_db_sessions(oid) FROM pg_database "
                                     "WHERE datname = current_database()")
            else:
                found = client.value(count)
            seen.append(int(found))
            assert client.value(count) == found
    assert seen == sorted(set(seen)), seen


@pytest.mark.parametrize("name, statement", [
    ("temporary_objects", "CREATE TEMP TABLE scratch (a int)"),
    ("advisory_locks", "SELECT pg_advisory_lock(1)"),
    ("hold_cursors", "DECLARE c CURSOR WITH HOLD FOR SELECT 1"),
    ("listen", "LISTEN c"),
    ("prepared_statements", "PREPARE p AS SELECT 1"),
    ("sequence_state", "SELECT lastval()"),
    ("random_seed", "SELECT setseed(0.5)"),
    ("libraries", "LOAD 'auto_explain'"),
    ("backend_pid", "SELECT pg_backend_pid()"),
])
def test_pins_that_are_forbidden(start_weir, name, statement):
    weir = start_weir({"pinning": {name: False}})
    with weir.connect() as client:
        with pytest.raises(wire.ServerError) as failed:
            client.query(statement)
        assert failed.value.code == "0A000" and "pinning" in failed.value.fields["H"]
        client.send(parse("", statement), bind("", ""), execute(), SYNC)
        assert [got.fields()["C"] for got in client.read_until_ready() if got.type == "E"] \
            == ["0A000"]
        client.query("BEGIN; CREATE TEMP TABLE scratch (a int) ON COMMIT DROP")
        client.query("SELECT pg_advisory_xact_lock(1)")
        client.query("COMMIT")
        assert not weir.show("PINS")


def test_two_phase_commit(target, table):
    """What one session prepares another one ends; settings of the transaction stay."""
    gid = f"of {table}"
    with target.connect() as one, target.connect() as two:
        one.query(f"BEGIN; INSERT INTO {table} VALUES (1); SET work_mem = '11MB'")
        one.query(f"PREPARE TRANSACTION '{gid}'")
        assert one.status == "I"
        assert one.value("SHOW work_mem") == "11MB"
        assert two.value(f"SELECT count(*) FROM pg_prepared_xacts WHERE gid = '{gid}'") == "1"
        assert two.value(f"SELECT count(*) FROM {table}") == "0"
        two.query(f"COMMIT PREPARED '{gid}'")
        assert two.value(f"SELECT count(*) FROM {table}") == "1"


def test_session_mode_keeps_its_connection(start_weir):
    weir = start_weir({"pool_mode": "session"})
    with weir.connect() as client:
        pids = {client.value(BACKEND) for _ in range(10)}
        assert len(pids) == 1
        client.send(parse("s", "SELECT 5"), bind("", "s"), execute(), SYNC)
        assert client.rows() == [["5"]]
        client.query("CREATE TEMP TABLE scratch (n int)")
        assert client.value("SELECT count(*) FROM scratch") == "0"
    with weir.connect() as client:
        with pytest.raises(wire.ServerError):
            client.query("/* weir: primary */ SELECT * FROM scratch")


def test_statement_mode_refuses_transactions(start_weir):
    weir = start_weir({"pool_mode": "statement"})
    for begin in ("BEGIN", "START TRANSACTION READ ONLY", "SELECT 1; BEGIN"):
        with weir.connect() as client:
            assert client.value("SELECT 1") == "1"
            client.send(wire.query(begin))
            (error,) = [got.fields() for got in client.expect_closed() if got.type == "E"]
            assert (error["S"], error["C"]) == ("FATAL", "08P01")
            assert "statement pooling mode" in error["M"]


def test_statement_mode_runs_statements(start_weir, table):
    """Each commits by itself, and hands its connection to the next."""
    weir = start_weir({"pool_mode": "statement", "pool": {"size": 1},
                       "routing": {"split_reads": False}}, workers=1)
    with weir.connect() as one, weir.connect() as two:
        one.query("SET work_mem TO '9MB'")
        one.query(f"INSERT INTO {table} VALUES (1, 'a'); INSERT INTO {table} VALUES (2, 'b')")
        assert two.value(f"SELECT count(*) FROM {table}") == "2"
        two.extended(f"UPDATE {table} SET v = $1 WHERE id = 1", ["c"])
        assert one.extended(f"SELECT v FROM {table} WHERE id = $1", ["1"]) == [["c"]]
        with pytest.raises(wire.ServerError) as failed:
            one.query(f"INSERT INTO {table} VALUES (3, 'x'); SELECT 1/0")
        assert failed.value.code == "22012"
        assert two.value(f"SELECT count(*) FROM {table}") == "2"
        assert one.value("SELECT current_setting('work_mem')") == "9MB"
        assert two.value("SELECT current_setting('work_mem')") == "4MB"
        assert one.value(BACKEND) == two.value(BACKEND)


def test_naming_an_empty_temporary_schema_first(start_weir):
    """It creates the schema, and such a transaction cannot be prepared; that a connection has one
    from another session must not show."""
    weir = start_weir({"pool": {"size": 1}})
    with weir.connect() as other:
        other.query("CREATE TEMP TABLE t(); DROP TABLE t")
    for path in ("pg_temp", "'pg_temp', public", "\"pg_temp\""):
        with weir.connect() as client:
            client.query(f"SET search_path TO {path}")
            client.query("BEGIN")
            assert client.value("SELECT current_schema() ~ 'pg_temp'") == "t"
            with pytest.raises(wire.ServerError) as failed:
                client.query("PREPARE TRANSACTION 'temp_schema'")
            assert failed.value.code == "0A000"
            client.query("ROLLBACK")
            assert client.value("SHOW search_path").replace("'", "").startswith(("pg_temp", '"pg'))
