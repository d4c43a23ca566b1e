"""The page at / in a headless Chromium. Screenshots are in build/screenshots."""
import contextlib
import re
import threading
import time

import pytest

from support import ROOT, SLOW
from support.api import TOKEN, TOKENS, VIEW_TOKEN, table
from support.browser import Browser
from support.cluster import wait_until
from support.weir import merged

SCREENSHOTS = ROOT / "build" / "screenshots"
HOSTILE = "<img src=x onerror=alert(1)>&amp;\"'"
SIZES = {"light": (1440, 900, False), "dark": (1440, 900, True), "phone": (390, 844, False),
         "phone-dark": (390, 844, True)}


@pytest.fixture(scope="module")
def browser():
    with Browser() as started:
        yield started


@pytest.fixture
def weir(start_weir):
    return start_weir(merged(TOKENS, {"pool": {"size": 4}}))


@pytest.fixture
def load(weir):
    """Clients that read and write, one that pins, and one of a hostile name."""
    over = threading.Event()

    def work(number):
        with weir.connect(application_name=HOSTILE) as client:
            while not over.is_set():
                client.query("SELECT count(*) FROM pg_class WHERE relpages > 3")
                if number % 2:
                    client.query("/* weir: primary */ SELECT 1")
                time.sleep(0.01)
    working = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in working:
        thread.start()
    with weir.connect(application_name=HOSTILE) as pinned:
        pinned.query("CREATE TEMP TABLE mine (a int)")
        with contextlib.suppress(Exception):
            pinned.query(f'SELECT 1 AS "{HOSTILE.replace(chr(34), "")}"')
        yield
        over.set()
        for thread in working:
            thread.join()


def open_page(browser, weir, token=VIEW_TOKEN, size="light"):
    width, height, dark = SIZES[size]
    browser.open(f"http://127.0.0.1:{weir.http_port}/#token={token}", width, height, dark)
    wait_until(lambda: browser.texts("#live") == ["live"] and browser.texts(".host"),
               lambda: browser.texts("body"), 20 * SLOW, 0.05)


def shoot(browser, name):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    browser.tell("screenshot", path=str(SCREENSHOTS / f"{name}.png"))
    assert (SCREENSHOTS / f"{name}.png").stat().st_size > 20_000


def host_states(browser):
    return browser.evaluate("() => [...document.querySelectorAll('.host')].map((one) => "
                            "[one.dataset.host, one.classList.contains('bad') ? 'bad' : 'else'])")


def brightness(browser, selector="body"):
    colour = browser.evaluate(f"() => getComputedStyle(document.querySelector('{selector}'))"
                              ".backgroundColor")
    return sum(int(part) for part in re.findall(r"\d+", colour)[:3]) / 3


@pytest.mark.parametrize("size", SIZES)
def test_it_shows_everything(browser, weir, load, size):
    open_page(browser, weir, size=size)
    wait_until(lambda: len(browser.texts("#statements tbody tr")) >= 2, "statements", 15 * SLOW)
    time.sleep(3)
    shoot(browser, size)
    wait_until(lambda: browser.texts("#health") == ["all well"], "nobody waits", 10 * SLOW)
    assert (brightness(browser) < 60) == size.endswith("dark")
    wide = browser.evaluate("() => document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page scrolls sideways"
    # Each chart has drawn something: its canvas is not of one colour.
    drawn = browser.evaluate("""() => [...document.querySelectorAll('canvas')].map((canvas) => {
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        return new Set(new Uint32Array(data.buffer)).size; })""")
    assert len(drawn) == 6 and all(colours > 10 for colours in drawn), drawn
    assert browser.tell("complaints") == []


def test_values_match_the_console(browser, weir, load):
    open_page(browser, weir)
    hosts = weir.on_console("SELECT cluster || '/' || host AS id, role FROM hosts "
                            "ORDER BY role, host")
    shown = browser.evaluate(
        "() => [...document.querySelectorAll('.host')].map((one) => "
        "({id: one.dataset.host, role: one.querySelector('.role').textContent}))")
    assert shown == hosts
    wait_until(lambda: browser.texts("#pins tbody tr"), "pins", 10 * SLOW)
    pin, = weir.on_console("SELECT reason, statement FROM pins")
    assert browser.texts("#pins .statement .long") == [pin["statement"]]
    assert browser.texts("#pins .first")[0] == pin["reason"]
    assert browser.texts("#pins-reasons") == [f"{pin['reason']}: 1"]

    def tiles():
        return dict(zip(browser.texts(".tile .label"), browser.texts(".tile b"), strict=True))
    clients = weir.on_console("SELECT count(*) AS n FROM clients WHERE database <> 'weir'")[0]["n"]
    wait_until(lambda: tiles()["clients"] == clients, lambda: (tiles(), clients), 5 * SLOW)
    statement = weir.on_console("SELECT statement FROM statements ORDER BY calls DESC LIMIT 1")
    assert statement[0]["statement"] in browser.texts("#statements .long")
    # As many events as the console has, the latest first.
    faults = weir.on_console("SELECT subject, what FROM faults ORDER BY last_seen DESC")
    assert browser.texts("#faults b")[:3] == [row["subject"] for row in faults[:3]]


def test_rates_are_those_of_the_load(browser, weir, load):
    open_page(browser, weir)
    browser.tell("click", selector="[data-seconds='3600']")
    time.sleep(3)

    def queries():
        return sum(int(row["total_query_count"]) for row in weir.show("STATS")
                   if row["database"] == "app")
    before, began = queries(), time.monotonic()
    shown = []
    for _ in range(5):
        time.sleep(1)
        shown.append(float(browser.texts(".tile b")[0].replace(",", "")))
    rate = (queries() - before) / (time.monotonic() - began)
    assert 0.6 * rate < sum(shown) / len(shown) < 1.4 * rate
    assert browser.tell("complaints") == []


def test_what_clients_say_is_text(browser, weir, load):
    open_page(browser, weir)
    wait_until(lambda: browser.texts("#pins tbody tr"), "pins", 10 * SLOW)
    assert HOSTILE in browser.texts("#pins .first")
    weird = browser.evaluate("() => document.querySelectorAll('main img, main script').length")
    assert weird == 0
    assert browser.tell("complaints") == []


@pytest.mark.alone
def test_a_killed_replica_turns_red_within_two_seconds(browser, weir, load, cluster):
    open_page(browser, weir)
    assert [state for _, state in host_states(browser)] == ["else"] * 3
    with cluster.killed(1):
        began = time.monotonic()  # the kill itself is over
        name = f"main/127.0.0.1:{cluster.ports[1]}"
        wait_until(lambda: dict(host_states(browser))[name] == "bad", "red", 10)
        took = time.monotonic() - began
        assert took < 2 * SLOW, took
        wait_until(lambda: "down" in " ".join(browser.texts("#faults .what")), "event", 3 * SLOW)
        assert browser.texts("#health")[0].startswith("1 host not in use")
        shoot(browser, "killed-replica")
    wait_until(lambda: dict(host_states(browser))[name] == "else", "well again", 20 * SLOW)
    assert browser.tell("complaints") == []


POINTS = """async () => {
  const { Points, quantile } = await import('/charts.js');
  const { point, bounds_us: bounds } = await (await fetch('/api/v1/overview', {
    headers: { Authorization: 'Bearer ' + sessionStorage.getItem('weir-token') } })).json();
  const points = new Points();
  points.boundsUs = bounds;
  const at = (second, from = 0) => {
    const made = structuredClone(point);
    made.at_ms = (1e6 + second) * 1000;
    made.queries = (second - from) * 100;
    return made;
  };
  for (let second = 0; second < 9000; ++second) points.add(at(second));
  const answer = { rows: points.rows.length, rates: points.rows.slice(1).map(
    (row) => Math.round(row.change.queries)), age: points.rows.at(-1).at - points.rows[0].at };
  points.add(at(9100));        // after a gap
  answer.gap = points.latest().change;
  points.add(at(9101, 9100));  // of another process
  answer.other = points.latest().change;
  points.merge([at(9050)]);
  answer.merged = points.rows.at(-3).at / 1000 - 1e6;
  const counts = (values) => ({
    sum_us: 700, counts: bounds.map((_, i) => values[i] || 0).concat(0) });
  const zero = { ...counts([]), sum_us: 0 };
  answer.none = quantile(0.5, zero, zero, bounds);
  answer.first = quantile(0.99, zero, counts([10]), bounds);
  answer.median = quantile(0.5, zero, counts([0, 0, 4, 4]), bounds);
  answer.high = quantile(0.75, zero, counts([0, 0, 4, 4]), bounds);
  answer.beyond = quantile(0.9, zero, { sum_us: 1, counts: bounds.map(() => 0).concat(5) }, bounds);
  return answer;
}"""


def test_what_the_charts_make_of_points(browser, weir):
    """Rates, gaps, quantiles; an hour is kept, and no more points than can be drawn."""
    open_page(browser, weir)
    told = browser.evaluate(POINTS)
    assert 600 < told["rows"] < 800 and 3500_000 < told["age"] < 3700_000
    assert set(told["rates"]) == {100}
    assert told["gap"] is None and told["other"] is None
    assert told["merged"] == 9050
    assert told["none"] is None
    assert told["first"] == pytest.approx(0.07)  # the mean: 700 us of 10
    assert told["median"] == pytest.approx(0.5) and told["high"] == pytest.approx(0.75)
    assert told["beyond"] == 30_000


def test_the_token_is_asked_for(browser, weir):
    browser.open(f"http://127.0.0.1:{weir.http_port}/")
    wait_until(lambda: browser.evaluate("() => !document.getElementById('login').hidden"), "form",
               10 * SLOW)
    shoot(browser, "token")
    for token, well in (("wrong-0123456789abcdef", False), (VIEW_TOKEN, True)):
        browser.tell("fill", selector="#token", text=token)
        browser.tell("click", selector="#token-form button")
        if well:
            wait_until(lambda: browser.texts("#live") == ["live"], "live", 10 * SLOW)
        else:
            wait_until(lambda: "wrong token" in browser.texts("#login-message")[0], "told",
                       10 * SLOW)
    assert browser.evaluate("() => document.getElementById('commands').hidden")
    # 401 is a failed request to the browser: of these it complains, and of nothing else.
    assert all("401" in one for one in browser.tell("complaints"))
    address = browser.evaluate("() => location.href")
    assert "token" not in address


def test_it_says_that_the_api_is_closed(browser, start_weir):
    weir = start_weir()
    browser.open(f"http://127.0.0.1:{weir.http_port}/")
    wait_until(lambda: "admin.view_token" in browser.texts("#login-message")[0], "told", 10 * SLOW)


def test_orders(browser, weir):
    open_page(browser, weir, TOKEN)
    host = table(weir, "hosts")[1]
    card = f"[data-host=\"{host['cluster']}/{host['host']}\"]"

    def press(label, button):
        wait_until(lambda: browser.texts(f"{card} .orders button")[0] == label, label, 5 * SLOW)
        browser.tell("click", selector=f"{card} .orders button")
        browser.tell("click", selector=f"#confirm button[value={button}]")

    def banned():
        return table(weir, "hosts")[1]["banned"]
    press("Ban", "no")
    press("Ban", "yes")
    wait_until(banned, "banned", 5 * SLOW)
    wait_until(lambda: browser.texts(f"{card} .state") == ["banned"], "shown", 3 * SLOW)
    assert "by admin.token" in browser.texts(f"{card} .why")[0]
    shoot(browser, "orders")
    press("Unban", "yes")
    wait_until(lambda: not banned(), "unbanned", 5 * SLOW)
    browser.tell("fill", selector="#command", text="PAUSE nonesuch")
    browser.tell("click", selector="#command-form button")
    browser.tell("click", selector="#confirm button[value=yes]")
    wait_until(lambda: "no such database" in browser.texts("#command-result")[0], "told", 5 * SLOW)
    wait_until(lambda: len(re.findall(r'http 127.0.0.1:\d+ admin.token: command ', weir.log()))
               == 3, "all are logged", 5 * SLOW)


def test_it_outlives_weir(browser, weir):
    """An online restart, and a crash with a start: it goes on, and says when it has no data."""
    open_page(browser, weir)
    browser.evaluate("() => { window.samePage = 1; }")
    weir.upgrade()
    wait_until(lambda: browser.texts("#live") == ["live"], "live", 10 * SLOW)
    wait_until(lambda: "weir: stopped" in weir.log(), "the old process has left", 10 * SLOW)
    weir.process.kill()
    weir.process.wait()
    wait_until(lambda: "no data" in browser.texts("#live")[0], "told", 10 * SLOW)
    assert browser.texts("#health") == ["no data"]
    shoot(browser, "no-data")
    weir.start().wait_ready()
    wait_until(lambda: browser.texts("#live") == ["live"], "live again", 10 * SLOW)
    assert browser.evaluate("() => window.samePage") == 1
    # Who came first may have waited for a connection.
    wait_until(lambda: browser.texts("#health") == ["all well"], "all is well", 10 * SLOW)
