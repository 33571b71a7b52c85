"""Payloads that are encrypted where the database keeps them: AES-256-GCM, under keys that can be rotated.

``enc:v1:<key id>:<base64 of nonce, ciphertext and tag>``. The job's name is authenticated with it, so that a payload
that was put into another job's row is refused. The library is imported when there are keys, and not before.
"""

import base64
import binascii
import secrets
from collections.abc import Callable, Mapping
from hashlib import blake2b
from importlib import import_module
from typing import NamedTuple, Protocol

from tomqueue.errors import SettingsError, UnknownKey, UnreadableArguments
from tomqueue.redaction import SEALED

__all__ = ["Keyring", "new_key"]

KEY_BYTES = 32
NONCE_BYTES = 12
"""What AES-GCM takes; random, so that one key is good for 2**32 payloads (NIST SP 800-38D)."""
HOW_TO_GET_ONE = "make one with `tomqueue generate-key`"


class Cipher(Protocol):
    """What is used of the library's AESGCM."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Return the ciphertext and its tag."""

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes | None) -> bytes:
        """Return the plain bytes; raises InvalidTag."""


class Library(NamedTuple):
    """What makes ciphers, and what they raise when a text is not theirs."""

    cipher: Callable[[bytes], Cipher]
    refusal: type[Exception]


class Keyring:
    """The keys of an application: the first encrypts, all decrypt.

    ``text`` is the setting ``encryption_keys``. Raises SettingsError that never quotes a key, also when the library
    is not installed.
    """

    def __init__(self, text: str = "") -> None:
        raw = [decoded(place, key) for place, key in enumerate(filter(None, map(str.strip, text.split(","))), start=1)]
        self._ciphers: Mapping[str, Cipher] = {}
        self._refusal: type[Exception] = ValueError
        if raw:
            make, self._refusal = library()
            self._ciphers = {id_of(one): make(one) for one in raw}

    def __repr__(self) -> str:
        return f"<Keyring of {len(self._ciphers)} keys>"

    def __bool__(self) -> bool:
        return bool(self._ciphers)

    @property
    def ids(self) -> tuple[str, ...]:
        """The public names of the keys; the first is of the one that encrypts."""
        return tuple(self._ciphers)

    def check(self) -> None:
        """Raise SettingsError if there is no key to encrypt with."""
        if not self._ciphers:
            raise SettingsError(
                f"there is no key to encrypt with: set encryption_keys, or TOMQUEUE_ENCRYPTION_KEYS ({HOW_TO_GET_ONE})"
            )

    def seal(self, job_name: str, payload: str) -> str:
        """Return ``payload`` encrypted for a job's row. Raises SettingsError without a key."""
        self.check()
        key_id, cipher = next(iter(self._ciphers.items()))
        begin = f"{SEALED}{key_id}:"
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = cipher.encrypt(nonce, payload.encode(), f"{begin}{job_name}".encode())
        return begin + base64.urlsafe_b64encode(nonce + sealed).decode()

    def open(self, job_name: str, payload: str) -> str:
        """Return a stored payload in plain text; one that is not encrypted as it is.

        Raises UnknownKey, and UnreadableArguments for one that was changed or is another job's.
        """
        if not payload.startswith(SEALED):
            return payload
        key_id, _, text = payload.removeprefix(SEALED).partition(":")
        cipher = self._ciphers.get(key_id)
        if cipher is None:
            raise UnknownKey(f"{job_name}: the arguments are encrypted with the key {key_id!r}, and {self._here()}")
        try:
            data = base64.b64decode(text, altchars=b"-_", validate=True)
            plain = cipher.decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], f"{SEALED}{key_id}:{job_name}".encode())
            return plain.decode()
        except (self._refusal, ValueError) as error:
            raise UnreadableArguments(
                f"{job_name}: the encrypted arguments cannot be decrypted: they were changed, or are of a job of "
                "another name"
            ) from error

    def _here(self) -> str:
        here = f"the keys here are {', '.join(self._ciphers)}" if self._ciphers else "there are no keys here"
        return f"{here}: add it to encryption_keys (TOMQUEUE_ENCRYPTION_KEYS)"


def new_key() -> str:
    """Return a new key, as the setting takes it."""
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def decoded(place: int, key: str) -> bytes:
    """Return the bytes of a key; raise SettingsError that says which one is none."""
    try:
        raw = base64.b64decode(key.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != KEY_BYTES:
        raise SettingsError(
            f"encryption_keys: key {place} is not {KEY_BYTES} bytes in base64 (commas stand between keys): "
            f"{HOW_TO_GET_ONE}"
        )
    return raw


def id_of(key: bytes) -> str:
    """Return the public name of a key, which tells nothing about it."""
    return blake2b(key, digest_size=4, person=b"tomqueue key id").hexdigest()


def library() -> Library:
    """Return what is used of the package cryptography; raise SettingsError that says how to install it."""
    try:
        ciphers = import_module("cryptography.hazmat.primitives.ciphers.aead")
        return Library(ciphers.AESGCM, import_module("cryptography.exceptions").InvalidTag)
    except ModuleNotFoundError as error:
        cure = "pip install 'tomqueue[encryption]'"
        raise SettingsError(f"encryption_keys needs the package cryptography: {cure}") from error
