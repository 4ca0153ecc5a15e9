"""A chat room client: python3 chat_room.py HOST PORT NAME

Sends the name first, then every line of the input as "NAME : LINE".
EXIT, in upper or lower case, leaves. What arrives is printed as it is.
"""
import socket
import sys
import threading

host, port, name = sys.argv[1], int(sys.argv[2]), sys.argv[3]
server = (host, port)
client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def receive():
    while True:
        data, sender = client.recvfrom(1024)
        if sender == server:
            sys.stdout.buffer.write(data + b"\n")
            sys.stdout.buffer.flush()


def send():
    for line in sys.stdin:
        line = line.rstrip("\n")
        client.sendto((name + " : " + line).encode("utf-8"), server)
        if line.upper() == "EXIT":
            break


sys.stdin.reconfigure(encoding="utf-8")
client.sendto(name.encode("utf-8"), server)
threading.Thread(target=receive, daemon=True).start()
send()
