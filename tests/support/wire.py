"""A PostgreSQL client that shows every message: for tests of the wire protocol itself.

Nothing is hidden or repaired, so that a test can send what no driver would.
Format: https://www.postgresql.org/docs/15/protocol-message-formats.html
"""
import base64
import functools
import hashlib
import hmac
import os
import socket
import ssl
import struct
from typing import NamedTuple

PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = (3 << 16) | 2
SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80877103, 80877104, 80877102
TIMEOUT_S = float(os.environ.get("WEIR_TEST_TIMEOUT", "20"))


class Message(NamedTuple):
    type: str
    body: bytes

    def fields(self):
        """The fields of an ErrorResponse or NoticeResponse by their letter."""
        return {part[:1].decode(): part[1:].decode()
                for part in self.body.rstrip(b"\0").split(b"\0") if part}

    def values(self):
        """The columns of a DataRow as text; None for NULL."""
        (count,), at, row = struct.unpack_from("!H", self.body), 2, []
        for _ in range(count):
            (length,) = struct.unpack_from("!i", self.body, at)
            at += 4
            row.append(None if length < 0 else self.body[at:at + length].decode())
            at += max(length, 0)
        return row

    def columns(self):
        """The (name, type OID) pairs of a RowDescription."""
        (count,), at, found = struct.unpack_from("!H", self.body), 2, []
        for _ in range(count):
            end = self.body.index(b"\0", at)
            found.append((self.body[at:end].decode(),
                          struct.unpack_from("!I", self.body, end + 7)[0]))
            at = end + 19
        return found

    def text(self):
        return self.body.rstrip(b"\0").decode()


class ServerError(Exception):
    """An ErrorResponse; `fields` by letter, `code` the SQLSTATE."""

    def __init__(self, fields):
        super().__init__(f"{fields.get('S')} {fields.get('C')}: {fields.get('M')}")
        self.fields, self.code, self.message = fields, fields.get("C"), fields.get("M")


class Closed(Exception):
    """The peer closed the connection."""


def message(kind, body=b""):
    return kind.encode() + struct.pack("!i", len(body) + 4) + body


def cstring(text):
    return (text.encode() if isinstance(text, str) else text) + b"\0"


def parse(name, sql, types=()):
    return message("P", cstring(name) + cstring(sql) +
                   struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(portal, statement, values=()):
    body = cstring(portal) + cstring(statement) + struct.pack("!HH", 0, len(values))
    for value in values:
        data = None if value is None else str(value).encode()
        body += struct.pack("!i", -1) if data is None else struct.pack("!i", len(data)) + data
    return message("B", body + struct.pack("!H", 0))


def describe(kind, name=""):
    return message("D", kind.encode() + cstring(name))


def execute(portal="", rows=0):
    return message("E", cstring(portal) + struct.pack("!i", rows))


def close(kind, name=""):
    return message("C", kind.encode() + cstring(name))


def query(sql):
    return message("Q", cstring(sql))


def call(function, *values, formats=(0,), result=0):
    """A FunctionCall by object id; values are bytes or None."""
    body = struct.pack(f"!IH{len(formats)}HH", function, len(formats), *formats, len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message("F", body + struct.pack("!H", result))


SYNC, FLUSH, TERMINATE = message("S"), message("H"), message("X")
COPY_DONE = message("c")


def copy_data(data):
    return message("d", data)


def copy_fail(why):
    return message("f", cstring(why))


@functools.lru_cache
def scram_keys(password, salt, rounds):
    """ClientKey and ServerKey. They take milliseconds, which thousands of clients spend once."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), base64.b64decode(salt), rounds)
    return tuple(hmac.digest(salted, name, "sha256") for name in (b"Client Key", b"Server Key"))


class Wire:
    """One connection, opened by `connect`; or by hand: Wire, then startup, then authenticate."""

    def __init__(self, host, port, timeout=TIMEOUT_S):
        if host.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(timeout)
            self.socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self.socket = socket.create_connection((host, port), timeout=timeout)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = bytearray()
        self.parameters, self.notices, self.notifications = {}, [], []
        self.notifiers = []  # the pid of each notification's sender
        self.pid = self.secret = self.status = self.negotiated = self.mechanisms = None
        self.scram_salt = self.scram_rounds = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.drop()

    def drop(self):
        """Closes the socket without a Terminate."""
        self.socket.close()

    def terminate(self):
        self.send(TERMINATE)
        self.socket.close()

    # --- bytes --------------------------------------------------------------------------------

    def send(self, *parts):
        self.socket.sendall(b"".join(parts))

    def receive_exactly(self, count):
        while len(self.received) < count:
            try:
                data = self.socket.recv(1 << 16)
            except ConnectionResetError as reset:
                raise Closed from reset
            if not data:
                raise Closed(f"with {len(self.received)} bytes of a message")
            self.received += data
        data = bytes(self.received[:count])
        del self.received[:count]
        return data

    def read(self):
        """The next message, whatever it is."""
        kind, length = struct.unpack("!ci", self.receive_exactly(5))
        return Message(kind.decode("latin-1"), self.receive_exactly(length - 4))

    def read_noting(self):
        """The next message; ParameterStatus, notices and notifications are kept on the side."""
        while True:
            got = self.read()
            if got.type == "S":
                name, value = got.body.split(b"\0")[:2]
                self.parameters[name.decode()] = value.decode()
            elif got.type == "N":
                self.notices.append(got.fields())
            elif got.type == "A":
                self.notifications.append(got.body[4:].rstrip(b"\0").split(b"\0"))
                self.notifiers.append(struct.unpack("!I", got.body[:4])[0])
            else:
                return got

    def read_until_ready(self):
        """All messages up to and with ReadyForQuery."""
        found = []
        while True:
            found.append(self.read_noting())
            if found[-1].type == "Z":
                self.status = found[-1].body.decode()
                return found

    def expect_closed(self):
        """Reads to the end of the stream and returns the messages before it."""
        found = []
        try:
            while True:
                found.append(self.read())
        except Closed:
            return found

    # --- start-up -----------------------------------------------------------------------------

    def startup(self, user, database=None, version=PROTOCOL_3_0, **parameters):
        pairs = {"user": user, **({"database": database} if database else {}), **parameters}
        body = struct.pack("!I", version)
        body += b"".join(cstring(name) + cstring(value) for name, value in pairs.items()) + b"\0"
        self.send(struct.pack("!i", len(body) + 4) + body)

    def request(self, code):
        """Sends an SSLRequest or GSSENCRequest and returns the answer's one byte."""
        self.send(struct.pack("!ii", 8, code))
        return self.receive_exactly(1).decode()

    def start_tls(self, context, server_name="localhost"):
        self.socket = context.wrap_socket(self.socket, server_hostname=server_name)

    def authenticate(self, user, password=None):
        """Answers whatever is asked, up to ReadyForQuery. Raises ServerError."""
        while True:
            got = self.read_noting()
            if got.type == "E":
                raise ServerError(got.fields())
            if got.type == "R":
                self._answer(user, password or "", got.body)
            elif got.type == "K":
                self.pid, self.secret = struct.unpack("!I", got.body[:4])[0], got.body[4:]
            elif got.type == "v":
                self.negotiated = struct.unpack_from("!I", got.body)[0]
            elif got.type == "Z":
                self.status = got.body.decode()
                return self

    def _answer(self, user, password, body):
        (kind,) = struct.unpack_from("!I", body)
        if kind == 3:
            self.send(message("p", cstring(password)))
        elif kind == 5:
            inner = hashlib.md5((password + user).encode()).hexdigest().encode()
            self.send(message("p", cstring("md5" + hashlib.md5(inner + body[4:]).hexdigest())))
        elif kind == 10:
            self.mechanisms = [name.decode() for name in body[4:].split(b"\0") if name]
            self._nonce = base64.b64encode(os.urandom(18)).decode()
            first = f"n,,n=,r={self._nonce}".encode()
            sized = struct.pack("!i", len(first)) + first
            self.send(message("p", cstring("SCRAM-SHA-256") + sized))
        elif kind == 11:
            self.send(message("p", self._scram_proof(password, body[4:].decode())))
        elif kind == 12:
            assert body[4:].decode() == "v=" + self._signature, "the peer knows no password"
        else:
            assert kind == 0, f"authentication {kind}"

    def _scram_proof(self, password, challenge):
        given = dict(part.split("=", 1) for part in challenge.split(","))
        self.scram_salt, self.scram_rounds = given["s"], given["i"]
        assert given["r"].startswith(self._nonce) and len(given["r"]) > len(self._nonce)
        client_key, server_key = scram_keys(password, given["s"], int(given["i"]))
        sign = lambda key, text: hmac.digest(key, text, "sha256")
        bare = f"c=biws,r={given['r']}"
        covered = f"n=,r={self._nonce},{challenge},{bare}".encode()
        signature = sign(hashlib.sha256(client_key).digest(), covered)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self._signature = base64.b64encode(sign(server_key, covered)).decode()
        return f"{bare},p={base64.b64encode(proof).decode()}".encode()

    # --- whole requests -----------------------------------------------------------------------

    def query(self, sql):
        """Runs a simple query; returns its rows (of all its statements), raises ServerError."""
        self.send(query(sql))
        return self.rows()

    def extended(self, sql, values=(), name=""):
        """Parse, Bind, Describe, Execute, Sync; returns the rows."""
        self.send(parse(name, sql), bind("", name, values), describe("P"), execute(), SYNC)
        return self.rows()

    def rows(self):
        got = self.read_until_ready()
        for part in got:
            if part.type == "E":
                raise ServerError(part.fields())
        return [part.values() for part in got if part.type == "D"]

    def value(self, sql):
        return self.query(sql)[0][0]


def connect(host, port, user, password=None, database=None, tls=None, **parameters):
    wire = Wire(host, port)
    try:
        if tls:
            assert wire.request(SSL_REQUEST) == "S"
            wire.start_tls(tls)
        wire.startup(user, database, **parameters)
        return wire.authenticate(user, password)
    except BaseException:
        wire.drop()
        raise


def cancel(host, port, pid, secret):
    """Sends a CancelRequest and waits until the peer closed."""
    with Wire(host, port) as wire:
        body = struct.pack("!II", CANCEL_REQUEST, pid) + secret
        wire.send(struct.pack("!i", len(body) + 4) + body)
        wire.expect_closed()


def tls_context(authority=None, alpn=False):
    context = ssl.create_default_context(cafile=authority)
    if not authority:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(["postgresql"])
    return context
