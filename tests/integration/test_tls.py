"""TLS towards clients and towards servers, by libpq's names of modes."""
import socket
import ssl
import struct

import psycopg
import pytest

from support import wire
from support.cluster import wait_until
from support.wire import SSL_REQUEST, Wire, tls_context


@pytest.fixture
def files(cluster):
    tls = cluster.dir / "tls"
    return {"cert_file": str(tls / "server.crt"), "key_file": str(tls / "server.key"),
            "ca_file": str(tls / "ca.crt")}


def client_tls(files, mode):
    offered = dict(files) if mode.startswith("verify") else {k: files[k] for k in
                                                              ("cert_file", "key_file")}
    return {"tls": {"client": {"mode": mode, **offered}}}


def test_disabled_means_no(weir):
    with Wire(weir.host, weir.port) as client:
        assert client.request(SSL_REQUEST) == "N"


@pytest.mark.parametrize("mode", ["allow", "prefer"])
def test_offered_not_demanded(start_weir, cluster, files, mode):
    weir = start_weir(client_tls(files, mode))
    with weir.connect() as plain, weir.connect(tls=tls_context(files["ca_file"])) as encrypted:
        assert plain.value("SELECT 1") == encrypted.value("SELECT 1") == "1"
        assert encrypted.socket.version() in ("TLSv1.2", "TLSv1.3")


def test_required(start_weir, files):
    weir = start_weir(client_tls(files, "require"), ready=False)
    context = tls_context(files["ca_file"])
    wait_until(lambda: not socket.socket().connect_ex((weir.host, weir.port)), "listening")
    with weir.connect(tls=context) as client:
        assert client.value("SELECT 1") == "1"
    with pytest.raises(wire.ServerError) as failed:
        weir.connect()
    assert (failed.value.fields["S"], failed.value.code) == ("FATAL", "28000")


def test_clients_certificate(start_weir, cluster, files):
    weir = start_weir(client_tls(files, "verify-ca"), ready=False)
    wait_until(lambda: not socket.socket().connect_ex((weir.host, weir.port)), "listening")
    good = tls_context(files["ca_file"])
    good.load_cert_chain(files["cert_file"], files["key_file"])
    with weir.connect(tls=good) as client:
        assert client.value("SELECT 1") == "1"
    stranger = tls_context(files["ca_file"])
    stranger.load_cert_chain(cluster.dir / "tls" / "stranger.crt",
                             cluster.dir / "tls" / "stranger.key")
    for refused in (tls_context(files["ca_file"]), stranger):
        with pytest.raises((ssl.SSLError, wire.Closed, OSError, wire.ServerError)):
            weir.connect(tls=refused)


@pytest.mark.parametrize("sslmode, works", [
    ("disable", True), ("prefer", True), ("require", True), ("verify-ca", True),
    ("verify-full", True)])
def test_libpq_modes(start_weir, files, sslmode, works):
    weir = start_weir(client_tls(files, "prefer"))
    more = {"sslrootcert": files["ca_file"]} if sslmode.startswith("verify") else {}
    with psycopg.connect(weir.conninfo(sslmode=sslmode, **more)) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert connection.pgconn.ssl_in_use == (sslmode != "disable")


def test_direct_tls(start_weir, files):
    """PostgreSQL 17's way: a ClientHello at once, ALPN "postgresql"."""
    weir = start_weir(client_tls(files, "prefer"))
    with Wire(weir.host, weir.port) as client:
        client.start_tls(tls_context(files["ca_file"], alpn=True))
        assert client.socket.selected_alpn_protocol() == "postgresql"
        client.startup("app", "app")
        assert client.authenticate("app", "app").value("SELECT 1") == "1"


def test_direct_tls_needs_alpn(start_weir, files):
    weir = start_weir(client_tls(files, "prefer"))
    with pytest.raises((ssl.SSLError, wire.Closed, OSError)):
        with Wire(weir.host, weir.port) as client:
            client.start_tls(tls_context(files["ca_file"]))
            client.startup("app", "app")
            client.authenticate("app", "app")


def test_cleartext_password_over_tls(start_weir, files):
    weir = start_weir({**client_tls(files, "prefer"), "auth": {"method": "password"}}, ready=False)
    wait_until(lambda: not socket.socket().connect_ex((weir.host, weir.port)), "listening")
    with weir.connect(tls=tls_context(files["ca_file"])) as client:
        assert client.value("SELECT 1") == "1"


def test_plain_bytes_behind_the_request_are_not_believed(start_weir, files):
    """CVE-2021-23222: bytes that came before the handshake must not count as encrypted."""
    weir = start_weir(client_tls(files, "prefer"))
    with Wire(weir.host, weir.port) as client:
        body = struct.pack("!I", wire.PROTOCOL_3_0) + b"user\0app\0database\0app\0\0"
        client.send(struct.pack("!ii", 8, SSL_REQUEST) + struct.pack("!i", len(body) + 4) + body)
        got = b""
        try:
            while more := client.socket.recv(4096):
                got += more
        except OSError:
            pass
        assert b"SCRAM" not in got


def test_large_transfer_over_tls(start_weir, files):
    weir = start_weir(client_tls(files, "prefer"))
    with weir.connect(tls=tls_context(files["ca_file"])) as client:
        text = "y" * 3_000_000
        assert client.extended("SELECT $1::text || 'z'", [text]) == [[text + "z"]]
        assert len(client.query("SELECT repeat('x', 1000) FROM generate_series(1, 10000)")) == 10000


def test_handshake_that_stops(start_weir, files):
    weir = start_weir({**client_tls(files, "prefer"), "timeouts": {"login": "500ms"}})
    with Wire(weir.host, weir.port) as client:
        assert client.request(SSL_REQUEST) == "S"
        client.send(b"\x16\x03\x01\x02\x00\x01")
        client.expect_closed()


# --- towards servers ------------------------------------------------------------------------------


def server_tls(mode, ca=None):
    table = {"mode": mode, **({"ca_file": str(ca)} if ca else {})}
    return {"tls": {"server": table}, "timeouts": {"query_wait": "3s", "connect": "2s"}}


def is_encrypted(client):
    return client.value("/* weir: primary */ SELECT ssl FROM pg_stat_ssl "
                        "WHERE pid = pg_backend_pid()") == "t"


@pytest.mark.parametrize("mode, encrypted", [("disable", False), ("allow", False),
                                             ("prefer", True), ("require", True)])
def test_modes_towards_servers(start_weir, mode, encrypted):
    weir = start_weir(server_tls(mode))
    with weir.connect() as client:
        assert is_encrypted(client) == encrypted


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_verified_servers(start_weir, cluster, files, mode):
    weir = start_weir(server_tls(mode, files["ca_file"]))
    with weir.connect() as client:
        assert is_encrypted(client)


def test_a_strangers_certificate_is_refused(start_weir, cluster):
    weir = start_weir(server_tls("verify-ca", cluster.dir / "tls" / "stranger.crt"), ready=False)
    wait_until(lambda: not socket.socket().connect_ex((weir.host, weir.port)), "listening")
    with pytest.raises(wire.ServerError):
        with weir.connect() as client:
            client.query("SELECT 1")


@pytest.mark.parametrize("user, mode, works", [
    ("tls", "require", True), ("tls", "prefer", True), ("tls", "allow", True),
    ("tls", "disable", False), ("notls", "disable", True), ("notls", "allow", True),
    ("notls", "prefer", True), ("notls", "require", False)])
def test_server_that_wants_tls_or_not(start_weir, user, mode, works):
    """pg_hba.conf lets user tls in over TLS only, and notls only without."""
    weir = start_weir(server_tls(mode))
    if works:
        with weir.connect(user) as client:
            assert client.value("SELECT current_user") == user
            assert is_encrypted(client) == (user == "tls")
    else:
        with pytest.raises(wire.ServerError):
            with weir.connect(user) as client:
                client.query("SELECT 1")


def test_renewed_files_of_a_cluster_that_did_not_change(start_weir, cluster, files, tmp_path):
    """Whom to trust is read again by a reload: new connections go by it, open ones live on."""
    ca = tmp_path / "ca.crt"
    ca.write_bytes((cluster.dir / "tls" / "ca.crt").read_bytes())
    weir = start_weir(server_tls("verify-ca", ca))
    with weir.connect() as client, weir.console() as console:
        client.query("BEGIN")
        before = client.value("SELECT pg_backend_pid()")
        ca.write_bytes((cluster.dir / "tls" / "stranger.crt").read_bytes())
        console.query("RELOAD")
        console.query("RECONNECT")
        assert client.value("SELECT pg_backend_pid()") == before
        with pytest.raises(wire.ServerError), weir.connect() as other:
            other.query("/* weir: primary */ SELECT 1")
        client.query("COMMIT")
        ca.write_bytes((cluster.dir / "tls" / "ca.crt").read_bytes())
        console.query("RELOAD")
        assert is_encrypted(client)


def test_broken_files_refuse_the_reload(start_weir, cluster, files, tmp_path):
    ca = tmp_path / "ca.crt"
    ca.write_bytes((cluster.dir / "tls" / "ca.crt").read_bytes())
    weir = start_weir(server_tls("verify-ca", ca))
    ca.write_text("nonsense")
    weir.write_config({"pool": {"size": 3}})
    with weir.console() as console:
        with pytest.raises(wire.ServerError) as failed:
            console.query("RELOAD")
        assert f"{weir.config_file}: clusters.main.tls.ca_file: " in str(failed.value.fields)
        assert str(ca) in str(failed.value.fields)
        assert [row["pool_size"] for row in weir.show("DATABASES")
                if row["name"] == "app"] != ["3"]
        console.query("RECONNECT")
    with weir.connect() as client:
        assert is_encrypted(client)
