"""[[rules]]: each condition, each effect, their order, and what a reload does to them."""
import signal
import time

import pytest

from support import SLOW, wire
from support.cluster import fresh_name, wait_until
from support.load import Repeated
from support.wire import SYNC, bind, describe, execute, parse, query

PORT = "inet_server_port()"
READ = f"SELECT {PORT}"
EVENTUAL = {"weir.consistency": "eventual"}


def host_name(cluster, number):
    return f"127.0.0.1:{cluster.ports[number]}"


def hosts_of(cluster, client, sql=READ, count=8, run=None):
    run = run or client.query
    return {cluster.number_of(run(sql)[-1][0]) for _ in range(count)}


@pytest.fixture(scope="module")
def names(cluster):
    made = {kind: fresh_name(f"rule_{kind}") for kind in ("orders", "items", "schema", "total")}
    cluster.sql(0, """
        CREATE SCHEMA {schema}; GRANT USAGE ON SCHEMA {schema} TO PUBLIC;
        CREATE TABLE {orders} (); CREATE TABLE {items} (); CREATE TABLE {schema}.{items} ();
        CREATE FUNCTION {schema}.{total}() RETURNS int LANGUAGE sql STABLE AS 'SELECT 1';
        GRANT ALL ON {orders}, {items}, {schema}.{items} TO PUBLIC""".format(**made))
    cluster.wait_replayed()
    yield made
    cluster.sql(0, "DROP SCHEMA {schema} CASCADE; DROP TABLE {orders}, {items}".format(**made))


@pytest.fixture
def with_rules(start_weir, cluster):
    """Starts a proxy with these rules; "host N" in them is the name of the cluster's host."""
    def start(*rules, **config):
        return start_weir({"rules": named(cluster, rules), **config})
    return start


def named(cluster, rules):
    return [{**rule, "hosts": [host_name(cluster, n) for n in rule["hosts"]]}
            if "hosts" in rule else rule for rule in rules]


def reload(weir, rules):
    weir.write_config({"rules": rules})
    seen = weir.log().count("reloaded")
    weir.signal(signal.SIGHUP)
    wait_until(lambda: weir.log().count("reloaded") > seen, "the reload", 5 * SLOW)


# --- conditions -----------------------------------------------------------------------------------


def test_by_user_database_and_application_name(with_rules, cluster):
    weir = with_rules({"user": "counted", "hosts": [1]},
                      {"database": ["other", "nothing*"], "hosts": [2]},
                      {"application_name": "metabase*", "route": "primary"})
    with weir.connect("counted", **EVENTUAL) as client:
        assert hosts_of(cluster, client) == {1}
    with weir.connect(database="other", **EVENTUAL) as client:
        assert hosts_of(cluster, client) == {2}
    with weir.connect("counted", database="other", **EVENTUAL) as client:
        assert hosts_of(cluster, client) == {1}  # the first one
    with weir.connect(application_name="metabase 1", **EVENTUAL) as client:
        assert hosts_of(cluster, client) == {0}
        client.query("SET application_name TO 'psql'")
        assert hosts_of(cluster, client) == {1, 2}
        client.query("RESET application_name")
        assert hosts_of(cluster, client) == {0}
        client.query("BEGIN; SET application_name TO 'psql'; ROLLBACK")
        assert hosts_of(cluster, client) == {0}
        client.query("BEGIN; SET LOCAL application_name TO 'psql'; COMMIT")
        assert hosts_of(cluster, client) == {0}


def test_by_table_and_function(with_rules, cluster, names):
    weir = with_rules({"table": [names["orders"], "{schema}.{items}".format(**names)],
                       "hosts": [1]},
                      {"function": names["total"], "hosts": [2]})
    with weir.connect(**EVENTUAL) as client:
        def hosts(tail):
            return hosts_of(cluster, client, f"SELECT {PORT} {tail}".format(**names))

        wait_until(lambda: 0 not in hosts(", {schema}.{total}()"), "the catalog is known",
                   10 * SLOW)
        assert hosts("FROM {orders} RIGHT JOIN (SELECT 1) x ON true") == {1}
        assert hosts("FROM public.{orders} RIGHT JOIN (SELECT 1) x ON true") == {1}
        assert hosts("FROM {schema}.{items} RIGHT JOIN (SELECT 1) x ON true") == {1}
        assert hosts("FROM {items} RIGHT JOIN (SELECT 1) x ON true") == {1, 2}
        assert hosts(", {schema}.{total}()") == {2}
        assert hosts(", {schema}.{total}() FROM {orders} RIGHT JOIN (SELECT 1) x ON true") == {1}
        assert hosts("; SELECT 1 FROM {orders}; SELECT " + PORT) == {1}  # any of several


def test_by_regex_and_nothing_of_it_is_mixed_up_with_other_literals(with_rules, cluster):
    weir = with_rules({"regex": r"= 7$|job=\w+", "route": "primary"})
    with weir.connect(**EVENTUAL) as client:
        for _ in range(2):
            assert 0 not in hosts_of(cluster, client, f"SELECT {PORT} WHERE 1 = 1 OR 1 = 6")
            assert hosts_of(cluster, client, f"SELECT {PORT} WHERE 1 = 1 OR 1 = 7") == {0}
            assert hosts_of(cluster, client, f"SELECT {PORT} /* job=report */") == {0}


def test_by_shape(with_rules, cluster):
    weir = with_rules()
    sql = f"SELECT {PORT}, 'shape' AS it"
    with weir.connect(**EVENTUAL) as client:
        client.query(sql)
        wait_until(lambda: shapes(weir, "as it"), "the shape is known", 5 * SLOW)
        shape = shapes(weir, "as it")[0]
        reload(weir, named(cluster, [{"shape": [shape, "0" * 16], "hosts": [2]}]))
        assert {cluster.number_of(client.query(sql.replace("shape", f"literal {n}"))[0][0])
                for n in range(8)} == {2}
        assert hosts_of(cluster, client, READ, 12) == {1, 2}


def shapes(weir, text):
    return [row["shape"] for row in weir.show("ROUTES") if text in row["statement"].lower()]


def test_the_console_names_the_rule(with_rules):
    weir = with_rules({"name": "reports", "regex": "AS named", "route": "primary"},
                      {"name": "near", "regex": "AS nearby", "hosts": [1]})

    def reasons(text):
        return [row["reason"] for row in weir.show("ROUTES") if text in row["statement"].lower()]

    with weir.connect(**EVENTUAL) as client:
        for name, reason in (("named", "rule reports"), ("nearby", "read (rule near)"),
                             ("nameless", "read")):
            client.query(f"SELECT 1 AS {name}")
            wait_until(lambda n=name: reasons(n) != [], "the route is known", 5 * SLOW)
            assert reasons(name) == [reason]


def test_a_rule_without_conditions_is_of_everything(with_rules, cluster):
    weir = with_rules({"hosts": [2]})
    with weir.connect() as client:
        assert hosts_of(cluster, client) == {2}
        assert cluster.number_of(client.query(f"BEGIN READ ONLY; {READ}; COMMIT")[-1][0]) == 2


# --- effects --------------------------------------------------------------------------------------


def test_writes_and_what_the_client_says_count_more(with_rules, cluster, table):
    weir = with_rules({"hosts": [1], "route": "replica"})
    with weir.connect(**EVENTUAL) as client:
        client.query(f"INSERT INTO {table} VALUES (1)")
        assert cluster.number_of(client.query(f"BEGIN; {READ}; COMMIT")[-1][0]) == 0
        assert hosts_of(cluster, client, f"/* weir: primary */ {READ}") == {0}
        assert hosts_of(cluster, client, f"/* weir: replica */ {READ}") == {1}
        client.query("SET weir.route TO 'primary'")
        assert hosts_of(cluster, client) == {0}


def test_route_replica_in_spite_of_split_reads(with_rules, cluster, names):
    weir = with_rules({"table": names["orders"], "route": "replica"},
                      routing={"split_reads": False, "consistency": "eventual"})
    with weir.connect() as client:
        assert hosts_of(cluster, client) == {0}
        assert hosts_of(cluster, client, "SELECT {port} FROM {orders} RIGHT JOIN (SELECT 1) x "
                        "ON true".format(port=PORT, **names)) == {1, 2}


def test_consistency(with_rules, cluster, table):
    """While replicas stand still: who must see its own write reads from the primary."""
    weir = with_rules({"regex": "may be old", "consistency": "eventual"},
                      routing={"lag_max": "1h", "lag_bytes_max": 0})
    with cluster.paused(1, 2), weir.connect() as client:
        client.query(f"INSERT INTO {table} VALUES (1)")
        time.sleep(0.3)
        count = f"SELECT count(*) FROM {table}"
        assert client.value(count) == "1"
        assert client.value(count + " -- may be old") == "0"
        assert client.value("/* weir: consistency=session */ " + count + " -- may be old") == "1"
        client.query("SET weir.consistency TO 'session'")
        assert client.value(count + " -- may be old") == "1"


def test_max_lag(with_rules, cluster, table):
    """A replica a second behind serves some reads, and not those that a rule keeps from it."""
    weir = with_rules({"regex": "soon", "max_lag": "300ms"},
                      routing={"lag_max": "1h", "lag_bytes_max": 0, "consistency": "eventual"})
    write = f"INSERT INTO {table} VALUES ((random() * 1e9)::int) ON CONFLICT DO NOTHING"
    with Repeated(cluster.connect(0, "app", "app"), lambda c: c.query(write), 0.01), \
            weir.connect() as client:
        both = lambda: hosts_of(cluster, client, f"{READ} -- soon", 20) == {1, 2}
        wait_until(both, "both are near", 10 * SLOW)
        with cluster.paused(1):
            time.sleep(0.3 + 0.7 * SLOW)
            assert hosts_of(cluster, client, f"{READ} -- soon", 20) == {2}
            assert hosts_of(cluster, client, READ, 40) == {1, 2}
            with cluster.paused(2):
                time.sleep(0.3 + 0.7 * SLOW)
                assert hosts_of(cluster, client, f"{READ} -- soon", 20) == {0}
        wait_until(both, "both are back", 10 * SLOW)


@pytest.mark.parametrize("no_replica", ["primary", "error"])
def test_a_group_of_which_all_are_down(with_rules, cluster, no_replica):
    weir = with_rules({"name": "group", "application_name": "g", "hosts": [2]},
                      routing={"no_replica": no_replica, "consistency": "eventual"})
    with weir.connect(application_name="g") as client, weir.connect() as other:
        assert hosts_of(cluster, client) == {2}
        with cluster.killed(2):
            if no_replica == "primary":
                wait_until(lambda: cluster.number_of(client.value(READ)) == 0, "the primary serves",
                           5 * SLOW)
                assert hosts_of(cluster, client) == {0}
            else:
                def refused():
                    try:
                        client.query(READ)
                        return False
                    except wire.ServerError as failed:
                        assert failed.fields["D"] == "no replica is fit (rule group)"
                        return True
                wait_until(refused, "the read is refused", 5 * SLOW)
            assert hosts_of(cluster, other) == {1}
        wait_until(lambda: [row["state"] for row in weir.show("HOSTS")].count("up") == 3,
                   "all are up", 30 * SLOW)
        assert hosts_of(cluster, client) == {2}


# --- requests -------------------------------------------------------------------------------------


def test_prepared_statements(with_rules, cluster):
    weir = with_rules({"regex": "one", "hosts": [1]}, {"regex": "two", "hosts": [2]})
    with weir.connect(**EVENTUAL) as client:
        client.send(parse("first", f"{READ} -- one"), parse("second", f"{READ} -- two"),
                    parse("neither", READ), SYNC)
        client.rows()

        def run(name):
            client.send(bind("", name), describe("P"), execute(), SYNC)
            return client.rows()

        for _ in range(3):
            assert hosts_of(cluster, client, "first", run=run) == {1}
            assert hosts_of(cluster, client, "second", run=run) == {2}
        assert hosts_of(cluster, client, "neither", 12, run) == {1, 2}
        assert hosts_of(cluster, client, f"{READ} -- two", run=client.extended) == {2}
        reload(weir, named(cluster, [{"regex": "one", "hosts": [2]},
                                     {"regex": "more", "hosts": [1]}]))
        assert hosts_of(cluster, client, "first", run=run) == {2}
        assert hosts_of(cluster, client, "second", 12, run) == {1, 2}


def test_pipelined_requests_each_go_where_their_rule_says(with_rules, cluster):
    weir = with_rules({"regex": "one", "hosts": [1]}, {"regex": "two", "hosts": [2]},
                      {"regex": "zero", "route": "primary"})
    with weir.connect(**EVENTUAL) as client:
        words = ["one", "one", "two", "zero", "one", "two", "two", "zero"] * 3
        client.send(*[query(f"{READ} -- {word}") for word in words])
        served = [cluster.number_of(client.rows()[0][0]) for _ in words]
    assert served == [{"zero": 0, "one": 1, "two": 2}[word] for word in words]


def test_explain_route_names_the_rule(with_rules, cluster):
    weir = with_rules({"name": "group", "regex": "one", "hosts": [1]},
                      {"name": "home", "regex": "home", "route": "primary"})
    with weir.connect() as client:
        lines = [row[0] for row in client.query("EXPLAIN ROUTE SELECT 1 -- one")]
        assert "reason: read (rule group)" in lines
        [other] = [line for line in lines if line.startswith(f"host {host_name(cluster, 2)}: ")]
        assert ": replica, lag " in other and ", at " in other
        assert other.endswith(": kept out by a rule")
        lines = [row[0] for row in client.query("EXPLAIN ROUTE SELECT 1 -- home")]
        assert "route: primary" in lines and "reason: rule home" in lines


# --- reload ---------------------------------------------------------------------------------------


def test_reload_applies_to_sessions_that_are_there(with_rules, cluster):
    weir = with_rules()
    with weir.connect(**EVENTUAL) as client:
        assert hosts_of(cluster, client, READ, 12) == {1, 2}
        opened = [cluster.backends(number=n) for n in (1, 2)]
        reload(weir, named(cluster, [{"name": "a", "hosts": [1]}, {"name": "b", "hosts": [2]}]))
        assert hosts_of(cluster, client) == {1}
        reload(weir, named(cluster, [{"name": "b", "hosts": [2]}, {"name": "a", "hosts": [1]}]))
        assert hosts_of(cluster, client) == {2}
        reload(weir, [])
        assert hosts_of(cluster, client, READ, 12) == {1, 2}
        assert [cluster.backends(number=n) for n in (1, 2)] == opened  # none was closed for it


def test_a_request_that_waits_during_a_reload(with_rules, cluster):
    weir = with_rules({"regex": "here", "hosts": [1]})
    with weir.connect(**EVENTUAL) as client, weir.console() as console:
        console.query("PAUSE app")
        client.send(query(f"{READ} -- here"))
        time.sleep(0.2)
        reload(weir, named(cluster, [{"regex": "none", "hosts": [1]},
                                     {"regex": "here", "hosts": [2]}]))
        console.query("RESUME app")
        assert cluster.number_of(client.rows()[0][0]) == 2
