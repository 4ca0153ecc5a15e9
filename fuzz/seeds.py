#!/usr/bin/env python3
"""Writes the seeds: those of the decoders from the golden vectors, those of
the relay and the client as scripts in the form that their targets read.

    python3 fuzz/seeds.py

Seeds that were found by fuzzing stay where they are.
"""

import json
import pathlib
import re
import struct

FUZZ = pathlib.Path(__file__).parent
PREFIX, TO_RELAY, TO_CLIENT = "f74f01", "10" + "11" * 8 + "01000000", "90" + "22" * 8


def seed(target, kind, title, hexed):
    name = re.sub(r"[^a-z0-9]+", "-", f"{kind} {title}".lower()).strip("-")
    folder = FUZZ / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(bytes.fromhex(hexed))


# ---- scripts: what stands for what, see targets/world.rs, relay.rs, client.rs ----------

LOBBY, TEA, DEN, PAST = 0, 1, 2, 240
# A relay for four that is open to all, and ends when nothing is left of them.
OPEN = bytes([0, 0, 3, 0])


def short(text):
    text = text.encode() if isinstance(text, str) else text
    return bytes([len(text)]) + text


def join(room):
    return bytes([0, room])


def say(room, text):
    return bytes([9, room]) + short(text)


def many(room, fifths, count):
    """So many messages of five times so many bytes."""
    return bytes([8, room + fifths // 3 * 3, count - 1])


def frames(*bodies):
    return bytes([len(bodies) - 1]) + b"".join(bytes([kind]) + short(body) for kind, body in bodies)


def frames_of(vectors, up):
    """The frames that are short enough for a script: kind and body."""
    bodies = [bytes.fromhex(vector["hex"]) for vector in vectors["frames"]]
    return [(body[0], body[3:]) for body in bodies if (body[0] < 0x40) == up and len(body) < 128]


def groups(of, size):
    return [of[at : at + size] for at in range(0, len(of), size)]


def in_room(room, body):
    """The same about the first rooms there are: the vectors' are others."""
    return struct.pack("<H", room) + body[2:]


def relay_seeds(vectors):
    def who(number, verb):
        return bytes([13, number]) + verb

    def hear(place, text):
        return bytes([4, place]) + short(text)

    def operator(number, command, *texts):
        return bytes([10, number, command]) + b"".join(texts)

    wait, soon = bytes([1, 20]), bytes([2, 20])
    two = who(0, join(LOBBY)) + who(1, join(LOBBY)) + who(0, join(TEA)) + who(1, join(TEA))
    plain = hear(3, "bob") + hear(4, "carol") + hear(3, "bob : hi") + bytes([3, 0])
    scripts = {
        "plain": OPEN + plain + hear(4, "exit") + wait + hear(4, "carol : back") + bytes([3, 0, 1, 255, 1, 255]),
        "challenge": bytes([0, 1, 3, 0]) + plain + plain + plain + wait,
        "tight": bytes([0, 4, 0, 255]) + plain + two + who(0, say(0, "hi")) + hear(3, "bob : one more") + wait + two,
        "mirror": OPEN + plain + b"".join(hear(3, f"bob : {n}") + hear(4, f"bob : {n}") for n in range(36)),
        "native": OPEN + two + who(0, say(0, "hello")) + soon + who(1, say(1, "tea?")) + wait,
        "native-and-plain": OPEN + two + plain + who(0, say(0, "hello bob")) + soon,
        "history": OPEN + two + who(0, many(0, 21, 32)) * 2 + soon + who(2, join(PAST)) + soon + who(2, bytes([1, 0])),
        "sealed": OPEN + who(0, join(DEN)) + who(1, join(DEN)) + who(0, say(0, "psst")) + who(1, bytes([4, 0])) + soon,
        "questions": OPEN + two + who(0, bytes([4, 0])) + who(0, bytes([5, 0])) + who(1, bytes([3, 0]) + short("al")),
        "direct": OPEN + two + b"".join(who(0, bytes([2, to]) + short("you")) for to in range(6)) + wait * 2,
        "moves": OPEN + two + who(0, bytes([6, 4])) + soon + who(0, say(0, "here")) + soon + who(0, bytes([6, 3])) + wait,
        "deaf": OPEN + two + bytes([12, 129]) + who(0, many(0, 200, 32)) * 3 + wait + bytes([12, 1]) + wait * 2,
        "mute": OPEN + two + bytes([12, 64]) + who(0, say(0, "lost")) + wait + bytes([12, 0]) + wait * 2,
        "again": OPEN + two + b"".join(bytes([7, of, at, 1]) for of in (0, 129) for at in (0, 2, 3, 4, 12, 16, 200)) + wait,
        "ends": OPEN + two + who(0, bytes([7, 0])) + soon + bytes([11, 1]) + who(1, join(LOBBY)) + wait * 5,
        "unreachable": OPEN + plain + two + bytes([8, 3, 8, 0]) * 2 + wait + bytes([8, 3, 8, 0]) * 2 + wait,
        "operator": OPEN + plain + operator(3, 1, short("you")) + operator(3, 3) + operator(3, 4) + operator(3, 2) + two
        + operator(0, 0, short("all")) + operator(0, 2),
        "bans": OPEN + plain + two + operator(5, 5, short("name:bob")) + operator(4, 5, short("127.0.0.0/24")) + two
        + operator(0, 6, short("127.0.0.0/24")) + wait + two,
        "limits": OPEN + plain + two + operator(0, 9, bytes([9, 0, 255])) + two + operator(1, 7) + plain + wait,
        "drain": OPEN + plain + two + operator(0, 8, short("relay.example:1")) + two + wait,
        "shutdown": bytes([1, 0, 3, 0]) + plain + two,
        "restored": OPEN + operator(3, 10, short("bob")) + operator(3, 10, short("bob")) + plain + two,
        "restored-over-a-session": OPEN + two + operator(1, 10, short("bob")) + operator(1, 10, short("bob")) + soon,
        "hello-of-zeros": OPEN + bytes([4, 131]) + short(bytes.fromhex(PREFIX + "01")) + bytes([4, 131])
        + short(bytes.fromhex("f74f0201")) + bytes([3, 0]),
    }
    for number, group in enumerate(groups(frames_of(vectors, True), 4)):
        at_home = [(kind, in_room(number % 2, body)) for kind, body in group]
        scripts[f"frames-{number}"] = (
            OPEN + two + bytes([6, 0]) + frames(*group) + bytes([6, 1]) + frames(*at_home) + bytes([6, 136]) + frames(*group) + wait
        )
    return scripts


def client_seeds(vectors):
    def me(verb):
        return bytes([17, 0]) + verb

    def other(verb):
        return bytes([13, 0]) + verb

    wait, soon, hold, let, free = bytes([1, 20]), bytes([2, 20]), bytes([3, 2]), bytes([4, 63]), bytes([3, 0])
    two = me(join(LOBBY)) + other(join(LOBBY)) + me(join(TEA)) + other(join(TEA))
    busy = me(say(0, "one")) + other(say(0, "two")) + me(say(1, "three")) + bytes([14, 8]) + b"bob : hi"
    verbs = me(bytes([4, 0])) + me(bytes([5, 0])) + me(bytes([3, 0]) + short("al")) + me(bytes([2, 1]) + short("you"))
    scripts = {
        "honest": two + busy + soon + verbs + wait,
        "late": hold + two + soon + let + soon + let + soon + let + busy + soon + let + wait,
        "twice": hold + two + (let + soon) * 4 + busy + let + b"".join(bytes([7, n]) for n in range(8)) + soon,
        "changed": hold + two + (let + soon) * 4 + busy + verbs + b"".join(bytes([5, at, 1]) for at in range(12, 40, 3)),
        "lost": hold + two + (let + soon) * 4 + busy + bytes([6, 0]) * 4 + free + wait * 2,
        "hello-changed": hold + me(join(LOBBY)) + b"".join(bytes([5, at, 128]) for at in (3, 4, 12, 20)) + wait,
        "new-relay": two + busy + bytes([3, 1]) + busy + bytes([16, 9]) + free + wait * 2 + busy + soon,
        "silent": two + busy + bytes([3, 1]) + me(say(0, "lost")) + wait * 5 + free + wait,
        "unread": two + bytes([3, 4]) + busy + wait + bytes([3, 0]) + soon,
        "kicked": two + busy + bytes([15, 0]) + wait * 4 + bytes([15, 2]) + wait,
        "many": two + me(many(0, 200, 32)) * 2 + other(many(0, 240, 32)) * 2 + me(bytes([1, 0])) + wait,
        "sealed": me(join(DEN)) + other(join(DEN)) + other(say(0, "psst")) + me(say(0, "psst")) + me(bytes([7, 0])),
        "moves": two + me(bytes([6, 4])) + soon + busy + me(bytes([6, 5])) + bytes([6, 0]) + wait,
        "answers": two + b"".join(bytes([9, which, 1, 16, 7]) + soon for which in (0, 129, 2, 131, 4, 5, 6, 7, 1)) + wait,
        "answers-at-once": b"".join(me(join(0)) + bytes([9, which, 1, 2, 3]) for which in (0, 4, 1, 2, 3)) + wait,
    }
    for number, group in enumerate(groups(frames_of(vectors, False), 4)):
        at_home = [(kind, in_room(number % 2, body)) for kind, body in group]
        room = [(kind, body) for kind, body in at_home if kind in (0x43, 0x45)]
        to_room = bytes([10, 0]) + frames(*room) if room else b""
        scripts[f"frames-{number}"] = (
            two + busy + bytes([11, 0]) + frames(*group) + bytes([11, 0]) + frames(*at_home) + to_room + busy + wait
        )
    return scripts


def control_seeds():
    """As a 64-bit Linux lays it out; elsewhere the same bytes say something else."""

    def message(level, kind, data, extra=0):
        return struct.pack("<qii", 16 + len(data) + extra, level, kind) + data + bytes(-len(data) % 8)

    def told(messages, less=0):
        return struct.pack("<H", len(messages) - less) + messages

    ip, ipv6, socket, udp = 0, 41, 1, 17
    four, six = bytes([1, 0, 0, 0, 127, 0, 0, 2, 127, 0, 0, 3]), bytes(15) + b"\x01\x02\x00\x00\x00"
    refused, local, long = (struct.pack("<IBBBBII", *error) for error in ((111, 2, 3, 3, 0, 0, 0), (90, 1, 0, 0, 0, 0, 0), (90, 2, 3, 4, 0, 9, 0)))
    mapped = bytes(10) + b"\xff\xff\x0a\x00\x00\x01" + bytes(4)
    offender = bytes.fromhex("02000000c0000201") + bytes(8)
    return {
        "nothing": told(b""),
        "four": told(message(ip, 8, four)),
        "six": told(message(ipv6, 50, six)),
        "mapped": told(message(ipv6, 50, mapped)),
        "stamp-then-four": told(message(socket, 29, bytes(16)) + message(ip, 8, four)),
        "refused": told(message(ip, 11, refused + offender)),
        "refused-six": told(message(ipv6, 25, refused.replace(b"\x02", b"\x03") + bytes(28))),
        "local": told(message(ip, 11, local)),
        "too-long": told(message(ip, 11, long + offender) + message(ip, 8, four)),
        "short-data": told(message(ip, 8, four[:7]) + message(ipv6, 50, six[:15]) + message(ip, 11, refused[:4])),
        "segment": told(message(udp, 104, struct.pack("<I", 1200))),
        "cut": told(message(ip, 8, four), 5),
        "cut-header": told(message(ip, 8, four) + message(ip, 8, four), 20),
        "over-the-end": told(message(ip, 8, four, 40)),
        "no-length": told(message(ip, 8, b"", -16)),
        "less-than-a-header": told(message(ip, 8, b"", -1)),
        "longest": told(struct.pack("<Qii", 2**64 - 1, ip, 8) + four),
        "as-long-as-aligning-overflows": told(struct.pack("<Qii", 2**64 - 6, ip, 8) + four),
        "told-too-much": struct.pack("<H", 65535) + message(ip, 8, four),
        "more-than-fits": told(message(socket, 29, bytes(16)) * 9),
    }


def main():
    vectors = json.loads((FUZZ.parent / "tests" / "vectors" / "native.json").read_text("utf-8"))
    for frame in vectors["frames"]:
        up = int(frame["hex"][:2], 16) < 0x40
        whole = PREFIX + (TO_RELAY if up else TO_CLIENT) + frame["hex"]
        seed("uplink" if up else "downlink", frame["frame"], frame["title"], whole.ljust(64, "0"))
    for vector in vectors["datagrams"] + vectors["lenient"]:
        up = int(vector["hex"][6:8], 16) < 0x80
        seed("uplink" if up else "downlink", vector["datagram"], vector["title"], vector["hex"])
    for vector in vectors["refused"]:
        seed("uplink" if vector["to"] == "relay" else "downlink", "no", vector["title"], vector["hex"])
    scripts = {"relay": relay_seeds(vectors), "client": client_seeds(vectors), "control": control_seeds()}
    for target, seeds in scripts.items():
        for title, script in seeds.items():
            assert len(script) < 1024, title
            seed(target, "", title, script.hex())


if __name__ == "__main__":
    main()
