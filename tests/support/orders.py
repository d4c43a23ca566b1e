"""How the console shows hosts."""

def name(cluster, number):
    """As SHOW HOSTS names it."""
    return f"127.0.0.1:{cluster.ports[number]}"


def host(weir, cluster, number):
    """Its row in SHOW HOSTS."""
    return next(row for row in weir.show("HOSTS") if row["host"] == name(cluster, number))


def faults(weir, kind):
    return [row for row in weir.show("FAULTS") if row["kind"] == kind]
