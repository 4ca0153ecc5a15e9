#!/usr/bin/env python3
"""Writes the seeds of the decoders' targets from the golden vectors.

    python3 fuzz/seeds.py

Seeds that were found by fuzzing stay where they are.
"""

import json
import pathlib
import re

FUZZ = pathlib.Path(__file__).parent
PREFIX, TO_RELAY, TO_CLIENT = "f74f01", "10" + "11" * 8 + "01000000", "90" + "22" * 8


def seed(target, kind, title, hexed):
    name = re.sub(r"[^a-z0-9]+", "-", f"{kind} {title}".lower()).strip("-")
    folder = FUZZ / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(bytes.fromhex(hexed))


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


if __name__ == "__main__":
    main()
