"""A network for a process and all that it starts, in which packets can be lost, or late.

Needs root, nftables, and a kernel that lets it make a network namespace and a TUN device;
isolate() says whether.
"""
import contextlib
import ctypes
import shutil
import subprocess
import sys

from support import late_packets

CLONE_NEWNET = 0x40000000  # sched.h


def isolate():
    """From here on 127.0.0.1 is this process's own, and its children's. For a process that has no
    other thread and no socket yet. False: that is not possible here, and nothing has changed."""
    tools = all(shutil.which(tool) for tool in ("unshare", "ip", "nft", "tc"))
    possible = tools and not subprocess.run(
        ["unshare", "--net", "sh", "-c", "ip link set lo up && nft add table inet faults && "
         "ip tuntap add dev probe mode tun"],
        capture_output=True, check=False).returncode
    if not possible or ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        return False
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # Makes room for a rule in front of the one that keeps 127.0.0.1 on the loopback device.
    subprocess.run(["ip", "rule", "add", "pref", "100", "lookup", "local"], check=True)
    subprocess.run(["ip", "rule", "delete", "pref", "0"], check=True)
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


@contextlib.contextmanager
def late(port, least_s, most_s):
    """Each packet to a port of 127.0.0.1 and from there takes so long, while the block lasts; of
    connections that are made, too. They overtake each other. One block at a time."""
    command = [sys.executable, late_packets.__file__, str(least_s), str(most_s)]
    route = ["127.0.0.0/8", "dev", late_packets.DEVICE, "src", "127.0.0.1", "table", "7"]
    rules = [["pref", "50", "iif", "lo", "ipproto", "tcp", direction, str(port), "lookup", "7"]
             for direction in ("dport", "sport")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as forwarder:
        assert forwarder.stdout.readline(), "packets cannot be delayed"
        subprocess.run(["ip", "route", "add", *route], check=True)
        for rule in rules:
            subprocess.run(["ip", "rule", "add", *rule], check=True)
        try:
            yield
        finally:
            for rule in rules:
                subprocess.run(["ip", "rule", "delete", *rule], check=True)
            forwarder.communicate()  # ends its input: it passes on what it has taken
