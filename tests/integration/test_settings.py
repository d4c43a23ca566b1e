"""SET, RESET and startup parameters: they follow the client, and only the client."""
import time

import pytest

from support import SLOW, wire
from support.cluster import fresh_name, wait_catalog, wait_until
from support.wire import SYNC, bind, execute, parse


def show(client, name, primary=True):
    """A setting as a statement sees it on the server (not as the proxy believes it to be)."""
    where = "primary" if primary else "replica"
    return client.value(f"/* weir: {where} */ SELECT current_setting('{name}')")


def test_set_follows_the_client(target):
    with target.connect() as one, target.connect() as two:
        one.query("SET search_path TO one, public")
        two.query("SET search_path TO two")
        for _ in range(5):
            assert show(one, "search_path") == "one, public"
            assert show(two, "search_path") == "two"


def test_settings_hold_on_replicas(target):
    with target.connect() as client:
        client.query("SET TimeZone TO 'Asia/Tokyo'")
        for _ in range(10):
            assert show(client, "TimeZone", primary=False) == "Asia/Tokyo"
            assert client.value("SELECT current_setting('TimeZone')") == "Asia/Tokyo"


def test_nothing_leaks_to_the_next_client(target):
    for n in range(10):
        with target.connect() as client:
            assert show(client, "work_mem") == "4MB"
            assert show(client, "application_name") == ""
            client.query(f"SET work_mem TO '{n + 5}MB'; SET application_name TO 'app{n}'")
            assert show(client, "work_mem") == f"{n + 5}MB"


@pytest.mark.parametrize("reset", ["RESET work_mem", "SET work_mem TO DEFAULT", "RESET ALL",
                                   "DISCARD ALL"])
def test_reset(target, reset):
    with target.connect() as client:
        client.query("SET work_mem TO '9MB'")
        assert show(client, "work_mem") == "9MB"
        client.query(reset)
        assert show(client, "work_mem") == "4MB"


def test_reset_returns_to_the_startup_value(target):
    with target.connect(options="-c work_mem=7MB") as client:
        assert show(client, "work_mem") == "7MB"
        client.query("SET work_mem TO '9MB'")
        client.query("RESET ALL")
        assert show(client, "work_mem") == "7MB"


@pytest.mark.parametrize("reset", ["RESET work_mem", "RESET ALL",
                                   "DO $$ BEGIN RESET work_mem; END $$",
                                   "DO $$ BEGIN SET work_mem TO DEFAULT; END $$",
                                   "DO $$ BEGIN RESET ALL; END $$",
                                   "SELECT set_config('work_mem', NULL, false)"])
@pytest.mark.parametrize("pinned", ["", "CREATE TEMP TABLE pinning ()"])
def test_reset_in_a_function_returns_to_the_startup_value(target, reset, pinned):
    with target.connect(options="-c work_mem=7MB") as client, target.connect() as other:
        client.query(pinned)
        for _ in range(2):
            client.query("SET work_mem TO '9MB'")
            assert show(client, "work_mem") == "9MB"
            client.query(reset)
            for _ in range(2):
                assert show(client, "work_mem") == "7MB"
                assert show(other, "work_mem") == "4MB"
        client.query("DO $$ BEGIN SET work_mem TO '4MB'; END $$")  # what the server has, too
        assert [show(client, "work_mem") for _ in range(2)] == ["4MB"] * 2


@pytest.mark.parametrize("how", ["simple", "extended"])
@pytest.mark.parametrize("reset", ["RESET work_mem", "RESET ALL", "SET work_mem TO DEFAULT",
                                   "SET LOCAL work_mem TO DEFAULT"])
def test_reset_in_a_block_returns_to_the_startup_value(target, reset, how):
    """At once; and what is rolled back is as if it had not been."""
    with target.connect(options="-c work_mem=7MB", TimeZone="Europe/Paris") as client:
        def run(statement):
            extended = parse("", statement) + bind("", "") + execute() + SYNC
            client.send(wire.query(statement) if how == "simple" else extended)
            return client.rows()

        client.query("SET work_mem TO '9MB'")
        client.query("BEGIN; SAVEPOINT a")
        run(reset)
        assert run("SHOW work_mem") + run("SHOW TimeZone") == [["7MB"], ["Europe/Paris"]]
        run("ROLLBACK TO a")
        assert run("SHOW work_mem") == [["9MB"]]
        run(reset)
        client.query("RESET TimeZone; SET work_mem TO '11MB'" if "ALL" in reset else "SELECT 1")
        run("COMMIT")
        kept = "11MB" if "ALL" in reset else "9MB" if "LOCAL" in reset else "7MB"
        assert show(client, "work_mem") == kept
        assert show(client, "TimeZone") == "Europe/Paris"


def test_set_local_ends_with_its_transaction(target):
    with target.connect() as client:
        client.query("BEGIN; SET LOCAL work_mem TO '8MB'")
        assert client.value("SELECT current_setting('work_mem')") == "8MB"
        client.query("COMMIT")
        assert show(client, "work_mem") == "4MB"


def test_rollback_undoes_set(target):
    with target.connect() as client:
        client.query("SET work_mem TO '5MB'")
        client.query("BEGIN")
        client.query("SET work_mem TO '6MB'")
        assert client.value("SELECT current_setting('work_mem')") == "6MB"
        client.query("ROLLBACK")
        assert show(client, "work_mem") == "5MB"
        client.query("BEGIN; SET work_mem TO '7MB'")
        client.query("COMMIT")
        assert show(client, "work_mem") == "7MB"


def test_savepoint_undoes_set(target):
    with target.connect() as client:
        client.query("BEGIN; SET work_mem TO '5MB'")
        client.query("SAVEPOINT s")
        client.query("SET work_mem TO '6MB'")
        client.query("ROLLBACK TO SAVEPOINT s")
        client.query("COMMIT")
        assert show(client, "work_mem") == "5MB"


def test_set_in_a_failed_query_of_several_statements(target):
    """One implicit transaction: the SET goes with the rest."""
    with target.connect() as client:
        with pytest.raises(wire.ServerError):
            client.query("SET work_mem TO '6MB'; SELECT 1/0")
        assert show(client, "work_mem") == "4MB"


def test_failed_set_changes_nothing(target):
    with target.connect() as client:
        client.query("SET work_mem TO '6MB'")
        with pytest.raises(wire.ServerError) as failed:
            client.query("SET work_mem TO 'lots'")
        assert failed.value.code == "22023"
        assert show(client, "work_mem") == "6MB"


def test_set_config(target):
    with target.connect() as client:
        assert client.value("SELECT set_config('work_mem', '6MB', false)") == "6MB"
        assert show(client, "work_mem") == "6MB"
        client.query("BEGIN")
        client.query("SELECT set_config('work_mem', '7MB', true)")
        client.query("COMMIT")
        assert show(client, "work_mem") == "6MB"


def test_set_config_by_parameters(target):
    """What a text alone does not say: the value comes in a Bind."""
    with target.connect() as client, target.connect() as other:
        client.extended("SELECT set_config($1, $2, false)", ["work_mem", "6MB"])
        for _ in range(5):
            assert show(client, "work_mem") == "6MB"
            assert show(other, "work_mem") == "4MB"


def test_set_through_the_extended_protocol(target):
    with target.connect() as client, target.connect() as other:
        client.extended("SET work_mem TO '6MB'")
        for _ in range(5):
            assert show(client, "work_mem") == "6MB"
            assert show(other, "work_mem") == "4MB"


@pytest.mark.parametrize("leave", [
    "SET {0} TO 'x'; RESET {0}", "RESET {0}", "SET {0} TO DEFAULT", "SET {0} TO 'x'; RESET ALL",
    "BEGIN; SET {0} TO 'x'; ROLLBACK", "BEGIN; SET LOCAL {0} TO 'x'; COMMIT",
    "BEGIN; SAVEPOINT s; SET {0} TO 'x'; ROLLBACK TO s; COMMIT",
    "SELECT set_config('{0}', 'x', true)"])
def test_a_custom_setting_that_was_named_is_there_from_then_on(target, leave):
    """Empty, not NULL: for the session, wherever its next statement runs."""
    name = fresh_name("named.by_one_session")
    with target.connect() as client, target.connect() as other:
        client.query(leave.format(name))
        for where in ("replica", "primary", "replica"):
            assert client.query(f"/* weir: {where} */ SELECT current_setting('{name}', true), "
                                f"'{where}'") == [["", where]]
            # Servers of the one are the other's.
            other.query(f"/* weir: {where} */ BEGIN; SELECT 1; COMMIT")
        assert client.value(f"SHOW {name}") == ""


def test_custom_settings(target):
    with target.connect() as client, target.connect() as other:
        client.query("SET myapp.user_id TO '42'")
        for _ in range(5):
            assert show(client, "myapp.user_id") == "42"
            got = other.value("/* weir: primary */ SELECT current_setting('myapp.user_id', true)")
            assert got in (None, "")


def test_quoting(target):
    odd = "a'b\\c\"d"
    with target.connect() as client:
        client.query("SET application_name TO 'a''b\\c\"d'")
        assert show(client, "application_name") == odd
        client.query("""SET search_path TO "Mixed Case", 'quo"ted'""")
        for _ in range(3):
            assert show(client, "search_path") == '"Mixed Case", "quo""ted"'


def test_time_zone_syntax(target):
    with target.connect() as client, target.connect() as other:
        client.query("SET TIME ZONE 'Europe/Rome'")
        other.query("SET TIME ZONE INTERVAL '-08:00' HOUR TO MINUTE")
        for _ in range(3):
            assert show(client, "TimeZone") == "Europe/Rome"
            assert show(other, "TimeZone") == "<-08>+08"
        other.query("SET TIME ZONE LOCAL")
        assert show(other, "TimeZone") != "<-08>+08"


def test_names_and_session_characteristics(target, table):
    with target.connect() as client:
        client.query("SET NAMES 'LATIN1'")
        assert show(client, "client_encoding") == "LATIN1"
        client.query("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        with pytest.raises(wire.ServerError) as failed:
            client.query(f"INSERT INTO {table} VALUES (1)")
        assert failed.value.code == "25006"
        client.query("SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE")
        client.query(f"INSERT INTO {table} VALUES (1)")


def test_default_isolation_follows(target):
    with target.connect() as client, target.connect() as other:
        client.query("SET default_transaction_isolation TO 'repeatable read'")
        for wanted, who in (("repeatable read", client), ("read committed", other)) * 3:
            who.query("BEGIN")
            assert who.value("SHOW transaction_isolation") == wanted
            who.query("COMMIT")


def test_role_follows(target, cluster):
    cluster.sql(0, "DROP ROLE IF EXISTS second_role; CREATE ROLE second_role; "
                   "GRANT second_role TO app")
    cluster.wait_replayed()
    with target.connect() as client, target.connect() as other:
        client.query("SET ROLE second_role")
        for _ in range(5):
            assert client.value("SELECT current_user") == "second_role"
            assert other.value("SELECT current_user") == "app"
        client.query("RESET ROLE")
        assert client.value("SELECT current_user") == "app"
    cluster.sql(0, "DROP ROLE second_role")


@pytest.mark.parametrize("take, leave", [
    ("DO $$ BEGIN PERFORM set_config('role', 'pg_monitor', false); END $$",
     "DO $$ BEGIN RESET ROLE; END $$"),
    ("DO $$ BEGIN SET ROLE pg_monitor; END $$", "RESET ROLE"),
    ("SET ROLE pg_monitor", "DO $$ BEGIN SET ROLE NONE; END $$")])
def test_role_that_a_function_takes(target, take, leave):
    """It is a privilege: it follows its session to every host, and no other has it."""
    with target.connect() as client, target.connect() as other:
        def roles(of):
            return {of.value(f"/* weir: {where} */ SELECT current_user || ' ' || session_user")
                    for where in ("primary", "replica") for _ in range(3)}
        for _ in range(2):
            client.query(take)
            for _ in range(2):
                assert (roles(client), roles(other)) == ({"pg_monitor app"}, {"app app"})
            client.query("DO $$ BEGIN END $$")  # and stays what it is
            assert (roles(client), roles(other)) == ({"pg_monitor app"}, {"app app"})
            client.query(leave)
            assert (roles(client), roles(other)) == ({"app app"}, {"app app"})


def test_role_that_a_function_takes_is_gone_with_its_transaction(target):
    with target.connect() as client, target.connect() as other:
        client.query("BEGIN")
        client.query("DO $$ BEGIN SET ROLE pg_monitor; END $$")
        assert client.value("SELECT current_user") == "pg_monitor"
        client.query("ROLLBACK")
        client.query("DO $$ BEGIN SET LOCAL ROLE pg_monitor; END $$")
        for _ in range(3):
            assert client.value("/* weir: primary */ SELECT current_user") == "app"
            assert other.value("/* weir: primary */ SELECT current_user") == "app"


def test_session_authorization_that_a_function_takes(start_weir):
    weir = start_weir({"users": {"postgres": {"password": "postgres"}}, "pool": {"size": 3}})
    ask = "SELECT current_user || ' ' || session_user"
    with weir.connect("postgres") as client, weir.connect("postgres") as other:
        for take, leave in (("SET SESSION AUTHORIZATION app", "RESET SESSION AUTHORIZATION"),
                            ("SET SESSION AUTHORIZATION app; SET ROLE pg_monitor",
                             "SET SESSION AUTHORIZATION DEFAULT")):
            client.query(f"DO $$ BEGIN {take}; END $$")
            wanted = "pg_monitor app" if "ROLE" in take else "app app"
            for _ in range(3):
                for where in ("primary", "replica"):
                    assert client.value(f"/* weir: {where} */ {ask}") == wanted
                    assert other.value(f"/* weir: {where} */ {ask}") == "postgres postgres"
            client.query(f"DO $$ BEGIN {leave}; END $$")
            for _ in range(3):
                assert client.value(f"/* weir: primary */ {ask}") == "postgres postgres"


def test_parameter_status_when_a_setting_changes(target):
    with target.connect(application_name="first") as client:
        assert client.parameters["application_name"] == "first"
        client.query("SET application_name TO 'second'")
        assert client.parameters["application_name"] == "second"
        client.query("SET DateStyle TO 'German'")
        assert client.parameters["DateStyle"] == "German, DMY"
        client.query("BEGIN; SET TimeZone TO 'Asia/Tokyo'")
        assert client.parameters["TimeZone"] == "Asia/Tokyo"
        client.query("ROLLBACK")
        assert client.parameters["TimeZone"] != "Asia/Tokyo"


def test_parameter_status_of_others_is_not_ours(target):
    """What a server connection says while it is fitted to this client stays unsaid."""
    with target.connect(application_name="one") as one, \
            target.connect(application_name="two") as two:
        for _ in range(5):
            one.query("SELECT 1")
            two.query("SELECT 1")
            assert one.parameters["application_name"] == "one"
            assert two.parameters["application_name"] == "two"


def test_client_encoding(target):
    with target.connect(client_encoding="LATIN1") as client, target.connect() as other:
        for _ in range(3):
            client.send(wire.query("SELECT chr(233)"))
            got = [part for part in client.read_until_ready() if part.type == "D"][0]
            assert got.body.endswith(b"\xe9")
            other.send(wire.query("SELECT chr(233)"))
            got = [part for part in other.read_until_ready() if part.type == "D"][0]
            assert got.body.endswith(b"\xc3\xa9")


def test_statement_timeout_of_one_client(target):
    with target.connect() as client, target.connect() as other:
        client.query("SET statement_timeout TO '200ms'")
        with pytest.raises(wire.ServerError) as failed:
            client.query("SELECT pg_sleep(5)")
        assert failed.value.code == "57014"
        other.query("SELECT pg_sleep(0.4)")


def test_settings_in_a_pipeline(target):
    with target.connect() as client, target.connect() as other:
        client.send(wire.query("SET work_mem TO '6MB'"),
                    wire.query("/* weir: primary */ SELECT current_setting('work_mem')"),
                    wire.query("RESET work_mem"),
                    wire.query("/* weir: primary */ SELECT current_setting('work_mem')"))
        assert [client.rows() for _ in range(4)] == [[], [["6MB"]], [], [["4MB"]]]
        assert show(other, "work_mem") == "4MB"


CUSTOM_SCHEMA = """
CREATE SCHEMA {table}_s;
CREATE FUNCTION {table}_s.body(v text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('hidden.body', v, false); END $$;
CREATE FUNCTION {table}_s.outer(v text) RETURNS void LANGUAGE sql AS
  $$ SELECT {table}_s.body(v) $$;
CREATE FUNCTION {table}_s.set(v text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('SET hidden.set TO %L', v); END $$;
CREATE FUNCTION {table}_s.named(name text, v text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config(name, v, false); END $$;
GRANT USAGE ON SCHEMA {table}_s TO PUBLIC;
"""


@pytest.mark.parametrize("name, sql, values", [
    ("hidden.body", "SELECT {table}_s.body('7')", ()),
    ("hidden.body", "SELECT {table}_s.outer('7')", ()),
    ("hidden.set", "SELECT {table}_s.set('7')", ()),
    ("hidden.argument", "SELECT {table}_s.named('hidden.argument', '7')", ()),
    ("hidden.parameter", "SELECT {table}_s.named($1, $2)", ("Hidden.Parameter", "7")),
    ("hidden.block", "DO $$ BEGIN PERFORM set_config('hidden.block', '7', false); END $$", ()),
    ("hidden.statement", "DO $$ BEGIN SET hidden.statement TO '7'; END $$", ()),
])
def test_customized_options_that_functions_set(start_weir, cluster, table, name, sql, values):
    """They follow their session, and reach no other; pg_settings shows none of them."""
    cluster.sql(0, CUSTOM_SCHEMA.format(table=table))
    weir = start_weir({"pool": {"size": 3}}, workers=1)
    ask = f"SELECT nullif(current_setting('{name}', true), '')"
    with weir.connect() as one, weir.connect() as two:
        def each():
            return [[client.value("/* weir: primary */ " + ask), client.value(ask)]
                    for client in (one, two)]
        def set_seven():
            one.extended(sql.format(table=table), values)
            return {one.value(ask) for _ in range(4)} == {"7"}
        wait_until(set_seven, "the catalog was read, and names what functions set", 5 * SLOW)
        for _ in range(3):
            assert each() == [["7", "7"], [None, None]]
        two.query(f"SELECT set_config('{name}', '8', false)")
        assert each() == [["7", "7"], ["8", "8"]]
        one.query(f"DO $$ BEGIN RESET {name}; END $$")
        assert each() == [[None, None], ["8", "8"]]
    cluster.sql(0, f"DROP SCHEMA {table}_s CASCADE")


UNNAMED_SCHEMA = CUSTOM_SCHEMA + """
CREATE FUNCTION {table}_s.composed(name text, v text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('put' || '.' || name, v, false); END $$;
CREATE FUNCTION {table}_s.executed(name text, v text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('SET %s.%s TO %L', 'put', name, v); END $$;
CREATE FUNCTION {table}_s.outer_composed(name text, v text) RETURNS void LANGUAGE sql AS
  $$ SELECT {table}_s.composed(name, v) $$;
CREATE PROCEDURE {table}_s.called(name text, v text) LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config('put' || '.' || name, v, false); END $$;
CREATE FUNCTION {table}_s.triggered() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM {table}_s.composed('together', NEW.v); RETURN NEW; END $$;
CREATE TABLE {table}_s.kept (name text, v text);
INSERT INTO {table}_s.kept VALUES ('put' || '.' || 'together', '7');
CREATE TABLE {table}_s.watched (v text);
CREATE TRIGGER x BEFORE INSERT ON {table}_s.watched
  FOR EACH ROW EXECUTE FUNCTION {table}_s.triggered();
GRANT ALL ON ALL TABLES IN SCHEMA {table}_s TO app;
"""
SETS_UNNAMED = {
    "by a function": "SELECT {table}_s.composed('together', '7')",
    "by one that it calls": "SELECT {table}_s.outer_composed('together', '7')",
    "by EXECUTE": "SELECT {table}_s.executed('together', '7')",
    "by a procedure": "CALL {table}_s.called('together', '7')",
    "by a trigger": "INSERT INTO {table}_s.watched VALUES ('7')",
    "in a block": "DO $$ BEGIN PERFORM set_config('put' || '.' || 'together', '7', false); END $$",
    "in a block, from a table":
        "DO $$ DECLARE r record; BEGIN FOR r IN SELECT * FROM {table}_s.kept LOOP "
        "PERFORM set_config(r.name, r.v, false); END LOOP; END $$",
    "from a table": "SELECT set_config(name, v, false) FROM {table}_s.kept",
    "by an operator": "SELECT set_config('put' || '.' || 'together', '7', false)",
}


@pytest.fixture(scope="module")
def unnamed(cluster):
    table = fresh_name("unnamed")
    cluster.sql(0, UNNAMED_SCHEMA.format(table=table))
    yield table
    cluster.sql(0, f"DROP SCHEMA {table}_s CASCADE")


def pinned_by(weir, client):
    client.query("SELECT 1")  # waits for what the proxy asks behind the statement before
    return [pin["reason"] for pin in weir.show("PINS")]


@pytest.mark.parametrize("how", SETS_UNNAMED)
def test_customized_options_whose_names_are_put_together(start_weir, unnamed, how):
    """Nobody can ask for them elsewhere: the session stays where it has them."""
    weir = start_weir({"pool": {"size": 2}}, workers=1)
    ask = "SELECT nullif(current_setting('put.together', true), '')"
    sql = SETS_UNNAMED[how].format(table=unnamed)
    with weir.connect() as one, weir.connect() as two:
        wait_catalog(one)
        one.query("BEGIN")
        one.query(sql)
        one.query("ROLLBACK")
        assert pinned_by(weir, one) == []
        one.query(sql)
        assert pinned_by(weir, one) == ["unnamed setting"]
        for _ in range(3):
            assert (two.value("/* weir: primary */ " + ask), two.value(ask)) == (None, None)
            assert (one.value("/* weir: primary */ " + ask), one.value(ask)) == ("7", "7")
        one.query("BEGIN")
        one.query("RESET ALL")
        one.query("ROLLBACK")
        assert one.value(ask) == "7"
        one.query("RESET ALL")
        assert pinned_by(weir, one) == []
        assert {client.value("/* weir: primary */ " + ask)
                for client in (one, two, one, two)} == {None}


def test_customized_options_that_a_call_names_pin_nobody(start_weir, unnamed):
    weir = start_weir({"pool": {"size": 2}}, workers=1)
    with weir.connect() as one:
        wait_catalog(one)
        for _ in range(2):
            one.query(f"SELECT {unnamed}_s.named('put.whole', '7')")
            one.extended(f"SELECT {unnamed}_s.named($1, $2)", ("put.parameter", "8"))
            assert pinned_by(weir, one) == []
        one.query(f"SELECT {unnamed}_s.set('9')")
        one.query("SELECT set_config('put' || '.local', '7', true)")
        assert pinned_by(weir, one) == []
        assert one.query("SELECT current_setting('put.whole'), current_setting('put.parameter'), "
                         "current_setting('hidden.set')") == [["7", "8", "9"]]


@pytest.mark.parametrize("count, size", [(1, 30_000), (1, 300_000), (40, 1_000), (200, 400)])
def test_large_settings_that_a_block_makes(start_weir, count, size):
    """What is asked of the server then does not come in one piece."""
    weir = start_weir({"pool": {"size": 1}}, workers=1)
    made = " ".join(f"SET large.s{n} TO '{chr(97 + n % 26) * size}';" for n in range(count))
    ask = " || ".join(f"coalesce(nullif(current_setting('large.s{n}', true), ''), '-')"
                      for n in range(count))
    with weir.connect() as one, weir.connect() as two:
        one.query(f"DO $$ BEGIN {made} END $$")
        for _ in range(3):
            assert two.value("/* weir: primary */ SELECT " + ask) == "-" * count
            assert one.value("/* weir: primary */ SELECT " + ask) == \
                "".join(chr(97 + n % 26) * size for n in range(count))


@pytest.mark.parametrize("way", ["block", "parameter", "statement"])
def test_customized_options_named_in_what_is_too_large_to_gather(start_weir, cluster, table, way):
    """Wherever it is cut on its way."""
    cluster.sql(0, CUSTOM_SCHEMA.format(table=table))
    weir = start_weir({"pool": {"size": 1}, "limits": {"gather_bytes": "64kB"}}, workers=1)
    with weir.connect() as one, weir.connect() as two:
        for cut in range(0, 40, 3):
            name, padding = f"large.{way}{cut}", "x" * (131_000 + cut)
            if way == "block":
                one.query(f"DO $$ BEGIN --{padding}\nSET {name} TO '7'; END $$")
            elif way == "statement":
                one.query(f"SELECT {table}_s.named('{name}', '7') /*{padding}*/")
            else:
                one.extended(f"SELECT {table}_s.named($1, '7'), length($2)", (name, padding))
            ask = f"/* weir: primary */ SELECT nullif(current_setting('{name}', true), '')"
            assert (two.value(ask), one.value(ask)) == (None, "7"), name
    cluster.sql(0, f"DROP SCHEMA {table}_s CASCADE")


# --- defaults -------------------------------------------------------------------------------------


@pytest.fixture
def defaults(cluster):
    """Whatever a test does to the defaults of role and database is undone."""
    yield
    cluster.sql(0, "ALTER ROLE app RESET ALL; ALTER DATABASE app RESET ALL")
    cluster.wait_replayed()


def new_sessions(target, count=6):
    """What each of them finds: told at its start, and on which host it likes."""
    found = set()
    for _ in range(count):
        with target.connect() as client:
            found.add((client.parameters["DateStyle"], client.value("SHOW work_mem"),
                       show(client, "work_mem"),
                       client.value("SELECT current_setting('work_mem')")))
    return found


@pytest.mark.parametrize("whose", ["ROLE app", "ROLE app IN DATABASE app", "DATABASE app"])
def test_new_sessions_have_the_new_defaults(target, cluster, defaults, whose):
    """At once, as with PostgreSQL, whoever has opened connections before."""
    with target.connect() as client:
        assert new_sessions(target) == {("ISO, MDY", "4MB", "4MB", "4MB")}
        client.query(f"ALTER {whose} SET work_mem TO '9MB'")
        assert new_sessions(target) == {("ISO, MDY", "9MB", "9MB", "9MB")}
        client.query(f"BEGIN; ALTER {whose} SET datestyle TO 'German'")
        client.query("COMMIT")
        assert new_sessions(target) == {("German, DMY", "9MB", "9MB", "9MB")}
        client.query(f"ALTER {whose} RESET ALL")
        assert new_sessions(target) == {("ISO, MDY", "4MB", "4MB", "4MB")}


def test_defaults_that_others_change(start_weir, cluster, defaults):
    weir = start_weir({"clusters": {"main": {"monitor": {"catalog_interval": "100ms"}}}})
    assert new_sessions(weir) == {("ISO, MDY", "4MB", "4MB", "4MB")}
    cluster.sql(0, "ALTER ROLE app SET work_mem TO '9MB'; ALTER ROLE app SET datestyle TO 'SQL'")
    cluster.wait_replayed()
    wait_until(lambda: new_sessions(weir, 1) == {("SQL, MDY", "9MB", "9MB", "9MB")}, "it is seen",
               10 * SLOW, every=0.1)
    assert new_sessions(weir) == {("SQL, MDY", "9MB", "9MB", "9MB")}


def test_replicas_that_have_not_replayed_the_defaults(start_weir, cluster, defaults):
    """What is opened there meanwhile serves no one else afterwards."""
    weir = start_weir({"routing": {"lag_max": "1h", "lag_bytes_max": 0}})
    with cluster.paused(*cluster.replicas):
        with weir.connect() as client:
            client.query("ALTER ROLE app SET work_mem TO '9MB'")
            assert new_sessions(weir) == {("ISO, MDY", "9MB", "9MB", "9MB")}
        with weir.connect() as early:
            early.query("SET weir.consistency TO 'eventual'")
            for _ in range(10):
                assert show(early, "work_mem", primary=False) == "4MB"
    cluster.wait_replayed()
    with weir.connect() as client:
        wait_until(lambda: show(client, "work_mem", primary=False) == "9MB", "replayed",
                   10 * SLOW)
        time.sleep(0.3 * SLOW)  # all hosts were sampled since
    for _ in range(20):
        with weir.connect() as client:
            assert show(client, "work_mem", primary=False) == "9MB"
