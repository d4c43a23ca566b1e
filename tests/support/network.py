"""A network of their own for a process and all that it starts, in which packets can be lost.

Needs root, nftables, and a kernel that lets it make a network namespace; isolate() says whether.
"""
import contextlib
import ctypes
import shutil
import subprocess

CLONE_NEWNET = 0x40000000  # sched.h


def isolate():
    """From here on 127.0.0.1 is this process's own, and its children's. For a process that has no
    other thread and no socket yet. False: that is not possible here, and nothing has changed."""
    tools = all(shutil.which(tool) for tool in ("unshare", "ip", "nft", "tc"))
    possible = tools and not subprocess.run(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && nft add table inet faults"],
        capture_output=True, check=False).returncode
    if not possible or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    return True


@contextlib.contextmanager
def ruled(port, verdict):
    """What goes to a port of 127.0.0.1 and what comes from there, while the block lasts: "drop",
    "numgen random mod 100 < 15 drop", or, of what goes there, "reject with tcp reset"."""
    directions = ("dport",) if verdict.startswith("reject") else ("dport", "sport")
    rules = [f"tcp {direction} {port} {verdict}" for direction in directions]
    lines = ["table inet faults {", "chain input {",
             "type filter hook input priority 0; policy accept;", *rules, "}", "}", ""]
    subprocess.run(["nft", "-f", "-"], check=True, text=True, input="\n".join(lines))
    try:
        yield
    finally:
        subprocess.run(["nft", "delete", "table", "inet", "faults"], check=True)


@contextlib.contextmanager
def narrow(bits_per_second):
    """All of the network together, while the block lasts: what is too much waits, or is lost."""
    subprocess.run(["tc", "qdisc", "replace", "dev", "lo", "root", "tbf", "rate",
                    f"{bits_per_second}bit", "burst", "64kb", "latency", "300ms"], check=True)
    try:
        yield
    finally:
        subprocess.run(["tc", "qdisc", "del", "dev", "lo", "root"], check=True)
