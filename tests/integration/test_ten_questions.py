"""docs/operations.md: each statement there runs, and its answer names what is the matter."""
import pathlib
import re
import threading

import pytest

from support import SLOW
from support.cluster import wait_until

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "operations.md"
QUESTIONS = {int(number): re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
             for number, text in re.findall(r"^## (\d+)\.(.*?)(?=^## |\Z)", PAGE.read_text(),
                                            re.DOTALL | re.MULTILINE)}


@pytest.fixture
def weir(start_weir):
    return start_weir({"pool": {"size": 1}}, workers=1)


@pytest.fixture
def ask(weir):
    return lambda number, which=0: weir.on_console(QUESTIONS[number][which])


def found(ask, number, which=0, **wanted):
    """Some row of the answer says all of that, at last."""
    rows = []

    def said():
        rows[:] = ask(number, which)
        return any(all(value(row[key]) if callable(value) else row[key] == value
                       for key, value in wanted.items()) for row in rows)
    wait_until(said, lambda: f"{wanted} of {rows}", 10 * SLOW)


def test_all_of_them(ask):
    assert sorted(QUESTIONS) == list(range(1, 11))
    for number, statements in QUESTIONS.items():
        assert statements, number
        for which in range(len(statements)):
            ask(number, which)


def test_who_waits_and_for_whom(weir, ask):
    with weir.connect(application_name="greedy") as greedy, weir.connect() as patient:
        greedy.query("BEGIN")
        greedy.query("SELECT 1")
        waiting = threading.Thread(target=lambda: patient.query("/* weir: primary */ SELECT 1"))
        waiting.start()
        try:
            found(ask, 4, database="app", user="app", clients="1",
                  waits_for="a server connection that comes free")
            found(ask, 10, database="app", active="1", waiting="1", pool_size="1")
            found(ask, 5, application_name="greedy")
        finally:
            greedy.query("ROLLBACK")
            waiting.join()
        found(ask, 2, database="app", waiting_percent=lambda percent: float(percent) > 50)


def test_which_statement_takes_the_time(weir, ask):
    with weir.connect() as client:
        for _ in range(3):
            client.query("SELECT 1")
        client.query("SELECT pg_sleep(0.5)")
    first = ask(3)[0]
    assert first["statement"] == "select pg_sleep ( $ )" and float(first["mean_ms"]) >= 500
    with weir.connect() as client:
        client.query("SELECT txid_current()")
    found(ask, 7, statement="select txid_current ( )", route="primary")


def test_what_has_changed(weir, ask):
    host = ask(6)[0]["host"]
    weir.on_console(f'BAN "{host}"')
    found(ask, 1, host=host, reads="f", why=lambda why: "banned" in why)
    found(ask, 8, kind="order", what=lambda what: "ban" in what.lower())


def test_who_pins(weir, ask):
    with weir.connect(application_name="hoarder") as client:
        client.query("CREATE TEMP TABLE kept (a int)")
        found(ask, 9, application_name="hoarder", reason="temporary object", sessions="1")
