"""Strategies of hypothesis that several tests draw from."""

from hypothesis import strategies as st

from nix_autocache.nix.narinfo import render
from tests.harness.samples import FILE, INFO, KEY, OTHERS, SIGNED, UNSIGNED

LINES = [line.encode() for text in (SIGNED, UNSIGNED, render(INFO, FILE, OTHERS)) for line in text.splitlines()]
ODD = [b"", b": ", b"StorePath: ", b"Sig: " + KEY.sign(b"x").encode(), b"NarSize: 121", b"References: ", b"CA: x"]
BYTES = st.binary(max_size=12)


@st.composite
def texts(draw: st.DrawFn, whole: bytes) -> bytes:
    """A text with some of its lines left out, doubled, moved or from elsewhere, and some of its bytes replaced."""
    lines = whole.split(b"\n")
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(lines)))
        lines[place : place + draw(st.integers(0, 2))] = draw(
            st.lists(st.one_of(st.sampled_from(LINES + ODD), BYTES), max_size=2)
        )
    text = bytearray(b"\n".join(lines))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(text)))
        text[place : place + draw(st.integers(0, 3))] = draw(BYTES)
    return bytes(text)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
