"""Talks to one other program over UDP: python3 one_to_one.py HOST PORT

Sends every line of the input as it is, prints every datagram as it is.
"""
import socket
import sys
import threading

peer = (sys.argv[1], int(sys.argv[2]))
mine = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mine.bind(("127.0.0.1", 0))
print("my port is", mine.getsockname()[1], flush=True)


def receive():
    while True:
        data, sender = mine.recvfrom(1024)
        if sender == peer:
            sys.stdout.buffer.write(data + b"\n")
            sys.stdout.buffer.flush()


sys.stdin.reconfigure(encoding="utf-8")
threading.Thread(target=receive, daemon=True).start()
for line in sys.stdin:
    mine.sendto(line.rstrip("\n").encode("utf-8"), peer)
