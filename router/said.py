"""The text of a message as conditions ask it: split into words once a decision, and only if a rule asks."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

LIMIT_CHARS = 20_000  # of a message; what stands further down decides no queue

_WORD = re.compile(r"\w+")
# Thai, Lao, Burmese, Khmer, Kana and Han are written without spaces: there a word is found anywhere in the text.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def _fold(text: str) -> str:
    return text.lower() if text.isascii() else unicodedata.normalize("NFC", text).casefold()


@dataclass(frozen=True, slots=True)
class Wanted:
    """Words looked for, any of them. phrases: words in a row, by their first, each between spaces."""

    words: frozenset[str]
    phrases: tuple[tuple[str, str], ...]
    pieces: tuple[str, ...]

    @classmethod
    def of(cls, texts: Iterable[str]) -> Wanted:
        words, phrases, pieces = [], [], []
        for text in texts:
            folded = _fold(text)
            tokens = _WORD.findall(folded)
            if _UNSPACED.search(folded):
                pieces.append(folded)
            elif len(tokens) == 1:
                words.append(tokens[0])
            elif tokens:
                phrases.append((tokens[0], f" {' '.join(tokens)} "))
        return cls(frozenset(words), tuple(phrases), tuple(pieces))

    def __bool__(self) -> bool:
        return bool(self.words or self.phrases or self.pieces)


class Said:
    """One message's text. Nothing is computed before it is asked for, and nothing twice."""

    __slots__ = ("_folded", "_joined", "_tokens", "_words", "text")

    def __init__(self, text: str) -> None:
        self.text = text if len(text) <= LIMIT_CHARS else text[:LIMIT_CHARS]
        self._folded: str | None = None
        self._tokens: list[str] | None = None
        self._words: frozenset[str] | None = None
        self._joined: str | None = None

    @property
    def folded(self) -> str:
        if self._folded is None:
            self._folded = _fold(self.text)
        return self._folded

    @property
    def words(self) -> frozenset[str]:
        if self._words is None:
            self._tokens = _WORD.findall(self.folded)
            self._words = frozenset(self._tokens)
        return self._words

    @property
    def joined(self) -> str:
        """The words between single spaces, so that a phrase is a plain search."""
        if self._joined is None:
            assert self.words is not None
            self._joined = f" {' '.join(self._tokens or ())} "
        return self._joined

    def has(self, wanted: Wanted) -> bool:
        words = self.words if self._words is None else self._words
        if not wanted.words.isdisjoint(words):
            return True
        for first, phrase in wanted.phrases:
            if first in words and phrase in self.joined:
                return True
        return bool(wanted.pieces) and any(piece in self.folded for piece in wanted.pieces)

    def which(self, wanted: Wanted) -> list[str]:
        """What of it was found, sorted; for explanations."""
        found = set(wanted.words & self.words)
        found.update(phrase.strip() for first, phrase in wanted.phrases if phrase in self.joined)
        found.update(piece for piece in wanted.pieces if piece in self.folded)
        return sorted(found)
