"""What functions leave behind that a plain write calls unseen: no other session gets it."""
import pytest

from support import wire
from support.cluster import wait_catalog
from support.wire import SYNC, bind, execute, parse

ASKED = "/* weir: primary */ SELECT current_setting('work_mem')"
SETTING = "PERFORM set_config('work_mem', '33MB', false);"
BODY = SETTING + "PERFORM pg_advisory_lock(7);"
MORE = BODY + "CREATE TEMP TABLE IF NOT EXISTS leaked ();"  # not where it must be immutable
LEFT = """
SELECT current_setting('work_mem') <> '4MB',
       EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()),
       EXISTS (SELECT FROM pg_depend WHERE refclassid = 'pg_namespace'::regclass
          AND refobjid = pg_my_temp_schema())"""

TRIGGER = """
CREATE FUNCTION app.leaving() RETURNS trigger LANGUAGE plpgsql
  AS $$ BEGIN {body} RETURN NEW; END $$;"""
FUNCTION = """
CREATE FUNCTION app.leaving() RETURNS int LANGUAGE plpgsql
  AS $$ BEGIN {body} RETURN 1; END $$;"""
PREDICATE = """
CREATE FUNCTION app.leaving(int) RETURNS boolean LANGUAGE plpgsql
  AS $$ BEGIN {body} RETURN true; END $$;"""
TABLE = "CREATE TABLE app.written (i int);"
INSERT = "INSERT INTO app.written VALUES (1)"
WRITES = {
    "a trigger": (TRIGGER + TABLE + """
        CREATE TRIGGER t BEFORE INSERT ON app.written
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""", INSERT),
    "a trigger's WHEN": (PREDICATE + TABLE + """
        CREATE TRIGGER t BEFORE UPDATE ON app.written FOR EACH ROW
          WHEN (app.leaving(NEW.i)) EXECUTE FUNCTION suppress_redundant_updates_trigger();
        INSERT INTO app.written VALUES (1)""", "UPDATE app.written SET i = 2"),
    "a trigger of statements": (TRIGGER + TABLE + """
        CREATE TRIGGER t AFTER TRUNCATE ON app.written EXECUTE FUNCTION app.leaving()""",
                                "TRUNCATE app.written"),
    "a trigger's function's function": (FUNCTION + TABLE + """
        CREATE FUNCTION app.calling() RETURNS trigger LANGUAGE plpgsql
          AS $$ BEGIN PERFORM app.leaving(); RETURN NEW; END $$;
        CREATE TRIGGER t BEFORE INSERT ON app.written
          FOR EACH ROW EXECUTE FUNCTION app.calling()""", INSERT),
    "a trigger of what a trigger writes": (TRIGGER + TABLE + """
        CREATE TABLE app.log (i int);
        CREATE FUNCTION app.logging() RETURNS trigger LANGUAGE plpgsql
          AS $$ BEGIN INSERT INTO app.log (i) VALUES (1); RETURN NEW; END $$;
        CREATE TRIGGER t BEFORE INSERT ON app.log
          FOR EACH ROW EXECUTE FUNCTION app.leaving();
        CREATE TRIGGER t BEFORE INSERT ON app.written
          FOR EACH ROW EXECUTE FUNCTION app.logging()""", INSERT),
    "a deferred trigger": (TRIGGER + TABLE + """
        CREATE CONSTRAINT TRIGGER t AFTER INSERT ON app.written DEFERRABLE INITIALLY DEFERRED
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""", "BEGIN; " + INSERT + "; COMMIT"),
    "a trigger of a partition": (TRIGGER + """
        CREATE TABLE app.written (i int) PARTITION BY LIST (i);
        CREATE TABLE app.part PARTITION OF app.written FOR VALUES IN (1);
        CREATE TRIGGER t BEFORE INSERT ON app.part
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""", INSERT),
    "a trigger that a partition has from its parent": (TRIGGER + """
        CREATE TABLE app.written (i int) PARTITION BY LIST (i);
        CREATE TABLE app.part PARTITION OF app.written FOR VALUES IN (1);
        CREATE TRIGGER t BEFORE INSERT ON app.written
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""", "INSERT INTO app.part VALUES (1)"),
    "a trigger of a child": (TRIGGER + TABLE + """
        CREATE TABLE app.child () INHERITS (app.written); INSERT INTO app.child VALUES (1);
        CREATE TRIGGER t BEFORE UPDATE ON app.child
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""", "UPDATE app.written SET i = 2"),
    "a trigger behind a cascade": (TRIGGER + """
        CREATE TABLE app.written (i int PRIMARY KEY);
        CREATE TABLE app.referring (i int REFERENCES app.written ON DELETE SET NULL);
        INSERT INTO app.written VALUES (1); INSERT INTO app.referring VALUES (1);
        CREATE TRIGGER t BEFORE UPDATE ON app.referring
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""", "DELETE FROM app.written"),
    "a trigger behind a view": (TRIGGER + TABLE + """
        CREATE VIEW app.shown AS SELECT * FROM app.written;
        CREATE TRIGGER t BEFORE INSERT ON app.written
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""", "INSERT INTO app.shown VALUES (1)"),
    "a trigger in place of a view": (TRIGGER + """
        CREATE VIEW app.written AS SELECT 1 AS i;
        CREATE TRIGGER t INSTEAD OF INSERT ON app.written
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""", INSERT),
    "a trigger within WITH": (TRIGGER + TABLE + """
        CREATE TRIGGER t BEFORE INSERT ON app.written
          FOR EACH ROW EXECUTE FUNCTION app.leaving()""",
                              f"WITH w AS ({INSERT} RETURNING *) SELECT i FROM w"),
    "a default": (FUNCTION + """
        CREATE TABLE app.written (i int, j int DEFAULT app.leaving())""", INSERT),
    "a check": (PREDICATE + """
        CREATE TABLE app.written (i int CHECK (app.leaving(i)))""", INSERT),
    "a domain's check": (PREDICATE + """
        CREATE DOMAIN app.one AS int CHECK (app.leaving(VALUE));
        CREATE TABLE app.written (i app.one[])""", "INSERT INTO app.written VALUES ('{1}')"),
    "a generated column": ("""
        CREATE FUNCTION app.leaving(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
          AS $$ BEGIN {body} RETURN 1; END $$;
        CREATE TABLE app.written (i int, j int GENERATED ALWAYS AS (app.leaving(i)) STORED)""",
                           INSERT),
    "an index": ("""
        CREATE FUNCTION app.leaving(int) RETURNS int LANGUAGE plpgsql IMMUTABLE
          AS $$ BEGIN {body} RETURN 1; END $$;
        CREATE TABLE app.written (i int); CREATE INDEX ON app.written (app.leaving(i))""", INSERT),
    "a policy": (PREDICATE + TABLE + """
        ALTER TABLE app.written ENABLE ROW LEVEL SECURITY;
        CREATE POLICY p ON app.written FOR INSERT WITH CHECK (app.leaving(i))""", INSERT),
    "a rule": (FUNCTION + TABLE + """
        CREATE RULE r AS ON INSERT TO app.written DO ALSO SELECT app.leaving()""", INSERT),
    "what a rule writes": (TRIGGER + TABLE + """
        CREATE TABLE app.log (i int);
        CREATE TRIGGER t BEFORE INSERT ON app.log
          FOR EACH ROW EXECUTE FUNCTION app.leaving();
        CREATE RULE r AS ON INSERT TO app.written DO ALSO INSERT INTO app.log VALUES (1)""",
                           INSERT),
}


@pytest.fixture
def schema(cluster):
    def define(sql):
        cluster.sql(0, "CREATE SCHEMA app; " + sql)
        cluster.sql(0, "GRANT USAGE ON SCHEMA app TO app; "
                       "GRANT ALL ON ALL TABLES IN SCHEMA app TO app")

    yield define
    cluster.sql(0, "DROP SCHEMA IF EXISTS app CASCADE")


@pytest.fixture(params=WRITES)
def written(request, schema):
    """Defines what writes do, and answers with one."""
    definitions, write = WRITES[request.param]

    def define(body):
        schema(definitions.replace("{body}", body))
        return write

    return define


PROBED = ["session: may be changed, is asked afterwards"]


def started(start_weir, **more):
    """A proxy that has read the catalog."""
    weir = start_weir({"pool": {"size": 1}, **more})
    with weir.connect() as client:
        wait_catalog(client)
    return weir


def assert_nothing_left(weir):
    with weir.connect() as other:
        assert other.query(LEFT) == [["f", "f", "f"]]


def test_what_a_write_leaves_stays_with_its_session(start_weir, written):
    write = written(BODY)
    weir = started(start_weir)
    with weir.connect() as one:
        one.query(write)
        assert one.value(ASKED) == "33MB"
        assert one.query(LEFT) == [["t", "t", "f"]]
    assert_nothing_left(weir)


def test_a_setting_follows_its_session(start_weir, written):
    write = written(SETTING)
    weir = started(start_weir)
    with weir.connect() as one, weir.connect() as two:
        one.query(write)
        two.query("SET work_mem TO '5MB'")
        assert two.value(ASKED) == "5MB"
        assert one.value(ASKED) == "33MB"


def test_prepared_pipelined_and_copied(start_weir, schema):
    schema(WRITES["a trigger"][0].replace("{body}", MORE))
    weir = started(start_weir)
    with weir.connect() as one:
        one.send(parse("p", INSERT), SYNC)
        one.rows()
        one.send(bind("", "p"), execute(), SYNC, bind("", "p"), execute(), SYNC)
        one.read_until_ready()
        one.read_until_ready()
        assert one.query(LEFT) == [["t", "t", "t"]]
    assert_nothing_left(weir)
    with weir.connect() as one:
        one.send(wire.query("COPY app.written FROM STDIN"))
        assert one.read().type == "G"
        one.send(wire.copy_data(b"1\n"), wire.message("c"))
        one.read_until_ready()
        assert one.query(LEFT) == [["t", "t", "t"]]
    assert_nothing_left(weir)


def test_who_leaves_in_the_middle(start_weir, schema):
    schema(WRITES["a trigger"][0].replace("{body}", MORE))
    weir = started(start_weir)
    one = weir.connect()
    one.send(wire.query(INSERT))
    one.drop()
    assert_nothing_left(weir)


def test_a_text_too_long_to_be_read(start_weir, schema):
    schema(WRITES["a trigger"][0].replace("{body}", MORE))
    weir = started(start_weir)
    with weir.connect() as one:
        one.query(f"{INSERT} /* {'x' * 70000} */")
        assert one.query(LEFT) == [["t", "t", "t"]]
    assert_nothing_left(weir)


def test_the_rule_of_pg_settings(start_weir):
    weir = started(start_weir)
    with weir.connect() as one, weir.connect() as two:
        one.query("UPDATE pg_settings SET setting = '33MB' WHERE name = 'work_mem'")
        assert two.value(ASKED) == "4MB"
        assert one.value(ASKED) == "33MB"


@pytest.mark.parametrize("how", ["before", "in one transaction", "in one text", "in one batch"])
def test_a_trigger_that_was_made_through_the_proxy(start_weir, cluster, schema, how):
    schema(TRIGGER.replace("{body}", MORE) + TABLE)
    cluster.sql(0, "ALTER SCHEMA app OWNER TO app; ALTER TABLE app.written OWNER TO app; "
                   "ALTER FUNCTION app.leaving() OWNER TO app")
    weir = started(start_weir)
    create = ("CREATE TRIGGER t BEFORE INSERT ON app.written FOR EACH ROW"
              " EXECUTE FUNCTION app.leaving()")
    with weir.connect() as one:
        assert PROBED not in one.query(f"EXPLAIN ROUTE {INSERT}")
        if how == "before":
            one.query(create)
            one.query(INSERT)
        elif how == "in one transaction":
            for sql in ["BEGIN", create, INSERT, "COMMIT"]:
                one.query(sql)
        elif how == "in one text":
            one.query(f"{create}; {INSERT}")
        else:
            one.send(parse("", create), bind("", ""), execute(),
                     parse("", INSERT), bind("", ""), execute(), SYNC)
            one.rows()
        assert one.query(LEFT) == [["t", "t", "t"]]
    assert_nothing_left(weir)


def test_functions_that_definitions_call(start_weir, schema, cluster):
    schema(FUNCTION.replace("{body}", MORE) + TABLE + INSERT)
    cluster.sql(0, "ALTER TABLE app.written OWNER TO app")
    weir = started(start_weir)
    with weir.connect() as one:
        one.query("ALTER TABLE app.written ADD j int DEFAULT app.leaving()")
        assert one.query(LEFT) == [["t", "t", "t"]]
    assert_nothing_left(weir)


def test_event_triggers(start_weir, schema, cluster):
    schema(TRIGGER.replace("trigger", "event_trigger").replace("RETURN NEW;", "")
           .replace("{body}", MORE))
    cluster.sql(0, "ALTER SCHEMA app OWNER TO app")
    weir = started(start_weir)
    cluster.sql(0, "CREATE EVENT TRIGGER leaving ON ddl_command_end WHEN TAG IN ('CREATE SEQUENCE')"
                   " EXECUTE FUNCTION app.leaving()")
    try:
        with weir.connect() as one:
            one.query("CREATE SEQUENCE app.numbers")
            assert one.query(LEFT) == [["t", "t", "t"]]
        assert_nothing_left(weir)
    finally:
        cluster.sql(0, "DROP EVENT TRIGGER leaving")


def test_most_writes_are_not_asked(start_weir, schema):
    schema(TRIGGER.replace("{body}", "NEW.at := now(); PERFORM set_config('a.b', 'c', true);") + """
        CREATE TABLE app.parent (i serial PRIMARY KEY);
        CREATE TABLE app.written (i int REFERENCES app.parent ON DELETE CASCADE, at timestamptz,
          u uuid DEFAULT gen_random_uuid(), CHECK (i > 0 AND i < length(repeat('x', 10))));
        CREATE TRIGGER t BEFORE INSERT ON app.written
          FOR EACH ROW EXECUTE FUNCTION app.leaving();
        CREATE TABLE app.off (i int);
        CREATE FUNCTION app.unused() RETURNS trigger LANGUAGE plpgsql
          AS $$ BEGIN SET work_mem TO '1MB'; RETURN NEW; END $$;
        CREATE TRIGGER t BEFORE INSERT ON app.off FOR EACH ROW EXECUTE FUNCTION app.unused();
        ALTER TABLE app.off DISABLE TRIGGER t""")
    weir = started(start_weir)
    with weir.connect() as one:
        for table in ["parent", "written", "off"]:
            assert PROBED not in one.query(f"EXPLAIN ROUTE DELETE FROM app.{table}")


@pytest.mark.parametrize("said", [False, True])
def test_functions_that_cannot_be_read(start_weir, schema, said):
    """Those in C count as harmless when they are declared so, or the configuration says so."""
    schema("""
        CREATE FUNCTION app.native() RETURNS float8 LANGUAGE internal VOLATILE AS 'drandom';
        CREATE TABLE app.written (i float8 DEFAULT app.native())""")
    routing = {"harmless_functions": ["app.native"]} if said else {}
    weir = started(start_weir, routing=routing)
    with weir.connect() as one:
        assert (PROBED in one.query(f"EXPLAIN ROUTE {INSERT}")) is not said


def test_a_catalog_that_is_never_read(start_weir, schema):
    schema(WRITES["a trigger"][0].replace("{body}", MORE))
    weir = start_weir({"pool": {"size": 1},
                       "clusters": {"main": {"monitor": {"catalog_interval": 0}}}})
    with weir.connect() as one:
        assert PROBED in one.query("EXPLAIN ROUTE DELETE FROM app.nothing")
        one.query(INSERT)
        assert one.query(LEFT) == [["t", "t", "t"]]
    assert_nothing_left(weir)
