"""Clients in the background: a process that notes how long it waits, threads that read or write."""
import multiprocessing
import threading
import time

from support import wire


class Neighbour:
    """A client in its own process that asks for little and notes its longest wait.

    A process, because a test that builds a 200 MB text stops all threads of its interpreter.
    """

    def __init__(self, host, port, user="app", database="app"):
        fork = multiprocessing.get_context("fork")
        self.done, self.ready = fork.Event(), fork.Event()
        self.answer, answer = fork.Pipe(duplex=False)
        self.process = fork.Process(target=self.run, args=(answer, host, port, user, database))
        self.process.start()
        assert self.ready.wait(20), "the neighbour did not get in"

    def run(self, answer, host, port, user, database):
        worst, count = 0.0, 0
        with wire.connect(host, port, user, user, database) as client:
            client.query("SELECT 1")
            self.ready.set()
            while not self.done.is_set():
                begun = time.monotonic()
                client.query("SELECT 1")
                worst = max(worst, time.monotonic() - begun)
                count += 1
                time.sleep(0.001)
        answer.send((worst, count))

    def stop(self):
        """Ends it; returns its longest wait in seconds and the number of its queries."""
        self.done.set()
        assert self.answer.poll(30), "the neighbour died or waits for an answer"
        result = self.answer.recv()
        self.process.join()
        return result


class Repeated(threading.Thread):
    """Calls work(client) again and again on one connection, until the end of the with block."""

    def __init__(self, client, work, pause=0.0):
        super().__init__()
        self.client, self.work, self.pause = client, work, pause
        self.finished, self.failure, self.count = threading.Event(), None, 0

    def run(self):
        try:
            with self.client:
                while not self.finished.wait(self.pause):
                    self.work(self.client)
                    self.count += 1
        except BaseException as failed:  # handed to the test, which runs in another thread
            self.failure = failed

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.finished.set()
        self.join()
        if self.failure:
            raise self.failure
