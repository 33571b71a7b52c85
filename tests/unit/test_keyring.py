"""Encrypted payloads: what is refused, what can be rotated, and what is never shown."""

import base64
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tomqueue import TomQueue
from tomqueue.errors import DefinitionError, Parked, SettingsError, UnknownKey, UnreadableArguments
from tomqueue.payload import Keyring, new_key
from tomqueue.settings import read_settings

KEY, OTHER = new_key(), new_key()
KEYRING = Keyring(KEY)
PAYLOAD = '{"password":"hunter2"}'


@given(st.text(max_size=200), st.text(alphabet="abc._", min_size=1, max_size=20))
def test_what_was_sealed_is_opened(payload: str, name: str) -> None:
    """Whatever it was; and twice the same is not the same to see."""
    sealed = KEYRING.seal(name, payload)
    assert KEYRING.open(name, sealed) == payload
    assert sealed != KEYRING.seal(name, payload)
    assert sealed.isascii()


def test_what_is_not_sealed_is_as_it_is() -> None:
    """Rows from before the job was encrypted are read."""
    assert KEYRING.open("send", PAYLOAD) == PAYLOAD
    assert Keyring().open("send", PAYLOAD) == PAYLOAD


def test_nothing_of_a_payload_can_be_changed() -> None:
    """Every byte of nonce, ciphertext and tag, and whatever else may stand there."""
    begin, _, text = KEYRING.seal("send", PAYLOAD).rpartition(":")
    data = base64.urlsafe_b64decode(text)
    for place in range(len(data)):
        changed = bytes([*data[:place], data[place] ^ 1, *data[place + 1 :]])
        with pytest.raises(UnreadableArguments, match="send: the encrypted arguments cannot be decrypted"):
            KEYRING.open("send", f"{begin}:{base64.urlsafe_b64encode(changed).decode()}")
    for broken in ("", "é", "A", "!" * 40, text[:-8], text[:12], f"{text}AAAA"):
        with pytest.raises(UnreadableArguments):
            KEYRING.open("send", f"{begin}:{broken}")


def test_a_payload_belongs_to_its_job() -> None:
    """Put into the row of another one it is refused."""
    with pytest.raises(UnreadableArguments, match="or are of a job of another name"):
        KEYRING.open("pay", KEYRING.seal("send", PAYLOAD))


def test_a_key_that_is_not_here_is_named_by_its_id() -> None:
    """A worker with it can read the job: this one parks it."""
    sealed = Keyring(OTHER).seal("send", PAYLOAD)
    with pytest.raises(UnknownKey, match=f"send: .* the key '{Keyring(OTHER).ids[0]}'.*the keys here are") as raised:
        KEYRING.open("send", sealed)
    assert isinstance(raised.value, Parked)
    with pytest.raises(UnknownKey, match="there are no keys here: add it to encryption_keys"):
        Keyring().open("send", sealed)
    with pytest.raises(UnknownKey):
        KEYRING.open("send", "enc:v1:")


def test_keys_are_rotated() -> None:
    """The first encrypts, all decrypt, in any order and with spaces between."""
    old = KEYRING.seal("send", PAYLOAD)
    both = Keyring(f" {OTHER} , {KEY},")
    assert both.ids == (*Keyring(OTHER).ids, *KEYRING.ids)
    assert both.open("send", old) == PAYLOAD
    assert Keyring(OTHER).open("send", both.seal("send", PAYLOAD)) == PAYLOAD


@pytest.mark.parametrize("key", ["hunter2", "A" * 42, "A" * 44, base64.b64encode(b"hunter2").decode(), "é" * 44])
def test_what_is_no_key_is_not_quoted(key: str) -> None:
    """Which one it is, and how to make one."""
    with pytest.raises(
        SettingsError, match=r"encryption_keys: key 2 is not 32 bytes in base64.*`tomqueue generate-key`"
    ) as raised:
        TomQueue("sqlite://", encryption_keys=f"{KEY},{key}")
    assert key not in str(raised.value)
    assert KEY not in str(raised.value)


def test_base64_of_either_alphabet_is_a_key() -> None:
    """As other tools make them (openssl rand -base64 32)."""
    raw = b"\xff\xfe" * 16
    assert Keyring(base64.b64encode(raw).decode()).ids == Keyring(base64.urlsafe_b64encode(raw).decode()).ids


def test_keys_are_in_no_repr() -> None:
    """Nor are the passwords of URLs in that of the settings; a supervisor is not even told of the keys."""
    tq = TomQueue("sqlite:///hunter2.db", encryption_keys=KEY, encrypt=True, broker_url="amqp://me:hunter2@host/")
    settings = read_settings({"TOMQUEUE_ENCRYPTION_KEYS": KEY})
    shown = f"{tq.settings!r} {tq.settings} {settings!r} {tq.keyring!r} {tq.keyring}"
    assert KEY not in shown
    assert "hunter2" not in shown
    assert "encryption_keys=***" in repr(settings)
    assert "prefix='tomqueue'" in repr(settings)
    assert tq.supervisor_settings().encryption_keys == ""


def test_without_a_key_nothing_can_be_declared_encrypted() -> None:
    """The error is where it is written, and says how to get a key."""
    tq = TomQueue("sqlite://")
    message = "encrypt=True needs a key: set TOMQUEUE_ENCRYPTION_KEYS.*`tomqueue generate-key`"

    def send(password: str) -> None: ...

    class Mail:
        password: str

        def process(self) -> None: ...

    declarations: tuple[Any, ...] = (send, Mail)
    for declared in declarations:
        with pytest.raises(DefinitionError, match=message):
            tq.job(encrypt=True)(declared)
    assert tq.registry.names() == []
    with pytest.raises(DefinitionError, match=message):
        tq.target(encrypt=True)(Mail)
    with pytest.raises(DefinitionError, match="encrypt='yes' must be True or False"):
        tq.job(encrypt="yes")(send)  # type: ignore[call-overload]
    with pytest.raises(SettingsError, match="encrypt=True needs a key"):
        TomQueue("sqlite://", encrypt=True)


def test_the_setting_counts_where_a_job_says_nothing() -> None:
    """For functions, classes and methods."""
    tq = TomQueue("sqlite://", encryption_keys=KEY, encrypt=True)

    @tq.job(name="usual")
    def usual() -> None: ...

    @tq.job(name="plain", encrypt=False)
    def plain() -> None: ...

    @tq.target(name="Thing")
    class Thing:
        def touch(self) -> None: ...

        @tq.handle_asynchronously(encrypt=False)
        def see(self) -> None: ...

    assert tq.registry.encrypted() == ["Thing.touch", "usual"]
    assert plain.options.encrypt is False


def test_the_library_is_imported_when_there_are_keys() -> None:
    """Not before: who does not encrypt need not have it, and does not wait for it."""
    script = (
        "import sys, tomqueue\ntomqueue.TomQueue('sqlite://')\nassert 'cryptography' not in sys.modules\n"
        "sys.modules['cryptography'] = None\n"
        f"try:\n    tomqueue.TomQueue('sqlite://', encryption_keys='{KEY}')\n"
        "except Exception as error:\n    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("SettingsError encryption_keys needs the package cryptography: pip install")
    assert "'tomqueue[encryption]'" in done.stdout
    assert KEY not in done.stdout
