"""What an operator says of hosts on the console, and how the console shows them."""
import pytest

from support import wire


def name(cluster, number):
    """As SHOW HOSTS names it."""
    return f"127.0.0.1:{cluster.ports[number]}"


def host(weir, cluster, number):
    """Its row in SHOW HOSTS."""
    return next(row for row in weir.show("HOSTS") if row["host"] == name(cluster, number))


def faults(weir, kind):
    return [row for row in weir.show("FAULTS") if row["kind"] == kind]


def order(weir, text, user="admin"):
    """The notices that answer it."""
    with weir.console(user) as console:
        console.query(text)
        return [notice["M"] for notice in console.notices]


def refused(weir, text, user="admin"):
    """SQLSTATE and message of the error that answers it."""
    with pytest.raises(wire.ServerError) as failed:
        order(weir, text, user)
    return failed.value.code, failed.value.message
