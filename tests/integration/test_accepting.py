"""Who comes is accepted by the workers themselves, and logs in behind those who are there."""
import collections
import concurrent.futures
import contextlib
import resource
import threading
import time

import pytest

from support import SLOW
from support.cluster import wait_until
from support.wire import Wire


def test_clients_come_out_even_over_workers(start_weir):
    weir = start_weir(workers=4)
    with contextlib.ExitStack() as stack:
        with concurrent.futures.ThreadPoolExecutor(8) as threads:
            for client in threads.map(lambda _: weir.connect(), range(16)):
                stack.enter_context(client)
        by_worker = collections.Counter(
            row["worker"] for row in weir.show("MEMORY")
            if row["type"] == "C" and row["user"] == "app")
        # Whoever asks on the console was one of them for a moment.
        assert len(by_worker) == 4 and set(by_worker.values()) <= {3, 4, 5}, by_worker


# UBSan looks for what it may read with pipe(2), and takes what is right for wrong without files.
@pytest.mark.skipif(SLOW > 1, reason="sanitizers need files of their own")
def test_out_of_files(start_weir):
    """Who comes waits until there is one, and those who are there notice nothing."""
    weir = start_weir()
    with weir.connect() as there:
        assert there.value("SELECT 1") == "1"
        _, most = resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE, (8, most))  # fewer than it has
        with Wire(weir.host, weir.port) as late:
            late.startup("app", "app")
            wait_until(lambda: "accept failed: Too many open files" in weir.log(), "it is told")
            began, said = time.monotonic(), weir.log().count("accept failed")
            while time.monotonic() - began < 1:
                assert there.value("SELECT 2") == "2"
            assert weir.log().count("accept failed") - said < 100  # it does not spin
            resource.prlimit(weir.process.pid, resource.RLIMIT_NOFILE, (most, most))
            late.authenticate("app", "app")
            assert late.value("SELECT 3") == "3"


@pytest.mark.parametrize("workers", [1, 2])
def test_log_ins_have_their_share_beside_who_asks(start_weir, workers):
    weir = start_weir(workers=workers)
    done = threading.Event()

    def ask(client):
        count = 0
        while not done.is_set():
            assert client.value("SELECT 1") == "1"
            count += 1
        return count

    def log_in(_):
        began = time.monotonic()
        with weir.connect() as client:
            assert client.status == "I"
        return time.monotonic() - began

    with contextlib.ExitStack() as stack, concurrent.futures.ThreadPoolExecutor(12) as threads:
        stack.callback(done.set)
        asking = [threads.submit(ask, stack.enter_context(weir.connect())) for _ in range(4)]
        time.sleep(0.3)  # from the next sweep on they count as established
        took = sorted(threads.map(log_in, range(200)))
        done.set()
        assert min(one.result() for one in asking) > 10
    assert took[100] < 0.5 * SLOW and took[-1] < 5 * SLOW, (took[100], took[-1])
