"""What no honest client sends, as strategies for hypothesis: texts, JSON values, and bytes that are nearly JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

#: Longest body that the hub reads of a start request, in bytes.
BODY_LIMIT = 16 * 1024

# Any character there is, halves of surrogate pairs included.
ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=40)

TRICKS = (
    "regular\nrequest_memory = 900000",
    "regular\r\nqueue 100",
    "queue 100",
    '\n+Owner = "bob"',
    "+RequestMemory=999999",
    "My.AllowedJobDuration = 999999999",
    "$(HOME)",
    "$$(TotalMemory)",
    '$$([strcat("a", "b")])',
    "$ENV(PATH)",
    "$F(x)",
    "$INT(9)",
    "$RANDOM_CHOICE(large,xlarge)",
    "@=end\nexecutable=/bin/sh\n@end",
    "include : /etc/passwd |",
    '" || true || "',
    '"; AfhubClass = "xlarge',
    "\" A='1' LD_PRELOAD=/tmp/x.so \"",
    "'' \"\" ''",
    'ifThenElse(true, "large", "regular")',
    "undefined",
    "error",
    "[ a = 1 ]",
    '{ "regular" }',
    "../large",
    "/etc/passwd",
    "`id`",
    "$(id)",
    "; id",
    "| id",
    "${jndi:ldap://192.0.2.1/x}",
    "{{ 7 * 7 }}",
    "{0.__class__}",
    "%s%s%n",
    "%0a%0dqueue",
    "' OR 1=1 --",
    "<script>alert(1)</script>",
    "\x00",
    "\x1b[2J",
    "\x7f",
    "\x85",
    "\u2028",
    "\u202eralugerx",
    "\ufeffregular",
    "\ud800",
    "\udfff\ud800",
    "\U0010ffff",
)

_LOOK_ALIKES = str.maketrans({"a": "а", "e": "е", "g": "ɡ", "l": "ⅼ", "r": "г", "u": "ս", "x": "х"})
_CHANGES: tuple[Callable[[str], str], ...] = (
    str.upper,
    str.title,
    lambda name: f" {name}",
    lambda name: f"{name} ",
    lambda name: f"{name}\n",
    lambda name: f"\r\n{name}",
    lambda name: f"{name}\t",
    lambda name: f"{name}\x00",
    lambda name: f"{name}\u200b",
    lambda name: f"\u2066{name}\u2069",
    lambda name: f'"{name}"',
    lambda name: f"'{name}'",
    lambda name: f"{name},{name}",
    lambda name: f"{name};",
    lambda name: f"{name}\\",
    lambda name: f"./{name}",
    lambda name: name[:-1],
    lambda name: name + name[-1],
    lambda name: name[::-1],
    lambda name: name.translate(_LOOK_ALIKES),
    lambda name: "".join(chr(ord(char) + 0xFEE0) for char in name),
    lambda name: "".join(f"{char}\u0301" for char in name),
    lambda name: "\u00ad".join(name),
)


def texts(names: Sequence[str]) -> st.SearchStrategy[str]:
    """Texts, among them many that are nearly one of these names; none is one of them."""
    near = st.builds(lambda name, change: change(name), st.sampled_from(names), st.sampled_from(_CHANGES))
    found = st.one_of(near, st.sampled_from(TRICKS), ANY_TEXT, near.map(lambda text: text * 300))
    return found.filter(lambda text: text not in names)


NUMBERS = st.one_of(
    st.integers(),
    st.floats(),
    st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400), 1e308, -0.0]),
)


def values(names: Sequence[str]) -> st.SearchStrategy[Any]:
    """JSON values of any kind, nested."""
    leaves = st.one_of(st.none(), st.booleans(), NUMBERS, texts(names), st.sampled_from(names))
    keys = st.sampled_from(["notebook_class", "user_options", "memory", "Owner", ""]) | texts(names)
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
        max_leaves=8,
    )


# Bytes that are a text to one reader and none, or another one, to the next.
_ENCODINGS: tuple[Callable[[str], bytes], ...] = (
    lambda text: text.encode("utf-16"),
    lambda text: text.encode("utf-16-le"),
    lambda text: text.encode("utf-16-be"),
    lambda text: text.encode("utf-32"),
    lambda text: text.encode("utf-8-sig"),
    lambda text: text.encode("cp500"),
    lambda text: text.encode() + b"\xff",
    lambda text: b"\x00" + text.encode(),
    lambda text: text.encode() + b"\x00",
)
_BREAKS: tuple[Callable[[str], str], ...] = (
    lambda text: text[:-1],
    lambda text: text + text,
    lambda text: text + "}",
    lambda text: text.replace('"', "'"),
    lambda text: text.replace("{", "{,"),
    lambda text: text.replace("}", ",}"),
    lambda text: f"/* */ {text}",
    lambda text: f")]}}',\n{text}",
    lambda text: f"<!-- {text} -->",
    lambda text: text.replace(":", "="),
)


def as_json(value: Any) -> bytes:
    """A value as JSON, with NaN and halves of surrogate pairs written as they are."""
    return json.dumps(value).encode()


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return False
    return True


def broken_json(honest: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """Bytes that are no JSON in UTF-8, though most come from honest bodies; and JSON that is nested without end."""
    sources = st.sampled_from([json.dumps(body) for body in honest])
    depths = st.integers(1, 12_000)
    return st.one_of(
        st.builds(lambda text, encode: encode(text), sources, st.sampled_from(_ENCODINGS)),
        st.builds(lambda text, change: change(text).encode(), sources, st.sampled_from(_BREAKS)),
        st.binary(min_size=1, max_size=200).filter(lambda body: not _is_json(body)),
        depths.map(lambda depth: b"[" * depth),
        depths.map(lambda depth: b"[" * (depth // 2) + b"]" * (depth // 2) or b"["),
        depths.map(lambda depth: b'{"notebook_class":' * (depth // 10 + 1)),
        st.integers(4000, 9000).map(lambda digits: b'{"notebook_class":' + b"9" * digits + b"}"),
    )


def twice(key: str, first: str, second: str) -> bytes:
    """A JSON object that holds a key two times."""
    return f"{{{json.dumps(key)}: {json.dumps(first)}, {json.dumps(key)}: {json.dumps(second)}}}".encode()


#: Sizes around the longest body that is read.
SIZES = st.one_of(
    st.integers(BODY_LIMIT - 40, BODY_LIMIT + 40),
    st.sampled_from([1000, 8 * 1024, 64 * 1024, 200_000]),
)
