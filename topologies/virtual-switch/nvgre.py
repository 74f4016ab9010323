"""A partner's appliance: speaks NVGRE (RFC 7637) by itself, with one customer address behind it.

    nvgre.py serve          answer pings, and remember at which provider address a customer address lives
    nvgre.py ping ADDRESS   ping a VM that has spoken to the appliance before

What a partner gets from the Network Controller is here by rule: MAC addresses are 00-15-5D and the last three
octets of the customer address, as in every topology file that names none, and SUBNETS gives the VSIDs.
"""

import json
import os
import socket
import struct
import sys
import time
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

OWN = IPv4Address(os.environ["OWN"])
SUBNETS = {
    IPv4Network(prefix): int(vsid)
    for prefix, _, vsid in (item.partition("=") for item in os.environ["SUBNETS"].split())
}
LEARNED = Path("/tmp/learned.json")
KEY_PRESENT, TRANSPARENT_ETHERNET, IPV4, ICMP = 0x2000, 0x6558, 0x0800, 1
ECHO_REPLY, ECHO_REQUEST = 0, 8
TIMEOUT_S = 5


def mac_of(address):
    """A VM's MAC address, by the lab's rule."""
    return b"\x00\x15\x5d" + address.packed[1:]


def vsid_of(address):
    """The virtual subnet that an address is in."""
    return next(vsid for prefix, vsid in SUBNETS.items() if address in prefix)


def checksum(data):
    """The internet checksum (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2)))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def encapsulated(target, kind, rest, router_mac):
    """An ICMP message of ours in NVGRE; to another subnet it goes as the distributed router would send it."""
    same = vsid_of(target) == vsid_of(OWN)
    icmp = struct.pack("!BBH", kind, 0, 0) + rest
    icmp = icmp[:2] + struct.pack("!H", checksum(icmp)) + icmp[4:]
    header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(icmp), 0, 0x4000, 64 if same else 63, ICMP, 0,
                         OWN.packed, target.packed)  # fmt: skip
    header = header[:10] + struct.pack("!H", checksum(header)) + header[12:]
    ethernet = mac_of(target) + (mac_of(OWN) if same else router_mac) + struct.pack("!H", IPV4)
    gre = struct.pack("!HHI", KEY_PRESENT, TRANSPARENT_ETHERNET, vsid_of(target) << 8)
    return gre + ethernet + header + icmp


def decapsulated(packet):
    """(outer source, inner source, source MAC, ICMP) of a ping for us in NVGRE, or None for anything else."""
    outer = packet[(packet[0] & 15) * 4 :]
    flags, protocol, key = struct.unpack_from("!HHI", outer)
    inner = outer[8:]
    if (flags, protocol, key >> 8) != (KEY_PRESENT, TRANSPARENT_ETHERNET, vsid_of(OWN)):
        return None
    if (
        inner[:6] != mac_of(OWN)
        or inner[12:14] != b"\x08\x00"
        or inner[23] != ICMP
        or inner[30:34] != OWN.packed
    ):
        return None
    length = struct.unpack_from("!H", inner, 16)[0]
    return (IPv4Address(packet[12:16]), IPv4Address(inner[26:30]), inner[6:12],
            inner[14 + (inner[14] & 15) * 4 : 14 + length])  # fmt: skip


def serve():
    """Answer until the container ends."""
    wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
    learned = {}
    while True:
        found = decapsulated(wire.recv(65_535))
        if found is None or found[3][0] != ECHO_REQUEST:
            continue
        provider, customer, mac, icmp = found
        router_mac = b"" if mac == mac_of(customer) else mac
        if learned.get(str(customer)) != [str(provider), router_mac.hex()]:
            learned[str(customer)] = [str(provider), router_mac.hex()]
            LEARNED.write_text(json.dumps(learned))
        wire.sendto(encapsulated(customer, ECHO_REPLY, icmp[4:], router_mac), (str(provider), 0))


def ping(target):
    """One echo request to a VM; the exit code says whether it answered."""
    wire = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_GRE)
    provider, router_mac = json.loads(LEARNED.read_text())[str(target)]
    rest = struct.pack("!HH", os.getpid() & 0xFFFF, 1) + b"from a partner"
    wire.sendto(encapsulated(target, ECHO_REQUEST, rest, bytes.fromhex(router_mac)), (provider, 0))
    deadline = time.monotonic() + TIMEOUT_S
    while (left := deadline - time.monotonic()) > 0:
        wire.settimeout(left)
        try:
            found = decapsulated(wire.recv(65_535))
        except TimeoutError:
            break
        if found and found[1] == target and found[3][0] == ECHO_REPLY and found[3][4:] == rest:
            print(f"{target} answers through {found[0]}")
            return 0
    print(f"{target} does not answer", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(serve() if sys.argv[1] == "serve" else ping(IPv4Address(sys.argv[2])))
