#!/usr/bin/env python3
"""The UDP chat room as a beginner writes it: one loop of recvfrom and sendto.

What `scripts/compare` measures outcry against; not part of the relay.
Usage: naive_blocking.py IP:PORT [--quiet]      (--quiet: no joined/left notices)
"""
import socket
import sys


def main():
    host, port = sys.argv[1].rsplit(":", 1)
    quiet = "--quiet" in sys.argv[2:]
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, int(port)))
    print("listening on %s:%d" % sock.getsockname(), flush=True)
    members = {}

    def broadcast(data, sender):
        for member in members:
            if member != sender:
                try:
                    sock.sendto(data, member)
                except OSError:
                    pass  # one member that is gone must not end the room

    while True:
        try:
            data, sender = sock.recvfrom(2048)
        except OSError:
            continue  # the answer to a datagram that nobody took
        if sender not in members:
            members[sender] = name = data.split(b" : ")[0]
            if not quiet:
                broadcast(name + " 进入聊天室...".encode(), sender)
        elif data.rsplit(b" : ", 1)[-1].strip().lower() == b"exit":
            name = members.pop(sender)
            if not quiet:
                broadcast(name + " 离开了聊天室...".encode(), sender)
        else:
            broadcast(data, sender)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
