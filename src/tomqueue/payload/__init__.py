"""A job's arguments as JSON text and back, with the types that the job declares.

The rule: what is enqueued must come back as it was. Each payload is read again, with the declared types,
before it is stored, so that a worker with the same code can read it and nothing changes silently on the way.
Two changes are allowed because no annotation could prevent them: a tuple under ``Any`` comes back as a list,
and a subclass of a plain type (``OrderedDict``, a marked-safe ``str``) as the plain type.

codecs (a call, an instance) → layout (named, typed values) | returned (a result) → fidelity (the same again?) | text
(JSON) | secrecy (what is not to be shown of them)

keyring: how a payload is encrypted where the database keeps it
"""

from tomqueue.payload.codecs import ArgumentsCodec, InstanceCodec, function_hints
from tomqueue.payload.fidelity import field_names
from tomqueue.payload.keyring import Keyring, new_key
from tomqueue.payload.layout import Layout
from tomqueue.payload.returned import NotJson, ReturnCodec, faithful_json
from tomqueue.payload.secrecy import OPEN, Secrecy, check_names, vague
from tomqueue.payload.text import digest_of

__all__ = [
    "OPEN",
    "ArgumentsCodec",
    "InstanceCodec",
    "Keyring",
    "Layout",
    "NotJson",
    "ReturnCodec",
    "Secrecy",
    "check_names",
    "digest_of",
    "faithful_json",
    "field_names",
    "function_hints",
    "new_key",
    "vague",
]
