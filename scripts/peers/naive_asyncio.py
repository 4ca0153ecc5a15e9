#!/usr/bin/env python3
"""The UDP chat room on asyncio: a DatagramProtocol, and sendto to each member.

What `scripts/compare` measures outcry against; not part of the relay.
Usage: naive_asyncio.py IP:PORT [--quiet]       (--quiet: no joined/left notices)
"""
import asyncio
import sys


class Room(asyncio.DatagramProtocol):
    def __init__(self, quiet):
        self.quiet = quiet
        self.members = {}
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        print("listening on %s:%d" % transport.get_extra_info("sockname"), flush=True)

    def error_received(self, error):
        pass  # one member that is gone must not end the room

    def datagram_received(self, data, sender):
        if sender not in self.members:
            self.members[sender] = name = data.split(b" : ")[0]
            if not self.quiet:
                self.broadcast(name + " 进入聊天室...".encode(), sender)
        elif data.rsplit(b" : ", 1)[-1].strip().lower() == b"exit":
            name = self.members.pop(sender)
            if not self.quiet:
                self.broadcast(name + " 离开了聊天室...".encode(), sender)
        else:
            self.broadcast(data, sender)

    def broadcast(self, data, sender):
        for member in self.members:
            if member != sender:
                self.transport.sendto(data, member)


async def main():
    host, port = sys.argv[1].rsplit(":", 1)
    quiet = "--quiet" in sys.argv[2:]
    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Room(quiet), local_addr=(host, int(port)))
    await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass
