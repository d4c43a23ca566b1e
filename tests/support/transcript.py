"""Scripts of protocol messages, played to a server; what it answered, message by message.

A script is a list of steps made by the functions here. Sessions have names, "a" unless told; each
connects when a step first names it.
"""
import select
import time

from support import SLOW, wire
from support.twin import answer, plain

QUIET_S = 0.15 * SLOW  # in which an answer would have come


def send(*parts, of="a"):
    return lambda player: player.session(of).send(*parts)


def ready(count=1, of="a"):
    """Reads up to that many ReadyForQuery."""
    return lambda player: player.note(of, answer(player.session(of), count))


def messages(count, of="a"):
    """Reads so many messages: what Flush brings, or comes unasked."""
    def step(player):
        session = player.session(of)
        player.note(of, [plain(session.read()) for _ in range(count)])
    return step


def quiet(of="a"):
    """Nothing comes."""
    def step(player):
        session = player.session(of)
        came = bool(session.received) or bool(select.select([session.socket], [], [], QUIET_S)[0])
        player.note(of, [("came", plain(session.read()))] if came else [("quiet",)])
    return step


def closed(of="a"):
    return lambda player: player.note(of, [*map(plain, player.session(of).expect_closed()),
                                           ("closed",)])


def leave(of="a"):
    """Without a word."""
    return lambda player: player.sessions.pop(of).drop()


def terminate(of="a"):
    return lambda player: player.sessions.pop(of).terminate()


def run(*texts, of="a"):
    """Simple queries, one after the other."""
    def step(player):
        for text in texts:
            player.session(of).send(wire.query(text))
            player.note(of, answer(player.session(of), 1))
    return step


def until(text, value, of="b"):
    """Asks again until this is the answer: what follows from another session's end takes time."""
    def step(player):
        deadline = time.monotonic() + 5 * SLOW
        while (got := player.session(of).value(text)) != value and time.monotonic() < deadline:
            time.sleep(0.01)
        player.note(of, [(text, got)])
    return step


class Player:
    """Plays scripts to what `connect` opens sessions of."""

    def __init__(self, connect):
        self.connect, self.sessions, self.transcript = connect, {}, []

    def session(self, name):
        if name not in self.sessions:
            self.sessions[name] = self.connect()
        return self.sessions[name]

    def note(self, name, found):
        self.transcript += [(name, *one) for one in found]

    def play(self, script):
        try:
            for step in script:
                step(self)
        except (OSError, wire.Closed, wire.ServerError) as failed:
            self.transcript.append((type(failed).__name__, str(failed)))
        finally:
            for session in self.sessions.values():
                session.drop()
        return self.transcript
