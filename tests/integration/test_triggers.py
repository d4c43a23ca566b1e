"""What functions leave behind that a plain write calls unseen: no other session gets it."""
import pytest

from test_leaks import TRACES

ASKED = "/* weir: primary */ SELECT current_setting('work_mem')"
SETTING = "PERFORM set_config('work_mem', '33MB', false);"
BODY = SETTING + """PERFORM pg_advisory_lock(7);
  CREATE TEMP TABLE IF NOT EXISTS leaked ();"""
WRITES = {
    "a trigger": """
        CREATE FUNCTION leaving() RETURNS trigger LANGUAGE plpgsql
          AS $$ BEGIN {body} RETURN NEW; END $$;
        CREATE TABLE written (i int); GRANT ALL ON written TO app;
        CREATE TRIGGER t BEFORE INSERT ON written FOR EACH ROW EXECUTE FUNCTION leaving()""",
    "a default": """
        CREATE FUNCTION leaving() RETURNS int LANGUAGE plpgsql
          AS $$ BEGIN {body} RETURN 1; END $$;
        CREATE TABLE written (i int, j int DEFAULT leaving()); GRANT ALL ON written TO app""",
}


@pytest.fixture(params=WRITES)
def written(request, cluster):
    def make(body):
        cluster.sql(0, WRITES[request.param].format(body=body))
        return "INSERT INTO written VALUES (1)"

    yield make
    cluster.sql(0, "DROP TABLE written; DROP FUNCTION leaving()")


def test_what_a_write_leaves_stays_with_its_session(start_weir, written):
    weir = start_weir({"pool": {"size": 1}})
    with weir.connect() as one:
        one.query(written(BODY))
        assert one.value(ASKED) == "33MB"
    with weir.connect() as two:
        assert two.query(TRACES) == [["0"] * 7]


def test_a_setting_follows_its_session(start_weir, written):
    weir = start_weir({"pool": {"size": 1}})
    with weir.connect() as one, weir.connect() as two:
        one.query(written(SETTING))
        two.query("SET work_mem TO '5MB'")
        assert two.value(ASKED) == "5MB"
        assert one.value(ASKED) == "33MB"
