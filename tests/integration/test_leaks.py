"""What a session leaves on its server connection is gone before the next one gets it."""
import pytest

from support import SLOW, wire
from support.cluster import wait_until
from support.wire import SYNC, bind, execute, parse

MESS = {
    "settings": "SET work_mem TO '3MB'; SET search_path TO nowhere; SET timezone TO 'Asia/Tokyo'",
    "a setting in a function": "DO $$ BEGIN PERFORM set_config('work_mem', '3MB', false); END $$",
    "a custom setting": "SET app.tenant TO 'acme'",
    "a custom setting in a function":
        "DO $$ BEGIN PERFORM set_config('app.tenant', 'acme', false); END $$",
    "role": "SET ROLE pg_monitor",
    "temporary table": "CREATE TEMP TABLE scratch (a int)",
    "temporary function": "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "advisory lock": "SELECT pg_advisory_lock(4711)",
    "a lock in a function": "DO $$ BEGIN PERFORM pg_advisory_lock(4711); END $$",
    "cursor": "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT",
    "prepared statement": "PREPARE p AS SELECT 1",
    "channel": "LISTEN leaks",
    "random seed": "SELECT setseed(0.25)",
    "a transaction": "BEGIN; SET LOCAL work_mem TO '3MB'; SELECT pg_advisory_xact_lock(4711)",
    "a failed transaction": "BEGIN; SELECT 1/0",
    "read only": "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
}
TRACES = """
SELECT (SELECT count(*) FROM pg_settings WHERE source = 'session'
          AND name NOT LIKE 'transaction%'),
       (SELECT count(*) FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass
          AND refobjid = pg_my_temp_schema()),
       (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
       (SELECT count(*) FROM pg_cursors WHERE name <> ''),
       (SELECT count(*) FROM pg_prepared_statements WHERE from_sql),
       (SELECT count(*) FROM pg_listening_channels()),
       (SELECT count(*) WHERE current_user <> 'app' OR session_user <> 'app'),
       (SELECT count(*) WHERE current_setting('app.tenant', true) <> ''),
       (SELECT count(*) WHERE random() = {seeded})
"""


@pytest.fixture(scope="session")
def traces(cluster):
    with cluster.connect(0) as direct:
        direct.query("SELECT setseed(0.25)")
        seeded = direct.value("SELECT random()")
    return TRACES.format(seeded=seeded)


@pytest.mark.parametrize("leaving", ["politely", "without a word", "in the middle"])
@pytest.mark.parametrize("mess", MESS)
def test_no_trace(start_weir, cluster, traces, mess, leaving):
    weir = start_weir({"pool": {"size": 1}}, workers=1)
    client = weir.connect()
    client.send(parse("named", "/* weir: primary */ SELECT 1"), bind("", "named"), execute(), SYNC)
    assert client.rows() == [["1"]]
    client.send(wire.query(MESS[mess]))
    client.read_until_ready()
    if leaving == "in the middle":
        client.send(wire.query("/* weir: primary */ SELECT pg_sleep(60)"))
    if leaving == "politely":
        client.terminate()
    else:
        client.drop()
    with weir.connect() as following:
        following.socket.settimeout(20 * SLOW)
        assert following.query(traces) == [["0"] * 9]
        assert following.value("SHOW transaction_read_only") == "off"
        with pytest.raises(wire.ServerError) as failed:
            following.send(bind("", "named"), execute(), SYNC)
            following.rows()
        assert failed.value.code == "26000"
    wait_until(lambda: cluster.value(0, "SELECT count(*) FROM pg_locks WHERE "
                                        "locktype = 'advisory'") == "0", "no lock is left")


def test_a_pin_that_ends_leaves_nothing(start_weir, traces):
    """The same when the session stays and only its pin ends."""
    weir = start_weir({"pool": {"size": 1}}, workers=1)
    with weir.connect() as one, weir.connect() as two:
        one.query("SET work_mem TO '3MB'")
        one.query("CREATE TEMP TABLE scratch (a int)")
        one.query("SELECT pg_advisory_lock(4711)")
        one.query("DROP TABLE scratch")
        wait_until(lambda: {row["reason"] for row in weir.show("PINS")} == {"advisory lock"},
                   "the first pin has ended")
        one.query("SELECT pg_advisory_unlock(4711)")
        wait_until(lambda: not weir.show("PINS"), "so has the other")
        assert two.query(traces) == [["0"] * 9]
        assert one.value("/* weir: primary */ SELECT current_setting('work_mem')") == "3MB"
