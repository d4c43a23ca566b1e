"""SQL made to break a parser: answered as PostgreSQL answers, without harm to anybody else."""
import threading

import pytest

from support import SLOW, wire
from support.load import Neighbour

pytestmark = pytest.mark.alone

MB = 1 << 20
STATEMENTS = {
    "100,000 terms": lambda: "SELECT 1" + "+1" * 100_000,
    "100,000 parentheses": lambda: "SELECT " + "(" * 100_000 + "1" + ")" * 100_000,
    "100,000 open parentheses": lambda: "SELECT " + "(" * 100_000,
    "1,000,000 in a list": lambda: "SELECT 1 WHERE 1 IN (" + ",".join(map(str, range(1_000_000)))
                                   + ")",
    "200 MB of literals": lambda: "SELECT length('" + "'), length('".join(["x" * MB] * 200) + "')",
    "50,000 statements": lambda: ";".join(["SELECT 1"] * 50_000),
    "30,000 nested selects": lambda: "SELECT * FROM (" * 30_000 + "SELECT 1" + ") x" * 30_000,
    "50,000 nested cases": lambda: "SELECT " + "CASE WHEN true THEN " * 50_000 + "1"
                                   + " END" * 50_000,
    "100,000 NOTs": lambda: "SELECT " + "NOT " * 100_000 + "true",
    "100,000 array brackets": lambda: "SELECT " + "ARRAY[" * 100_000 + "1" + "]" * 100_000,
    "100,000 unions": lambda: "SELECT 1" + " UNION ALL SELECT 1" * 100_000,
    "unclosed literal": lambda: "SELECT '" + "x" * MB,
    "unclosed dollar quote": lambda: "SELECT $tag$" + "x" * MB,
    "nested comments": lambda: "/*" * 10_000 + "*/" * 10_000 + " SELECT 1",
    "unclosed comment": lambda: "SELECT 1 /*" + "/*" * 10_000,
    "a long identifier": lambda: 'SELECT 1 AS "' + "n" * MB + '"',
    "10 MB of spaces": lambda: "SELECT" + " " * (10 * MB) + "1",
    "binary": lambda: "SELECT '\x01\x7f' \x0b \x0c",
    "only semicolons": lambda: ";" * 1_000_000,
}


def answer(client, sql, extended=False):
    """What a client would see: rows (in short), or the error's code and message."""
    try:
        rows = client.extended(sql) if extended else client.query(sql)
        return len(rows), str(rows)[:200]
    except wire.ServerError as failed:
        return failed.code, failed.message[:200]


EXTENDED = ("100,000 terms", "100,000 parentheses", "1,000,000 in a list", "200 MB of literals",
            "unclosed literal", "10 MB of spaces")


@pytest.mark.parametrize("name, extended", [(name, False) for name in STATEMENTS] +
                         [(name, True) for name in EXTENDED])
def test_answered_as_postgresql_does(target, cluster, name, extended):
    sql = STATEMENTS[name]()
    with cluster.connect(0, "app", "app") as direct:
        wanted = answer(direct, sql, extended)
    with target.connect() as client:
        client.socket.settimeout(60 * SLOW)
        beside = Neighbour("127.0.0.1", cluster.ports[0])
        through = Neighbour(target.host, target.port)
        try:
            assert answer(client, sql, extended) == wanted
            assert client.value("SELECT 1") == "1"
        finally:
            (unavoidable, _), (waited, count) = beside.stop(), through.stop()
    # PostgreSQL's own backends share the processors: what they lose there is not the proxy's.
    assert count > 0
    assert waited < 0.05 * SLOW + unavoidable, f"a neighbour waited {waited:.3f} s"


def test_memory_stays_bounded(start_weir):
    """Many different large texts: no cache keeps them all."""
    weir = start_weir()
    with weir.connect() as client:
        client.query("SELECT 1")
        before = weir.memory_kib()
        for n in range(150):
            client.query(f"SELECT length('{n}{'x' * MB}')")
        for n in range(3000):
            client.query(f"SELECT {n} AS c{n}, '{'y' * 2000}' AS d{n}")
        assert weir.memory_kib() - before < 64_000 * (1 if SLOW == 1 else 4)


def test_four_attackers_at_once(target):
    """Several clients send the worst of it at the same time, again and again."""
    texts = [STATEMENTS[name]() for name in ("100,000 terms", "100,000 parentheses",
                                             "100,000 unions", "unclosed comment")]
    failures = []

    def attack(sql):
        try:
            with target.connect() as client:
                for _ in range(3):
                    answer(client, sql)
        except Exception as failed:  # noqa: whatever it is, it is a failure of this test
            failures.append(failed)

    threads = [threading.Thread(target=attack, args=(sql,)) for sql in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with target.connect() as client:
        assert client.value("SELECT 1") == "1"
