#!/usr/bin/env python3
"""Prints native.json: every datagram and frame of the native protocol as bytes.

Written from src/wire/PROTOCOL.md, not from the code, and with nothing but the
standard library, so that the two can be held against each other:

    python3 tests/vectors/make.py > tests/vectors/native.json
"""

import json
import struct
import sys

# ---- the page's tables ------------------------------------------------------------

MAGIC, VERSION = b"\xf7\x4f", 1
NUMBERS = {"u8": "<B", "u16": "<H", "u32": "<I", "u64": "<Q"}

# Fields in their order. "name": length u8 and UTF-8. "text", "bytes": up to the
# frame's end. A field that is called "0" is zero.
FRAMES = {
    # client -> relay
    "JOIN": (0x01, "req u16, flags u8, 0 u8, key_id u64, room name"),
    "LEAVE": (0x02, "req u16, room u16"),
    "MSG": (0x03, "room u16, kind u8, 0 u8, sseq u32, payload bytes"),
    "NACK": (0x04, "room u16, ranges ranges"),
    "REPORT": (0x05, "room u16, contiguous u64, highest u64, lost u32, kib u16"),
    "PING": (0x06, "t u64"),
    "PATH_RESPONSE": (0x07, "token u64"),
    "CLOSE": (0x08, "code u16, reason text"),
    "WHO": (0x09, "req u16, room u16, cursor u32, member u32"),
    "LIST": (0x0A, "req u16, cursor u32"),
    "NICK": (0x0B, "req u16, name name"),
    "DIRECT": (0x0C, "to u32, dseq u32, kind u8, payload bytes"),
    "DIRECT_ACK": (0x0D, "to u32, dseq u32"),
    # relay -> client
    "JOINED": (0x41, "req u16, room u16, code u16, tag u64, members u32, head u64, tail u64, next_sseq u32, name name"),
    "ACK": (0x42, "room u16, cumulative u32, seq u64, missing u8"),
    "BATCH": (0x43, "room u16, time u32, base u64, entries entries"),
    "GAP": (0x44, "room u16, from u64, to u64"),
    "HEAD": (0x45, "room u16, tag u64, members u32, head u64, tail u64"),
    "PONG": (0x46, "t u64"),
    "PATH_CHALLENGE": (0x47, "token u64"),
    "SLOW": (0x48, "room u16, cause u8, 0 u8, msgs_s u32, bytes_s u32, retry_ms u16, first_dropped_sseq u32"),
    "RELAY_CLOSE": (0x49, "code u16, reason text"),
    "RESULT": (0x4A, "req u16, code u16"),
    "MEMBERS": (0x4B, "req u16, room u16, at u64, next u32, listing listing"),
    "ROOMS": (0x4C, "req u16, next u32, listing listing"),
    "RELAY_DIRECT": (0x4D, "from u32, dseq u32, kind u8, name name, payload bytes"),
    "REFUSED": (0x4E, "room u16, sseq u32, cause u8"),
    "DIRECT_DONE": (0x4F, "peer u32, dseq u32, status u8"),
}

DATAGRAMS = {
    "HELLO": (0x01, "ccid u64, nonce u64, 0 u16, flags u16, cookie bytes, instance u64, proof bytes, name name"),
    "SESSION": (0x10, "scid u64, pn u32, frames frames"),
    "RETRY": (0x81, "ccid u64, nonce u64, cookie bytes"),
    "VERSION": (0x82, "ccid u64, versions bytes"),
    "WELCOME": (
        0x83,
        "ccid u64, nonce u64, scid u64, epoch u64, member u32, max_dgram u16, idle_s u16, keepalive_s u16, "
        "flags u16, msgs_per_s u32, bytes_per_s u32, window_bytes u32, 0 u32",
    ),
    "REFUSE": (0x84, "ccid u64, nonce u64, code u16, 0 u16, retry_ms u32"),
    "NOSESSION": (0x85, "scid u64, epoch u64"),
    "TO_CLIENT": (0x90, "ccid u64, frames frames"),
    "TO_ROOM": (0x91, "tag u64, frames frames"),
}
SIZES = {"RETRY": 44, "VERSION": 20, "WELCOME": 64, "REFUSE": 28, "NOSESSION": 20}
PADDED = {"HELLO": 1232, "SESSION": 32}
LONGEST = 1232


def fields(table):
    return [field.strip().split(" ") for field in table.split(",")]


def encode(kind, value):
    if kind in NUMBERS:
        return struct.pack(NUMBERS[kind], value)
    return {
        "name": lambda text: bytes([len(text.encode())]) + text.encode(),
        "text": lambda text: text.encode(),
        "bytes": lambda raw: raw,
        "ranges": lambda ranges: bytes([len(ranges)]) + b"".join(struct.pack("<QH", *pair) for pair in ranges),
        "entries": lambda entries: bytes([len(entries)]) + b"".join(map(entry, entries)),
        "listing": lambda listing: bytes([len(listing)])
        + b"".join(struct.pack("<I", number) + encode("name", name) for number, name in listing),
        "frames": lambda frames: b"".join(frame(name, values) for name, values in frames),
    }[kind](value)


def entry(values):
    member, sseq, kind, payload = values
    return struct.pack("<IIBH", member, sseq, kind, len(payload)) + payload


def body(table, values):
    return b"".join(encode(kind, 0 if name == "0" else values[name]) for name, kind in fields(table))


def frame(name, values):
    number, table = FRAMES[name]
    content = body(table, values)
    return bytes([number]) + struct.pack("<H", len(content)) + content


def prefix(number, version=VERSION):
    return MAGIC + bytes([version, number])


def datagram(name, values, pad=0):
    number, table = DATAGRAMS[name]
    sent = (prefix(number) + body(table, values)).ljust(max(pad, PADDED.get(name, 0)), b"\0")
    assert len(sent) == SIZES.get(name, len(sent)) and len(sent) <= LONGEST, (name, len(sent))
    return sent


# ---- BLAKE3, as far as one chunk goes: 1024 bytes ---------------------------------

IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
CHUNK_START, CHUNK_END, ROOT, KEYED_HASH, CONTEXT, MATERIAL = 1, 2, 8, 16, 32, 64


def rotate(word, by):
    return (word >> by | word << (32 - by)) & 0xFFFFFFFF


def mix(s, a, b, c, d, x, y):
    for word, first, second in ((x, 16, 12), (y, 8, 7)):
        s[a] = (s[a] + s[b] + word) & 0xFFFFFFFF
        s[d] = rotate(s[d] ^ s[a], first)
        s[c] = (s[c] + s[d]) & 0xFFFFFFFF
        s[b] = rotate(s[b] ^ s[c], second)


def compress(chain, block, flags):
    words = list(struct.unpack("<16I", block.ljust(64, b"\0")))
    s = [*chain, *IV[:4], 0, 0, len(block), flags]
    for _ in range(7):
        for i in range(4):
            mix(s, i, 4 + i, 8 + i, 12 + i, words[2 * i], words[2 * i + 1])
        for i in range(4):
            mix(s, i, 4 + (i + 1) % 4, 8 + (i + 2) % 4, 12 + (i + 3) % 4, words[8 + 2 * i], words[9 + 2 * i])
        words = [words[i] for i in ORDER]
    return [s[i] ^ s[i + 8] for i in range(8)]


def blake3(data, key=IV, mode=0):
    assert len(data) <= 1024
    chain, blocks = key, [data[at : at + 64] for at in range(0, len(data), 64)] or [b""]
    for i, block in enumerate(blocks):
        last = i == len(blocks) - 1
        flags = mode | (CHUNK_START if i == 0 else 0) | (CHUNK_END | ROOT if last else 0)
        chain = compress(chain, block, flags)
    return struct.pack("<8I", *chain)


def derive_key(label, material):
    return blake3(material, struct.unpack("<8I", blake3(label.encode(), mode=CONTEXT)), MATERIAL)


def keyed_hash(key, data):
    return blake3(data, struct.unpack("<8I", key), KEYED_HASH)


assert blake3(b"").hex() == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"

# ---- the vectors ------------------------------------------------------------------

U16, U32, U64 = 2**16 - 1, 2**32 - 1, 2**64 - 1
# 64 bytes: 3 x 21 and one of ASCII.
LONG_NAME = "明" * 21 + "x"
CCID, NONCE, SCID, EPOCH = 0x0102030405060708, 0x1112131415161718, 0x2122232425262728, 0x3132333435363738
INSTANCE, TAG, KEY_ID, TOKEN = 0x4142434445464748, 0x5152535455565758, 0x6162636465666768, 0x7172737475767778
COOKIE = bytes(range(0xA0, 0xB8))


def numbered(count):
    return bytes(at % 251 for at in range(count))


def message(number, length=64):
    return (1000 + number, number, 0, f"message {number} ".encode().ljust(length, b"."))


HELLO = {"ccid": CCID, "nonce": NONCE, "flags": 0, "cookie": bytes(24), "instance": INSTANCE, "proof": bytes(16)}
JOINED = {"req": 7, "room": 3, "code": 0, "tag": TAG, "members": 12, "head": 4711, "tail": 616, "next_sseq": 5}
HEAD = {"room": 3, "tag": TAG, "members": 12, "head": 4711, "tail": 616}
BATCH = {"room": 3, "time": 1_800_000_000, "base": 4712}
PRESENCE = [
    ("joined", 16, None, "小明"),
    ("left, idle", 17, 1, "bob"),
    ("left, bye", 17, 0, LONG_NAME),
    ("has a name", 18, None, "bob#2"),
]


def presence_payload(code, name):
    return (b"" if code is None else bytes([code])) + name.encode()


FRAME_VECTORS = [
    ("a room", "JOIN", {"req": 7, "flags": 0, "key_id": 0, "room": "lobby"}),
    ("a sealed, unlisted room", "JOIN", {"req": U16, "flags": 3, "key_id": KEY_ID, "room": LONG_NAME}),
    ("a sealed, listed room", "JOIN", {"req": 8, "flags": 1, "key_id": U64, "room": "x"}),
    ("", "LEAVE", {"req": 9, "room": 3}),
    ("text", "MSG", {"room": 3, "kind": 0, "sseq": 1, "payload": "你好".encode()}),
    ("void", "MSG", {"room": 3, "kind": 2, "sseq": 2, "payload": b""}),
    ("as long as it gets", "MSG", {"room": U16, "kind": 32, "sseq": U32, "payload": numbered(1191)}),
    ("nothing", "NACK", {"room": 3, "ranges": []}),
    ("one number", "NACK", {"room": 3, "ranges": [(4712, 1)]}),
    ("all that it can", "NACK", {"room": 3, "ranges": [(4700 + 20 * i, i) for i in range(15)] + [(U64, U16)]}),
    ("", "REPORT", {"room": 3, "contiguous": 4711, "highest": 4720, "lost": 9, "kib": 17}),
    ("wrapped", "REPORT", {"room": 3, "contiguous": U64 - 1, "highest": U64, "lost": U32, "kib": U16}),
    ("", "PING", {"t": 0x1122334455667788}),
    ("", "PATH_RESPONSE", {"token": TOKEN}),
    ("bye", "CLOSE", {"code": 0, "reason": ""}),
    ("with a reason", "CLOSE", {"code": 3, "reason": "I do not understand"}),
    ("everyone", "WHO", {"req": 10, "room": 3, "cursor": 0, "member": 0}),
    ("one member", "WHO", {"req": 10, "room": 3, "cursor": 0x01020304, "member": 0xDEADBEEF}),
    ("", "LIST", {"req": 11, "cursor": 0x0A0B0C0D}),
    ("", "NICK", {"req": 12, "name": "小红"}),
    ("", "DIRECT", {"to": 0xDEADBEEF, "dseq": 1, "kind": 0, "payload": b"psst"}),
    ("as long as it gets", "DIRECT", {"to": 1, "dseq": U32, "kind": 255, "payload": numbered(1143)}),
    ("", "DIRECT_ACK", {"to": 0xDEADBEEF, "dseq": 1}),
    ("in", "JOINED", JOINED | {"name": "bob#2"}),
    ("in an empty room", "JOINED", JOINED | {"head": 0, "tail": 1, "next_sseq": 1, "name": LONG_NAME}),
    ("not in", "JOINED", dict.fromkeys(JOINED, 0) | {"req": 7, "code": 16, "name": ""}),
    ("", "ACK", {"room": 3, "cumulative": 5, "seq": 4712, "missing": 0}),
    ("one is missing", "ACK", {"room": 3, "cumulative": U32, "seq": U64, "missing": 1}),
    ("one message", "BATCH", BATCH | {"entries": [(0xDEADBEEF, 1, 0, "你好".encode())]}),
    ("messages and an empty one", "BATCH", BATCH | {"entries": [message(1), (1, 2, 1, b""), message(3, 20)]}),
    (
        "presence",
        "BATCH",
        BATCH | {"entries": [(77, 0, kind, presence_payload(code, name)) for _, kind, code, name in PRESENCE]},
    ),
    ("as many as have a number", "BATCH", BATCH | {"time": U32, "base": U64 - 16, "entries": [message(i) for i in range(16)]}),
    ("the longest message", "BATCH", BATCH | {"entries": [(U32, U32, 255, numbered(1191))]}),
    ("", "GAP", {"room": 3, "from": 1, "to": 4095}),
    ("", "HEAD", HEAD),
    ("as a room is told", "HEAD", HEAD | {"tag": 0}),
    ("", "PONG", {"t": 0x1122334455667788}),
    ("", "PATH_CHALLENGE", {"token": TOKEN}),
    ("", "SLOW", {"room": 3, "cause": 2, "msgs_s": 100, "bytes_s": 65536, "retry_ms": 250, "first_dropped_sseq": 6}),
    ("", "RELAY_CLOSE", {"code": 1, "reason": ""}),
    ("moved", "RELAY_CLOSE", {"code": 11, "reason": "relay.example:9999"}),
    ("of an unknown code", "RELAY_CLOSE", {"code": U16, "reason": "x" * 64}),
    ("", "RESULT", {"req": 12, "code": 14}),
    ("", "MEMBERS", {"req": 10, "room": 3, "at": 4711, "next": 9, "listing": [(1, "小明"), (U32, LONG_NAME)]}),
    ("nobody", "MEMBERS", {"req": 10, "room": 3, "at": 0, "next": 0, "listing": []}),
    ("", "ROOMS", {"req": 11, "next": 0, "listing": [(12, "lobby"), (0, "大厅")]}),
    ("", "RELAY_DIRECT", {"from": 0xDEADBEEF, "dseq": 1, "kind": 0, "name": "bob", "payload": b"psst"}),
    ("as long as it gets", "RELAY_DIRECT", {"from": 1, "dseq": U32, "kind": 255, "name": LONG_NAME, "payload": numbered(1143)}),
    ("", "REFUSED", {"room": 3, "sseq": 6, "cause": 4}),
    ("delivered", "DIRECT_DONE", {"peer": 0xDEADBEEF, "dseq": 1, "status": 0}),
    ("too long", "DIRECT_DONE", {"peer": 0xDEADBEEF, "dseq": 2, "status": 4}),
]

DATAGRAM_VECTORS = [
    ("first", "HELLO", HELLO | {"name": "bob"}),
    ("with a cookie", "HELLO", HELLO | {"cookie": COOKIE, "name": LONG_NAME}),
    ("", "RETRY", {"ccid": CCID, "nonce": NONCE, "cookie": COOKIE}),
    ("version 1 is spoken", "VERSION", {"ccid": CCID, "versions": bytes([1, 0, 0, 0, 0, 0, 0, 0])}),
    (
        "",
        "WELCOME",
        {"ccid": CCID, "nonce": NONCE, "scid": SCID, "epoch": EPOCH, "member": 0xDEADBEEF, "max_dgram": 1232}
        | {"idle_s": 60, "keepalive_s": 20, "flags": 0, "msgs_per_s": 100, "bytes_per_s": 65536, "window_bytes": 262144},
    ),
    ("", "REFUSE", {"ccid": CCID, "nonce": NONCE, "code": 5, "retry_ms": 30000}),
    ("", "NOSESSION", {"scid": SCID, "epoch": EPOCH}),
    ("a keep-alive, padded", "SESSION", {"scid": SCID, "pn": 1, "frames": [("PING", {"t": 5})]}),
    ("without frames", "SESSION", {"scid": SCID, "pn": U32, "frames": []}),
    (
        "two messages",
        "SESSION",
        {
            "scid": SCID,
            "pn": 2,
            "frames": [("MSG", {"room": 3, "kind": 0, "sseq": n, "payload": b"hi"}) for n in (1, 2)],
        },
    ),
    ("two frames", "TO_CLIENT", {"ccid": CCID, "frames": [("PONG", {"t": 5}), ("HEAD", HEAD)]}),
    (
        "sixteen messages of 64 bytes",
        "TO_ROOM",
        {"tag": TAG, "frames": [("BATCH", BATCH | {"entries": [message(i) for i in range(16)]})]},
    ),
    ("two seconds", "TO_ROOM", {"tag": TAG, "frames": [
        ("BATCH", BATCH | {"entries": [message(1)]}),
        ("BATCH", BATCH | {"time": 1_800_000_001, "base": 4713, "entries": [message(2)]}),
        ("HEAD", HEAD | {"tag": 0, "head": 4713}),
    ]}),
]

KEY_FILE = b"correct horse battery staple\n"


def proof_vector():
    values = HELLO | {"flags": 1, "cookie": COOKIE, "name": "小明"}
    key = derive_key("outcry 1 access", KEY_FILE.removesuffix(b"\n").removesuffix(b"\r"))
    unproven = datagram("HELLO", values)
    covered = unproven[:56] + encode("name", values["name"])
    values["proof"] = keyed_hash(key, covered)[:16]
    extra = {"key_file": KEY_FILE.decode(), "key": key.hex(), "covered": covered.hex()}
    return ("with a proof", "HELLO", values, extra)


def to_relay(content):
    return (prefix(0x10) + struct.pack("<QI", SCID, 1) + content).ljust(32, b"\0")


def to_client(content, number=0x90):
    return prefix(number) + struct.pack("<Q", CCID) + content


def bad(number, content):
    return bytes([number]) + struct.pack("<H", len(content)) + content


FIRST_HELLO = datagram("HELLO", HELLO | {"name": "bob"})
RETRY = datagram("RETRY", {"ccid": CCID, "nonce": NONCE, "cookie": COOKIE})
PING = frame("PING", {"t": 5})

# What is none, for whom, and why.
REFUSED_VECTORS = [
    ("nothing", "relay", "not native", b""),
    ("one byte of the magic", "relay", "not native", MAGIC[:1]),
    ("other magic", "client", "not native", b"\xf7\x50\x01\x90"),
    ("a prefix that is cut", "relay", "size", MAGIC + b"\x01"),
    ("another version's HELLO", "relay", "version", MAGIC + b"\x02" + FIRST_HELLO[3:]),
    ("another version", "client", "version", MAGIC + b"\x02\x90"),
    ("a type that is none", "relay", "unknown type", prefix(0x02)),
    ("a type that is none", "client", "unknown type", prefix(0x86)),
    ("a relay's type", "relay", "direction", RETRY),
    ("a client's type", "client", "direction", FIRST_HELLO),
    ("a short HELLO", "relay", "size", FIRST_HELLO[:-1]),
    ("a long HELLO", "relay", "size", FIRST_HELLO.ljust(1473, b"\0")),
    ("a HELLO without a name", "relay", "name", datagram("HELLO", HELLO | {"name": ""})),
    ("a HELLO with a name of 65 bytes", "relay", "name", datagram("HELLO", HELLO | {"name": "x" * 65})),
    ("a HELLO with TAB in its name", "relay", "name", datagram("HELLO", HELLO | {"name": "a\tb"})),
    ("a HELLO with C1 in its name", "relay", "name", datagram("HELLO", HELLO | {"name": "a\x85b"})),
    ("a HELLO whose name is cut in a character", "relay", "name", FIRST_HELLO[:72] + b"\x02\xe5\xb0" + FIRST_HELLO[75:]),
    ("a short session datagram", "relay", "size", to_relay(b"")[:-1]),
    ("a long session datagram", "relay", "size", to_relay(b"").ljust(1233, b"\0")),
    ("a RETRY and a byte", "client", "size", RETRY + b"\0"),
    ("no frames and no ccid", "client", "size", prefix(0x90) + bytes(7)),
    ("a frame over the end", "client", "overrun", to_client(PING[:-1])),
    ("a header over the end", "client", "overrun", to_client(frame("PONG", {"t": 5}) + b"\x46\x08")),
    ("a good frame, then one over the end", "relay", "overrun", to_relay(PING + b"\x06\xff\xff" + bytes(8))),
    ("a short PING", "relay", "frame", to_relay(bad(0x06, bytes(7)))),
    ("a long PING", "relay", "frame", to_relay(bad(0x06, bytes(9)))),
    ("a MSG without sseq", "relay", "frame", to_relay(bad(0x03, bytes(7)))),
    ("17 ranges", "relay", "frame", to_relay(bad(0x04, b"\x03\x00\x11" + bytes(170)))),
    ("fewer ranges than told", "relay", "frame", to_relay(bad(0x04, b"\x03\x00\x02" + bytes(10)))),
    ("a room without a name", "relay", "name", to_relay(bad(0x01, bytes(13)))),
    ("a byte behind the name", "relay", "frame", to_relay(bad(0x0B, b"\x01\x00\x01ab"))),
    ("a reason of 65 bytes", "relay", "name", to_relay(bad(0x08, bytes(2) + b"x" * 65))),
    ("JOINED, ok, without a name", "client", "name", to_client(bad(0x41, bytes(39)))),
    ("an entry over the end", "client", "frame", to_client(bad(0x43, bytes(14) + b"\x01" + bytes(9) + b"\x01\x00"))),
    ("a byte behind the entries", "client", "frame", to_client(bad(0x43, bytes(16)))),
    ("numbers over the end", "client", "frame", to_client(frame("BATCH", BATCH | {"base": U64, "entries": [message(1)]}))),
    ("fewer members than told", "client", "frame", to_client(bad(0x4B, bytes(16) + b"\x01"))),
    ("PONG to a room", "client", "not for a room", to_client(frame("PONG", {"t": 5}), 0x91)),
    ("an unknown frame to a room", "client", "not for a room", to_client(bad(0x7F, b""), 0x91)),
]

# Other bytes than a sender of today writes, but good: what is said by them.
LENIENT_VECTORS = [
    ("a frame of an unknown type is skipped", "SESSION", {"scid": SCID, "pn": 1, "frames": [("PING", {"t": 5})]},
     to_relay(bad(0x7E, b"what") + PING)),
    ("what stands behind type 0 is padding", "SESSION", {"scid": SCID, "pn": 1, "frames": [("PING", {"t": 5})]},
     to_relay(PING + b"\x00\xff\xff\xff")),
    ("reserved bits are not looked at", "SESSION",
     {"scid": SCID, "pn": 1, "frames": [("JOIN", {"req": 7, "flags": 1, "key_id": 0, "room": "x"})]},
     to_relay(bad(0x01, b"\x07\x00\xfd\xff" + bytes(8) + b"\x01x"))),
    ("a train's padding", "TO_CLIENT", {"ccid": CCID, "frames": [("PONG", {"t": 5})]},
     to_client(frame("PONG", {"t": 5})).ljust(100, b"\0")),
    ("a HELLO as long as it gets", "HELLO", HELLO | {"name": "bob"}, FIRST_HELLO.ljust(1472, b"\0")),
    ("an answer of another version", "VERSION", {"ccid": CCID, "versions": bytes([2, 3, 0, 0, 0, 0, 0, 0])},
     prefix(0x82, 3) + struct.pack("<Q", CCID) + bytes([2, 3, 0, 0, 0, 0, 0, 0])),
]

# ---- how they are printed -----------------------------------------------------------


def shown(table, values):
    """Numbers of 64 bits as text, for JSON has none; bytes as hex."""

    def show(kind, value):
        return {
            "u64": lambda: f"{value:#018x}",
            "bytes": lambda: value.hex(),
            "ranges": lambda: [{"start": f"{start:#018x}", "count": count} for start, count in value],
            "entries": lambda: [dict(zip(("member", "sseq", "kind", "payload"), (*e[:3], e[3].hex()))) for e in value],
            "listing": lambda: [{"number": number, "name": name} for number, name in value],
            "frames": lambda: [{"frame": name} | shown(FRAMES[name][1], inner) for name, inner in value],
        }.get(kind, lambda: value)()

    return {name: show(kind, values[name]) for name, kind in fields(table) if name != "0"}


def vectors():
    for title, what, values in FRAME_VECTORS:
        yield "frames", {"title": title, "frame": what} | shown(FRAMES[what][1], values) | {"hex": frame(what, values).hex()}
    for title, what, values, *extra in [*DATAGRAM_VECTORS, proof_vector()]:
        said = {"title": title, "datagram": what} | shown(DATAGRAMS[what][1], values)
        yield "datagrams", said | (extra[0] if extra else {}) | {"hex": datagram(what, values).hex()}
    for title, kind, code, who in PRESENCE:
        payload = presence_payload(code, who).hex()
        yield "presence", {"title": title, "kind": kind} | ({} if code is None else {"code": code}) | {"who": who, "hex": payload}
    for title, what, values, sent in LENIENT_VECTORS:
        yield "lenient", {"title": title, "datagram": what} | shown(DATAGRAMS[what][1], values) | {"hex": sent.hex()}
    for title, reader, why, sent in REFUSED_VECTORS:
        yield "refused", {"title": title, "to": reader, "why": why, "hex": sent.hex()}


def main():
    groups = {}
    for group, vector in vectors():
        groups.setdefault(group, []).append(json.dumps(vector, ensure_ascii=False))
    lines = [f' "{group}": [\n  ' + ",\n  ".join(entries) + "\n ]" for group, entries in groups.items()]
    sys.stdout.reconfigure(encoding="utf-8", newline="\n")
    print("{\n" + ",\n".join(lines) + "\n}")


if __name__ == "__main__":
    main()
