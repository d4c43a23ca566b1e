"""The first bytes: startup parameters, negotiation, and what is refused before a login."""
import socket
import struct
import time

import psycopg
import pytest

from support import SLOW, wire
from support.weir import Direct
from support.wire import GSS_REQUEST, SSL_REQUEST, Wire


def refused(target, send):
    """Fields of the FATAL error that ends a connection on which `send` was called."""
    with Wire(target.host, target.port) as client:
        send(client)
        errors = [got.fields() for got in client.expect_closed() if got.type == "E"]
        assert len(errors) == 1
        assert errors[0]["S"] == "FATAL"
        return errors[0]


def login(target, version=wire.PROTOCOL_3_0, **parameters):
    client = Wire(target.host, target.port)
    client.startup("app", "app", version=version, **parameters)
    return client.authenticate("app", "app")


def test_what_a_client_is_told(target):
    with target.connect() as client:
        for name in ("server_version", "server_encoding", "client_encoding", "DateStyle",
                     "TimeZone", "integer_datetimes", "IntervalStyle", "is_superuser",
                     "session_authorization", "standard_conforming_strings", "application_name"):
            assert name in client.parameters, name
        assert client.parameters["server_version"].startswith("15.")
        assert client.parameters["session_authorization"] == "app"
        assert client.parameters["is_superuser"] == "off"
        assert client.pid and len(client.secret) == 4
        assert client.status == "I"


@pytest.mark.parametrize("wanted", ["read-write", "primary", "any", "prefer-standby"])
def test_target_session_attrs(target, wanted):
    """A session can write, whichever server its log-in was carried out on."""
    for _ in range(4):
        with psycopg.connect(target.conninfo(target_session_attrs=wanted)) as driver:
            assert driver.info.parameter_status("in_hot_standby") == "off"
    for refused_by_primaries in ("standby", "read-only"):
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(target.conninfo(target_session_attrs=refused_by_primaries))


@pytest.mark.parametrize("name, value, shown", [
    ("application_name", "my app", "my app"),
    ("search_path", "one, two", "one, two"),
    ("work_mem", "7MB", "7MB"),
    ("extra_float_digits", "-3", "-3"),
    ("DateStyle", "German", "German, DMY"),
    ("timezone", "Asia/Tokyo", "Asia/Tokyo"),
    ("statement_timeout", "12345", "12345ms"),
    ("geqo", "off", "off"),
    ("my.setting", "mine", "mine"),
])
def test_startup_parameters_take_effect(target, name, value, shown):
    with target.connect(**{name: value}) as client, target.connect() as other:
        for _ in range(3):
            assert client.value(f"/* weir: primary */ SELECT current_setting('{name}')") == shown
            assert other.query("SELECT 1") == [["1"]]


def test_parameter_status_shows_startup_parameters(target):
    with target.connect(DateStyle="German", client_encoding="LATIN1", TimeZone="Asia/Tokyo",
                        application_name="me") as client:
        told = client.parameters
        assert told["DateStyle"] == "German, DMY"
        assert told["client_encoding"] == "LATIN1"
        assert told["TimeZone"] == "Asia/Tokyo"
        assert told["application_name"] == "me"


def test_options(target):
    options = r"-c work_mem=7MB --application-name=a\ b -cgeqo=off"
    with target.connect(options=options) as client:
        for name, shown in (("work_mem", "7MB"), ("application_name", "a b"),
                            ("geqo", "off")):
            assert client.value(f"/* weir: primary */ SELECT current_setting('{name}')") == shown


def test_database_defaults_to_the_user(target):
    with Wire(target.host, target.port) as client:
        client.startup("app")
        client.authenticate("app", "app")
        assert client.value("SELECT current_database()") == "app"


@pytest.mark.parametrize("name, value, code, words", [
    ("nonesuch", "1", "42704", 'unrecognized configuration parameter "nonesuch"'),
    ("work_mem", "lots", "22023", 'invalid value for parameter "work_mem": "lots"'),
    ("fsync", "on", "55P02", 'parameter "fsync" cannot be changed now'),
])
def test_bad_startup_parameters(target, name, value, code, words):
    with pytest.raises(wire.ServerError) as failed:
        target.connect(**{name: value}).query("SELECT 1")
    assert (failed.value.fields["S"], failed.value.code) == ("FATAL", code)
    assert failed.value.message == words


def test_unknown_database(target):
    with pytest.raises(wire.ServerError) as failed:
        target.connect(database="nonesuch")
    assert (failed.value.fields["S"], failed.value.code) == ("FATAL", "3D000")
    assert failed.value.message == 'database "nonesuch" does not exist'


# --- versions -----------------------------------------------------------------------------------


def test_newer_minor_version_is_negotiated(target):
    with login(target, version=(3 << 16) | 9999) as client:
        direct = isinstance(target, Direct)  # PostgreSQL 15 speaks no newer one
        assert client.negotiated == (wire.PROTOCOL_3_0 if direct else wire.PROTOCOL_3_2)
        assert client.value("SELECT 1") == "1"


def test_unknown_protocol_options_are_named(target):
    with Wire(target.host, target.port) as client:
        client.startup("app", "app", **{"_pq_.nonesuch": "1", "_pq_.other": "2"})
        first = client.read()
        while first.type != "v":
            assert first.type == "R"
            client._answer("app", "app", first.body)
            first = client.read()
        minor, count = struct.unpack_from("!II", first.body)
        assert minor == wire.PROTOCOL_3_0
        assert (count, first.body[8:]) == (2, b"_pq_.nonesuch\0_pq_.other\0")


def test_protocol_3_2_has_long_cancel_keys(weir):
    with login(weir, version=wire.PROTOCOL_3_2) as client:
        assert client.negotiated is None
        assert 4 < len(client.secret) <= 256
        assert client.value("SELECT 1") == "1"


@pytest.mark.parametrize("major, minor", [(4, 0), (0, 0)])
def test_other_major_versions_are_refused(target, major, minor):
    error = refused(target, lambda client: client.startup("app", version=(major << 16) | minor))
    assert error["C"] == "0A000"
    assert error["M"].startswith(f"unsupported frontend protocol {major}.{minor}: server supports")


def test_version_2_is_refused(target):
    """In the words of that version, which has no fields: all that counts is that it ends."""
    with Wire(target.host, target.port) as client:
        client.startup("app", version=2 << 16)
        assert b"unsupported frontend protocol 2.0" in client.socket.recv(4096)


# --- requests before the startup packet -----------------------------------------------------------


def test_gss_encryption_is_declined(weir):
    with Wire(weir.host, weir.port) as client:
        assert client.request(GSS_REQUEST) == "N"
        client.startup("app", "app")
        assert client.authenticate("app", "app").value("SELECT 1") == "1"


def test_gss_then_tls_then_plain(weir):
    with Wire(weir.host, weir.port) as client:
        assert client.request(GSS_REQUEST) == "N"
        assert client.request(SSL_REQUEST) == "N"
        client.startup("app", "app")
        assert client.authenticate("app", "app").value("SELECT 1") == "1"


def test_no_user(target):
    def send(client):
        body = struct.pack("!I", wire.PROTOCOL_3_0) + b"database\0app\0\0"
        client.send(struct.pack("!i", len(body) + 4) + body)

    error = refused(target, send)
    assert error["C"] == "28000"
    assert error["M"] == "no PostgreSQL user name specified in startup packet"


def test_no_terminator(target):
    def send(client):
        body = struct.pack("!I", wire.PROTOCOL_3_0) + b"user\0app\0"
        client.send(struct.pack("!i", len(body) + 4) + body)

    assert refused(target, send)["M"] == \
        "invalid startup packet layout: expected terminator as last byte"


@pytest.mark.parametrize("first", [
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", struct.pack("!i", 0), struct.pack("!i", 7) + b"\0\3\0",
    struct.pack("!i", -1), struct.pack("!i", 1 << 30) + b"x" * 64, b"\xff" * 200,
], ids=["http", "zero", "short", "negative", "huge", "ones"])
def test_garbage_is_closed_at_once(target, first):
    with Wire(target.host, target.port) as client:
        client.send(first)
        begun = time.monotonic()
        client.expect_closed()
        assert time.monotonic() - begun < 2 * SLOW
    with target.connect() as client:
        assert client.value("SELECT 1") == "1"


def test_bytes_one_at_a_time(target):
    with Wire(target.host, target.port) as client:
        body = struct.pack("!I", wire.PROTOCOL_3_0) + b"user\0app\0database\0app\0\0"
        for byte in struct.pack("!i", len(body) + 4) + body:
            client.send(bytes([byte]))
        assert client.authenticate("app", "app").value("SELECT 1") == "1"


def test_leaving_during_the_login(target):
    for stage in range(4):
        client = Wire(target.host, target.port)
        if stage > 0:
            client.send(b"\0\0")
        if stage > 1:
            client.drop()
            client = Wire(target.host, target.port)
            client.startup("app", "app")
        if stage > 2:
            client.read()
        client.drop()
    with target.connect() as client:
        assert client.value("SELECT 1") == "1"


def test_slow_login_is_ended(start_weir):
    weir = start_weir({"timeouts": {"login": "500ms"}})
    for silent in (b"", b"\0\0\0"):
        with socket.create_connection((weir.host, weir.port), timeout=20) as client:
            if silent:
                client.sendall(silent)
            begun = time.monotonic()
            while client.recv(4096):
                pass
            assert 0.3 < time.monotonic() - begun < 3 * SLOW


def test_query_before_the_login_is_refused(target):
    with Wire(target.host, target.port) as client:
        client.startup("app", "app")
        client.read()
        client.send(wire.query("SELECT 1"))
        errors = [got.fields() for got in client.expect_closed() if got.type == "E"]
        assert all(error["S"] == "FATAL" for error in errors)
