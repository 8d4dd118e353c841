"""What strangers may put into every text that they can reach, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

MARK = "ZQX"  # stands in every hostile text, so that a test sees where it went

HOSTILE = (
    f"{MARK}<!channel> <!here|x> <@U0123ABCD> <#C1> <!subteam^S1>",
    f"<https://evil.example|bank.com {MARK}> <mailto:a@b|c>",
    f"*{MARK}* _it_ ~s~ `code` ```pre``` :tada: > quote &lt;!channel&gt; &amp;",
    f"\u202e{MARK}gnp.exe\u202c \u2066x\u2069 zero\u200b\u200d\ufeffwidth",
    f"{MARK}\x00\x07\ud800 half",
    f"{MARK}" + "\n" * 700,
    MARK + "a" * 500_000,
    MARK + "💥" * 20_000,
    "<!channel>" * 60_000 + MARK,
)
NOTHING = ("", " ", "\u200b", "\u3164", "\n\n", "\u2800 \ufeff")

any_text = st.one_of(
    st.sampled_from(HOSTILE),
    st.sampled_from(NOTHING),
    st.text(max_size=60),
    st.text(max_size=400).map(lambda text: text + MARK),
)
a_line = st.one_of(st.sampled_from(HOSTILE[:5]), st.sampled_from(NOTHING), st.text(max_size=40))
