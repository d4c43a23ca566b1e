"""Logging in, on both sides of the proxy: methods, secrets, look-ups."""
import base64
import hashlib
import time

import pytest

from support import wire
from support.cluster import fresh_name, wait_until
from support.weir import merged


def md5_secret(user, password):
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


def verifier(cluster, user):
    return cluster.value(0, f"SELECT rolpassword FROM pg_authid WHERE rolname = '{user}'")


def works(client_of):
    with client_of as client:
        assert client.value("SELECT current_user || ':' || session_user") == "app:app"
        client.query("/* weir: primary */ SELECT 1")
        return client


def login_fails(target, user="app", password="wrong", **options):
    with pytest.raises(wire.ServerError) as failed:
        target.connect(user, password, **options)
    assert failed.value.fields["S"] == "FATAL"
    return failed.value


def test_scram_is_the_default(target):
    assert works(target.connect()).mechanisms == ["SCRAM-SHA-256"]


def test_wrong_password_and_unknown_user_look_alike(target):
    for user in ("app", "nobody_at_all"):
        error = login_fails(target, user)
        assert error.code == "28P01"
        assert error.message == f'password authentication failed for user "{user}"'


def scram_offer(target, user, password):
    """The salt and the iterations that a log-in was offered, and whether it worked."""
    with wire.Wire(target.host, target.port) as client:
        client.startup(user, "app")
        try:
            client.authenticate(user, password)
            worked = True
        except wire.ServerError as failed:
            assert failed.code == "28P01"
            worked = False
        return (client.scram_salt, client.scram_rounds), worked


def test_salts_tell_nobody_who_exists(weir):
    """Known or not, with the right password or not: a user's salt is one, and the user's own."""
    offers = set()
    for user, password, works_out in (("app", "app", True), ("app", "wrong", False),
                                      ("app", "app", True), ("md5", "md5", True),
                                      ("nobody_at_all", "x", False), ("nobody_at_all", "y", False),
                                      ("nobody_else", "x", False)):
        offer, worked = scram_offer(weir, user, password)
        assert worked == works_out
        assert len(base64.b64decode(offer[0])) == 16 and offer[1] == "4096"
        offers.add((user, offer))
    assert len(offers) == len({salt for _, (salt, _) in offers}) == 4


def test_a_reload_changes_a_password(start_weir):
    """What was made of the old one opens nothing any more, and of the new one everything."""
    weir = start_weir({"users": {"open": {"password": "first"}}})
    for now, before in (("second", "first"), ("third", "second"), ("first", "third")):
        assert weir.connect("open", before).value("SELECT 1") == "1"
        weir.write_config({"users": {"open": {"password": now}}})
        with weir.console() as console:
            console.query("RELOAD")
        wait_until(lambda: scram_offer(weir, "open", now)[1], "the new password")
        login_fails(weir, "open", before)


def test_empty_password(target):
    with wire.Wire(target.host, target.port) as client:
        client.startup("app", "app")
        with pytest.raises(wire.ServerError) as failed:
            client.authenticate("app", "")
        assert failed.value.code in ("28P01", "28000", "08P01")


@pytest.mark.parametrize("method", ["scram-sha-256", "md5", "trust"])
def test_methods_with_plain_secrets(start_weir, method):
    weir = start_weir({"auth": {"method": method}})
    client = works(weir.connect())
    assert client.mechanisms == (["SCRAM-SHA-256"] if method == "scram-sha-256" else None)
    if method == "trust":
        works(weir.connect("app", "wrong"))
    else:
        assert login_fails(weir).code == "28P01"


def test_cleartext_password(start_weir):
    """Only where nobody can listen: a Unix socket (or TLS, see test_tls)."""
    weir = start_weir({"auth": {"method": "password"}}, ready=False)
    wait_until(lambda: (weir.socket_dir / f".s.PGSQL.{weir.port}").exists(), "the socket")
    works(wire.connect(str(weir.socket_dir), weir.port, "app", "app", "app"))
    with pytest.raises(wire.ServerError) as failed:
        wire.connect(str(weir.socket_dir), weir.port, "app", "wrong", "app")
    assert failed.value.code == "28P01"
    with pytest.raises(wire.ServerError) as failed:
        weir.connect()
    assert (failed.value.fields["S"], failed.value.code) == ("FATAL", "28000")
    assert "TLS" in failed.value.message


def test_md5_with_a_stored_hash(start_weir):
    """The server side still needs a password: user md5 logs in with md5 there as well."""
    weir = start_weir({"auth": {"method": "md5"},
                       "users": {"md5": {"password": md5_secret("md5", "md5")}}})
    with weir.connect("md5") as client:
        assert client.value("SELECT current_user") == "md5"
    assert login_fails(weir, "md5").code == "28P01"


@pytest.mark.parametrize("method", ["scram-sha-256", "md5"])
def test_scram_pass_through(start_weir, cluster, method):
    """Only the verifier is known: the client's proof opens the server too."""
    weir = start_weir({"auth": {"method": method},
                       "users": {"app": {"password": verifier(cluster, "app")}}})
    client = works(weir.connect())
    assert client.mechanisms == ["SCRAM-SHA-256"]
    assert login_fails(weir).code == "28P01"
    for _ in range(3):
        works(weir.connect())


def test_a_password_that_fits_the_verifier_opens_the_server(start_weir, cluster):
    weir = start_weir({"auth": {"method": "password"},
                       "users": {"app": {"password": verifier(cluster, "app")}}}, ready=False)
    wait_until(lambda: "weir: up" in weir.log(), "it is up")
    for _ in range(2):
        works(wire.connect(str(weir.socket_dir), weir.port, "app", "app", "app"))
    with pytest.raises(wire.ServerError) as failed:
        wire.connect(str(weir.socket_dir), weir.port, "app", "wrong", "app")
    assert failed.value.code == "28P01"


def test_what_one_user_lacks_is_no_fault_of_the_host(start_weir, cluster):
    """Neither a password nor a verifier is known, and nobody has to prove one."""
    weir = start_weir({"auth": {"method": "trust"}, "users": {"app": {"password": ""}}},
                      ready=False)
    weir.wait_ready("open")
    for _ in range(3):
        error = login_fails(weir)
        assert error.code == "28P01" and "app" in error.message and error.fields["H"]
    assert {row["state"] for row in weir.show("HOSTS")} == {"up"}
    assert "state=down" not in weir.log()
    with weir.connect("open") as other:
        assert other.value("SELECT current_user") == "open"


@pytest.mark.parametrize("user", ["app", "md5", "clear", "open"])
def test_methods_of_servers(target, user):
    """SCRAM, MD5, cleartext and trust, as the servers' pg_hba.conf asks for."""
    with target.connect(user) as client:
        assert client.value("SELECT current_user") == user
        assert client.value("/* weir: primary */ SELECT session_user") == user


def test_servers_refusal_is_shown(start_weir):
    """The configured password opens Weir but not the server: the client learns it."""
    weir = start_weir({"users": {"app": {"password": "not the server's"}},
                       "timeouts": {"query_wait": "3s"}}, ready=False)
    weir.wait_ready("open")
    with pytest.raises(wire.ServerError) as failed:
        with weir.connect("app", "not the server's") as client:
            client.query("SELECT 1")
    assert failed.value.fields["S"] in ("FATAL", "ERROR")
    assert "password authentication failed" in failed.value.message or \
        "password authentication failed" in failed.value.fields.get("D", "")


# --- auth_query -----------------------------------------------------------------------------------


@pytest.fixture
def role(cluster):
    """A role that no configuration names."""
    name = fresh_name("found")
    cluster.sql(0, f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
    cluster.wait_replayed()
    yield name
    cluster.sql(0, f"DROP ROLE {name}")


LOOK_UP = {"auth": {"user": "postgres", "password": "any", "query_cache": "50ms"}}


def test_auth_query(start_weir, role):
    weir = start_weir(LOOK_UP)
    with weir.connect(role) as client:
        assert client.value("SELECT current_user") == role
        assert client.value("/* weir: primary */ SELECT session_user") == role
    assert login_fails(weir, role).code == "28P01"
    assert login_fails(weir, "nobody_at_all").code == "28P01"


def test_auth_query_in_a_database_that_does_not_exist(start_weir, role):
    weir = start_weir(merged(LOOK_UP, {"databases": {"*": {"cluster": "main"}}}))
    failed = login_fails(weir, role, role, database="nowhere")
    assert (failed.code, failed.message) == ("3D000", 'database "nowhere" does not exist')


def test_auth_query_honours_valid_until(start_weir, cluster, role):
    weir = start_weir(LOOK_UP)
    cluster.sql(0, f"ALTER ROLE {role} VALID UNTIL '2001-01-01'")
    cluster.wait_replayed()
    assert login_fails(weir, role, role).code == "28P01"
    cluster.sql(0, f"ALTER ROLE {role} VALID UNTIL 'infinity' NOLOGIN")
    cluster.wait_replayed()
    time.sleep(0.1)  # query_cache
    failed = login_fails(weir, role, role)
    assert (failed.code, failed.message) == ("28000", f'role "{role}" is not permitted to log in')
    assert login_fails(weir, role).code == "28P01"  # told to who knows the password only


def test_auth_query_sees_a_new_password(start_weir, cluster, role):
    weir = start_weir(LOOK_UP)
    weir.connect(role).terminate()
    cluster.sql(0, f"ALTER ROLE {role} PASSWORD 'changed'")
    cluster.wait_replayed()
    time.sleep(0.1)
    with weir.connect(role, "changed") as client:
        assert client.value("/* weir: primary */ SELECT current_user") == role


def test_auth_query_ignores_the_clients_startup_packet(start_weir, cluster):
    """A search_path of the client's choice must not choose the table of passwords."""
    cluster.sql(0, "CREATE SCHEMA evil; CREATE TABLE evil.logins(name text, secret text);"
                   "CREATE TABLE public.logins(name text, secret text);"
                   "INSERT INTO evil.logins VALUES ('open', 'stolen');"
                   "INSERT INTO public.logins VALUES ('open', 'right')")
    cluster.wait_replayed()
    try:
        weir = start_weir(merged(LOOK_UP, {
            "auth": {"query": "SELECT name, secret FROM logins WHERE name = $1"},
            "users": {"open": None}}))
        for options in ({"search_path": "evil"}, {"options": "-c search_path=evil"}):
            assert login_fails(weir, "open", "stolen", **options).code == "28P01"
            weir.connect("open", "right", **options).terminate()
    finally:
        cluster.sql(0, "DROP SCHEMA evil CASCADE; DROP TABLE public.logins")


def test_auth_query_with_a_hostile_user_name(start_weir):
    weir = start_weir(LOOK_UP)
    for name in ("x' OR '1'='1", 'a"b', "a\\", "%s", "$1", "x" * 63):
        assert login_fails(weir, name).code == "28P01"
