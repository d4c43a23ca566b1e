"""A network path to a host that can be made slow, or break."""
import asyncio
import contextlib
import multiprocessing
import random
import socket

from support.weir import free_port

HEADER_BYTES = 5  # of a message
CUT_AFTER_S = 0.005


class Relay:
    """Passes bytes between `port` and a port of 127.0.0.1; answers take `delay` seconds longer.
    A connection on which `cut_at` is asked breaks instead, when what came before is answered.
    One on which `cut_behind` is asked breaks when the server has answered it, and `passes` bytes
    of that have passed, a number from a range.

    A process, so that it is not slowed by what the test does.
    """

    def __init__(self, target_port, cut_at=None, cut_behind=None, passes=(0, 0)):
        self.target_port, self.port, self.cut_at = target_port, free_port(), cut_at
        self.cut_behind, self.passes = cut_behind, passes
        fork = multiprocessing.get_context("fork")
        self._delay, self._listens = fork.Value("d", 0.0), fork.Event()
        self._holds, self._cuts = fork.Value("b", 0), fork.Value("i", 0)
        self._process = fork.Process(target=lambda: asyncio.run(self._serve()), daemon=True)

    def delay(self, seconds):
        self._delay.value = seconds

    @contextlib.contextmanager
    def black_hole(self):
        """Nothing passes, and nobody is told; connections are accepted."""
        self._holds.value = 1
        try:
            yield
        finally:
            self._holds.value = 0

    def cut(self):
        """All connections that there are break at the next bytes."""
        self._cuts.value += 1

    def __enter__(self):
        self._process.start()
        assert self._listens.wait(10), "the relay does not listen"
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.join()

    async def _serve(self):
        server = await asyncio.start_server(self._connect, "127.0.0.1", self.port)
        self._listens.set()
        await server.serve_forever()

    async def _connect(self, reader, writer):
        # Of a peer that is gone, and whose goodbye was lost, the kernel learns by asking.
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in ((socket.TCP_KEEPIDLE, 2), (socket.TCP_KEEPINTVL, 2),
                              (socket.TCP_KEEPCNT, 5)):
            peer.setsockopt(socket.IPPROTO_TCP, option, value)
        try:
            there_reader, there_writer = await asyncio.open_connection("127.0.0.1",
                                                                       self.target_port)
        except OSError:
            writer.transport.abort()
            return
        left = []  # bytes of answers that will still pass
        await asyncio.gather(self._copy(reader, there_writer, left, slow=False),
                             self._copy(there_reader, writer, left, slow=True))

    async def _copy(self, reader, writer, left, slow):
        cuts = self._cuts.value
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                while self._holds.value:
                    await asyncio.sleep(CUT_AFTER_S)
                if cuts != self._cuts.value:
                    break
                if slow and self._delay.value:
                    await asyncio.sleep(self._delay.value)
                if not slow and self.cut_at and self.cut_at in data:
                    writer.write(data[:data.index(self.cut_at) - HEADER_BYTES])
                    await asyncio.sleep(CUT_AFTER_S)
                    break
                if slow and left:
                    writer.write(data[:left[0]])
                    left[0] -= len(data)
                    if left[0] > 0:
                        continue
                    break
                writer.write(data)
                await writer.drain()
                if not slow and self.cut_behind and self.cut_behind in data:
                    left[:] = [random.randint(*self.passes)]
        writer.close()
