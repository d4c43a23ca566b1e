"""Delays real packets: late_packets.py LEAST_S MOST_S, in a network namespace of its own.

What is routed to the device "late" is read from it and written back, as if it had arrived there,
after a time that is drawn for each packet: they overtake each other. Says when it is there; ends
when its input ends and what it had taken has left. The device ends with it.
"""
import fcntl
import heapq
import os
import pathlib
import random
import select
import struct
import subprocess
import sys
import time

DEVICE = "late"
LARGEST = 65535
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000  # linux/if_tun.h


def open_device():
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    for name in ("accept_local", "route_localnet"):  # from 127.0.0.1, and to it
        pathlib.Path(f"/proc/sys/net/ipv4/conf/{DEVICE}/{name}").write_text("1")
    subprocess.run(["ip", "link", "set", DEVICE, "mtu", str(LARGEST), "up"], check=True)
    return device


def forward(device, least_s, most_s):
    packets, taken, ends = [], 0, False  # of packets: when it is due, its number, itself
    while packets or not ends:
        patience = max(0, packets[0][0] - time.monotonic()) if packets else None
        readable = select.select([device] if ends else [device, 0], [], [], patience)[0]
        if device in readable:
            taken += 1
            due = time.monotonic() + random.uniform(least_s, most_s)
            heapq.heappush(packets, (due, taken, os.read(device, LARGEST)))
        ends = ends or 0 in readable
        while packets and packets[0][0] <= time.monotonic():
            os.write(device, heapq.heappop(packets)[2])


if __name__ == "__main__":
    opened = open_device()
    print("ready", flush=True)
    forward(opened, *map(float, sys.argv[1:]))
