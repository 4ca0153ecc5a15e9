"""Prints the vectors of src/client/seal.rs, with none of its code.

    pip install pynacl argon2-cffi blake3 && python3 tests/python/seal_vectors.py
"""

import struct
import unicodedata

import argon2.low_level as argon2
import blake3
import nacl.bindings

ROOM, PASSPHRASE = "den", "cafe\u0301 \ufb01sh"


def derive_key(label: str, material: bytes) -> bytes:
    return blake3.blake3(material, derive_key_context=label).digest()


secret = argon2.hash_secret_raw(
    unicodedata.normalize("NFKC", PASSPHRASE).encode(),
    derive_key("outcry 1 room salt", ROOM.encode()),
    time_cost=3,
    memory_cost=64 * 1024,
    parallelism=4,
    hash_len=32,
    type=argon2.Type.ID,
    version=0x13,
)
key_id = derive_key("outcry 1 room key id", secret)[:8]
name = "小明".encode()
plain = struct.pack("<QQB", 7, 9, len(name)) + name + b"hello"
nonce = bytes(range(24))
aad = b"outcry 1 sealed message" + key_id + ROOM.encode() + b"\x01"
key = derive_key("outcry 1 room message key", secret)
sealed = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(plain, aad, nonce, key)
print("key_id ", hex(struct.unpack("<Q", key_id)[0]))
print("payload", (key_id + nonce + sealed).hex())
