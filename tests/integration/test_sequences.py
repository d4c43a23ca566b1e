"""currval and lastval: what sequences gave to this session, and never what they gave to another."""
import contextlib

import pytest

from support import SLOW, wire
from support.cluster import fresh_name, wait_until
from support.wire import SYNC, bind, execute, parse


@pytest.fixture
def pair(start_weir):
    """Two sessions with few server connections, which they must share."""
    weir = start_weir({"pool": {"size": 3}})
    with weir.connect() as one, weir.connect() as two:
        yield weir, one, two


def asks_in_vain(client, statement):
    with pytest.raises(wire.ServerError) as failed:
        client.query(statement)
    assert failed.value.code == "55000"
    if client.status == "E":
        client.query("ROLLBACK")


def test_sequence_state(pair, cluster, table):
    weir, one, two = pair
    cluster.sql(0, f"CREATE SEQUENCE {table}_seq; GRANT ALL ON {table}_seq TO app")
    one.query(f"SELECT nextval('{table}_seq')")
    for _ in range(3):
        two.query(f"SELECT nextval('{table}_seq')")
    assert one.value(f"SELECT currval('{table}_seq')") == "1"
    assert one.value("SELECT lastval()") == "1"
    cluster.sql(0, f"DROP SEQUENCE {table}_seq")


def test_serial_column_and_lastval(pair, cluster, table):
    """What older ORMs do after an INSERT: ask for lastval() in the next statement."""
    _, one, two = pair
    cluster.sql(0, f"CREATE TABLE {table}_s (id serial, v text); "
                   f"GRANT ALL ON {table}_s, {table}_s_id_seq TO app")
    for n in range(5):
        one.query(f"INSERT INTO {table}_s (v) VALUES ('one')")
        two.query(f"INSERT INTO {table}_s (v) VALUES ('two')")
        mine, his = one.value("SELECT lastval()"), two.value("SELECT lastval()")
        assert (mine, his) == (str(2 * n + 1), str(2 * n + 2))
    cluster.sql(0, f"DROP TABLE {table}_s")


def test_another_sessions_sequence_value_is_never_told(start_weir, cluster, table):
    """Where there are fewer connections than sessions that write, one's value may be gone: an
    error, as of a session that had none. From then on those who write keep their connection."""
    cluster.sql(0, f"CREATE SEQUENCE {table}_s; GRANT ALL ON {table}_s TO app")
    weir = start_weir({"pool": {"size": 2}}, workers=1)
    with weir.connect() as one, weir.connect() as two:
        with weir.connect() as three:
            for n, client in enumerate((one, two, three)):
                assert client.value(f"SELECT nextval('{table}_s')") == str(n + 1)
            for ask in ("SELECT lastval()", f"SELECT currval('{table}_s')"):
                asks_in_vain(one, ask)
            three.terminate()
        one.query("BEGIN")
        asks_in_vain(one, "SELECT lastval()")
        assert two.value(f"SELECT nextval('{table}_s')") == "4"
        assert one.value(f"SELECT nextval('{table}_s')") == "5"
        assert two.value("SELECT lastval()") == "4"
        assert one.value(f"SELECT currval('{table}_s')") == "5"
        assert {row["reason"] for row in weir.show("PINS")} == {"sequence state"}
        one.query("DISCARD SEQUENCES")
        assert len(weir.show("PINS")) == 1
        asks_in_vain(one, "SELECT lastval()")


def test_one_question_is_known_in_all_workers(start_weir, cluster, table):
    cluster.sql(0, f"CREATE SEQUENCE {table}_s; GRANT ALL ON {table}_s TO PUBLIC")
    weir = start_weir(workers=2)
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(weir.connect()) for _ in range(4)]
        clients.append(stack.enter_context(weir.connect(user="md5")))
        workers = {row["worker"] for row in weir.show("MEMORY")
                   if row["type"] == "C" and row["database"] == "app"}
        assert len(workers) == 2
        clients[0].value(f"SELECT nextval('{table}_s')")
        assert not weir.show("PINS")
        assert clients[0].value("SELECT lastval()") == "1"
        for client in clients:
            client.value(f"SELECT nextval('{table}_s')")
        assert [row["reason"] for row in weir.show("PINS")] == ["sequence state"] * len(clients)


def test_where_sequences_are_asked_for_from_the_start(start_weir, cluster, table):
    """Then not even the first question is in vain, though the connections would not be enough."""
    cluster.sql(0, f"CREATE SEQUENCE {table}_s; GRANT ALL ON {table}_s TO app; "
                   f"ALTER TABLE {table} ALTER id SET DEFAULT nextval('{table}_s')")
    weir = start_weir({"pool": {"size": 2}, "databases": {"app": {"asks_sequences": True}}})
    with weir.connect() as one, weir.connect() as two, weir.connect() as three:
        one.query(f"INSERT INTO {table} (v) VALUES ('one')")
        two.query(f"INSERT INTO {table} (v) VALUES ('two')")
        assert {row["reason"] for row in weir.show("PINS")} == {"sequence state"}
        three.send(wire.query(f"INSERT INTO {table} (v) VALUES ('three')"))
        assert one.value("SELECT lastval()") == "1"
        assert two.value(f"SELECT currval('{table}_s')") == "2"
        two.query("DISCARD SEQUENCES")
        assert three.rows() == []
        assert (three.value("SELECT lastval()"), one.value("SELECT lastval()")) == ("3", "1")


@pytest.mark.parametrize("asks", ["SELECT lastval()", "BEGIN; SELECT lastval()",
                                  "BEGIN SELECT", "after an UPDATE"])
def test_values_of_sessions_that_have_left_are_not_told(start_weir, cluster, table, asks):
    """What they left on the connection is not the next one's, which has asked no sequence."""
    cluster.sql(0, f"CREATE SEQUENCE {table}_s; GRANT ALL ON {table}_s TO app")
    weir = start_weir({"pool": {"size": 1}}, workers=1)
    with weir.connect() as client:
        client.query(f"SELECT nextval('{table}_s')")
        client.terminate()
    with weir.connect() as client:
        if asks == "BEGIN SELECT":
            client.query("BEGIN")
        elif asks == "after an UPDATE":
            client.query(f"UPDATE {table} SET v = ''")
        asks_in_vain(client, asks if asks.endswith("()") else "SELECT lastval()")


@pytest.fixture
def crowded(start_weir, cluster, table):
    """Two sessions with one connection; the other one was given something on it by a sequence."""
    cluster.sql(0, f"CREATE SEQUENCE {table}_s START 7; CREATE SEQUENCE {table}_t; "
                   f"GRANT ALL ON {table}_s, {table}_t TO app; "
                   f"ALTER TABLE {table} ALTER id SET DEFAULT nextval('{table}_t')")
    cluster.wait_replayed()
    weir = start_weir({"pool": {"size": 1}}, workers=1)
    with weir.connect() as other, weir.connect() as client:
        assert other.value(f"SELECT nextval('{table}_s')") == "7"
        yield client


@pytest.mark.parametrize("how", ["simple", "extended", "prepared"])
@pytest.mark.parametrize("begin", ["", "BEGIN", "BEGIN; SELECT 1", "BEGIN; UPDATE"])
def test_the_first_question_behind_a_write(crowded, table, how, begin):
    """Where there is no connection for it alone a session is told what it has just been given, and
    nothing of what was given to another one there, also when nobody has asked before."""
    insert = f"INSERT INTO {table} (v) VALUES ('one')"
    if how == "prepared":
        crowded.send(parse("i", insert), SYNC)
        crowded.read_until_ready()
    if begin:
        crowded.query(begin.replace("UPDATE", f"UPDATE {table} SET v = ''"))
    if how == "simple":
        crowded.query(insert)
    else:
        again = [parse("", insert)] if how == "extended" else []
        crowded.send(*again, bind("", "" if again else "i"), execute(), SYNC)
        assert [got.type for got in crowded.read_until_ready()][-2:] == ["C", "Z"]
    assert crowded.value("SELECT lastval()") == "1"
    if not begin:  # nor is what is the other's known by its name
        asks_in_vain(crowded, f"SELECT currval('{table}_s')")


@pytest.mark.parametrize("ask", ["SELECT lastval()", "SELECT currval('{}_s')"])
@pytest.mark.parametrize("write", ["UPDATE {0} SET v = ''", "SELECT nextval('{0}_t')"])
def test_the_first_question_in_a_transaction_that_writes(crowded, table, write, ask):
    ask = ask.format(table)
    crowded.query(f"BEGIN; {write.format(table)}")
    if "nextval" in write and "lastval" in ask:
        assert crowded.value(ask) == "1"
    else:
        asks_in_vain(crowded, ask)


@pytest.mark.parametrize("asks", ["simple", "extended"])
def test_the_first_question_in_the_midst_of_a_pipeline(crowded, table, asks):
    """In front of it nothing can be sent any more. So it fails there, too, as it must."""
    crowded.query("BEGIN; SELECT 1")
    ask = f"SELECT currval('{table}_s')"
    asked = [parse("", ask), bind("", ""), execute(), SYNC]
    if asks == "simple":
        asked = [wire.query(ask)]
    crowded.send(wire.query(f"UPDATE {table} SET v = ''"), wire.query("SELECT 2"), *asked)
    crowded.read_until_ready()
    crowded.read_until_ready()
    assert [got.fields()["C"] for got in crowded.read_until_ready() if got.type == "E"] == ["55000"]
    assert crowded.status == "E"


@pytest.fixture
def bare(cluster):
    """A database with nothing in it, whose statements are logged."""
    cluster.sql(0, "CREATE DATABASE bare OWNER app")
    cluster.sql(0, "ALTER DATABASE bare SET log_statement = 'all'")
    yield
    cluster.sql(0, "DROP DATABASE bare WITH (FORCE)")


@pytest.mark.usefixtures("bare")
def test_a_database_without_sequences_has_none_to_forget(start_weir, cluster):
    """Its sessions write on each other's connections at no further cost."""
    weir = start_weir({"pool": {"size": 1}, "databases": {"bare": {"cluster": "main"}}}, workers=1)
    with weir.connect(database="bare") as one, weir.connect(database="bare") as two:
        one.query("CREATE TABLE t (v int)")

        def discards():
            log = cluster.dir / "host0.log"
            before = log.read_text(errors="replace").count("DISCARD SEQUENCES")
            for client in (one, two, one):
                client.query("INSERT INTO t VALUES (1)")
            return log.read_text(errors="replace").count("DISCARD SEQUENCES") - before

        wait_until(lambda: discards() == 0, "the catalog is read", 10 * SLOW)
        one.query("CREATE SEQUENCE s")
        assert discards() >= 2
        one.query("DROP SEQUENCE s")
        wait_until(lambda: discards() == 0, "the catalog is read again", 10 * SLOW)


def test_sequence_values_outlive_a_pin(pair, cluster, table):
    """The connection is cleaned after the pin, but not of what its session may ask for."""
    weir, one, two = pair
    cluster.sql(0, f"CREATE TABLE {table}_s (id serial, v text); "
                   f"GRANT ALL ON {table}_s, {table}_s_id_seq TO app")
    one.query("SET work_mem = '3MB'; CREATE TEMP TABLE scratch (n int); "
              "SELECT pg_advisory_lock(9)")
    one.query(f"INSERT INTO {table}_s (v) VALUES ('one')")
    one.query("DROP TABLE scratch; SELECT pg_advisory_unlock(9)")
    wait_until(lambda: not weir.show("PINS"), "the pin has ended", 5 * SLOW)
    two.query(f"INSERT INTO {table}_s (v) VALUES ('two')")
    assert one.value("SELECT lastval()") == "1"
    assert one.value("SHOW work_mem") == "3MB"
    cluster.sql(0, f"DROP TABLE {table}_s")


def test_a_full_server_gives_its_kept_connections(start_weir, cluster, table):
    """Sessions that write get connections of their own only as long as the server takes more."""
    cluster.sql(0, f"CREATE SEQUENCE {table}_s; GRANT ALL ON {table}_s TO app")
    weir = start_weir({"pool": {"size": 5}}, workers=1)
    with weir.connect() as one, weir.connect() as two:
        assert one.value(f"SELECT nextval('{table}_s')") == "1"
        cluster.sql(0, "ALTER ROLE app CONNECTION LIMIT 0")
        try:
            assert two.value(f"SELECT nextval('{table}_s')") == "2"
        finally:
            cluster.sql(0, "ALTER ROLE app CONNECTION LIMIT -1")
        asks_in_vain(one, "SELECT lastval()")


def test_currval_waits_for_its_connection(start_weir, cluster):
    """Where the session wrote somebody reads just now."""
    name = fresh_name("s")
    cluster.sql(0, f"CREATE SEQUENCE {name}; GRANT ALL ON {name} TO app")
    weir = start_weir({"pool": {"size": 4}}, workers=1)
    with weir.connect() as writer, weir.connect() as reader:
        writer.query("/* weir: primary */ SELECT 1")
        assert writer.value(f"SELECT nextval('{name}')") == "1"
        reader.send(wire.query("/* weir: primary */ SELECT pg_sleep(0.5)"))
        wait_until(lambda: ["active"] == [row["state"] for row in weir.show("SERVERS")
                                          if row["port"] == str(cluster.ports[0])],
                   "it reads there")
        assert writer.value(f"SELECT currval('{name}')") == "1"
        reader.read_until_ready()
