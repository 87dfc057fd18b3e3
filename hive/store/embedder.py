"""Text to vectors in integers: the static table inside the `wordllama` wheel.

Theory of operation. A text's words (runs of letters and digits, split where camel case turns,
lower case) are cut into the pieces of the table's vocabulary by byte-pair merging, which for
this vocabulary means: join the adjacent pair whose union has the lowest id. A piece that
occurs n times weighs 256·√n (integer square root). The rows of the table, 16-bit floats in the
wheel, are multiplied by 16 (exact: a power of two), rounded and kept as 8-bit integers; from
there on nothing is a float: the weighted sum, its length by `math.isqrt` and the division that
brings every vector to length 512. So one text gives one vector, to the bit, on every machine.

The two files are read where they lie and checked against the hashes below. wordllama itself is
never imported (its loader wants the network), nor `tokenizers` (20 MB resident, same pieces).
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import math
import re
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hive.errors import ConfigError

WEIGHTS_FILE = "weights/l2_supercat_256.safetensors"
WEIGHTS_SHA256 = "64b47a2dc493cb8e85944076601189739852d7b64e0e1eedcb1937a251cd9fd5"
VOCABULARY_FILE = "tokenizers/l2_supercat_tokenizer_config.json"
VOCABULARY_SHA256 = "93248f2a9ec36c7b35f700a033d5f36228aae48db61aee31007fa49062cdeb68"
PIECES_COUNT = 32_000
DIMENSIONS = 256
TABLE_SCALE = 16
VECTOR_LENGTH = 512
COMPONENT_MAX = 127
WORD_CHARACTERS_MAX = 40
WORDS_CACHED_MAX = 16_384
LOAD_ROWS = 1_000
SUM_BITS_MAX = 24

_WORD = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"([a-z])([A-Z])")
_HINT = "install the default embedder: pip install 'wordllama==0.4.0.post1'"


class Embedder(Protocol):
    """Turns texts into integer vectors; equal texts give equal vectors on one machine."""

    @property
    def name(self) -> str:
        """Names model and method; a projection made under another name is rebuilt."""
        ...

    @property
    def dimensions(self) -> int: ...

    @property
    def is_reproducible(self) -> bool:
        """Whether vectors are equal on all machines: without that no answer is called exact."""
        ...

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """One row a text; a text without words gives zeros."""
        ...


class StaticEmbedder:
    """The default embedder; loads its 8 MB table on first use, safe from several threads."""

    name = "wordllama-l2-supercat-256/int8/1"
    dimensions = DIMENSIONS
    is_reproducible = True

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory
        self._loading = threading.Lock()
        self._loaded: tuple[NDArray[np.int8], Vocabulary] | None = None

    def embed(self, texts: Sequence[str]) -> NDArray[np.int8]:
        """One row a text, of length 512, components clipped to ±127."""
        table, vocabulary = self._loaded or self._load()
        vectors = np.zeros((len(texts), DIMENSIONS), dtype=np.int8)
        for row, text in enumerate(texts):
            if counts := Counter(vocabulary.pieces(text)):
                vectors[row] = normalised(_weighted_sum(table, counts))
        return vectors

    def _load(self) -> tuple[NDArray[np.int8], Vocabulary]:
        with self._loading:
            if self._loaded is None:
                directory = self._directory or _installed_directory()
                vocabulary = Vocabulary(_read_vocabulary(directory / VOCABULARY_FILE))
                self._loaded = _read_table(directory / WEIGHTS_FILE), vocabulary
            return self._loaded


class Vocabulary:
    """Cuts words into pieces by byte-pair merging and remembers the words of late."""

    def __init__(self, ids: dict[str, int]) -> None:
        self._ids = ids
        self._bytes = [ids[f"<0x{octet:02X}>"] for octet in range(256)]
        self._cached: dict[str, tuple[int, ...]] = {}

    def pieces(self, text: str) -> list[int]:
        """The piece ids of every word of `text`, in order."""
        pieces: list[int] = []
        for word in _WORD.findall(_CAMEL.sub(r"\1 \2", text).lower()):
            found = self._cached.get(word)
            pieces.extend(self._cut(word) if found is None else found)
        return pieces

    def _cut(self, word: str) -> tuple[int, ...]:
        pieces: list[int] = []
        for start in range(0, len(word), WORD_CHARACTERS_MAX):
            part = word[start : start + WORD_CHARACTERS_MAX]
            pieces.extend(self._merge("▁" + part if start == 0 else part))
        if len(word) <= WORD_CHARACTERS_MAX:
            if len(self._cached) >= WORDS_CACHED_MAX:
                self._cached.clear()
            self._cached[word] = tuple(pieces)
        return tuple(pieces)

    def _merge(self, word: str) -> list[int]:
        ids = self._ids
        parts = list(word)
        while True:
            unions = [ids.get(a + b, PIECES_COUNT) for a, b in itertools.pairwise(parts)]
            lowest = min(unions, default=PIECES_COUNT)
            if lowest == PIECES_COUNT:
                break
            at = unions.index(lowest)
            parts[at : at + 2] = [parts[at] + parts[at + 1]]
        pieces: list[int] = []
        for part in parts:
            known = ids.get(part)
            pieces.extend([known] if known is not None else self._fallback(part))
        return pieces

    def _fallback(self, character: str) -> list[int]:
        return [self._bytes[octet] for octet in character.encode("utf-8", "replace")]


def _weighted_sum(table: NDArray[np.int8], counts: Counter[int]) -> NDArray[np.int64]:
    rows = table[list(counts)].astype(np.int32)
    weights = np.array([math.isqrt(count << 16) for count in counts.values()], dtype=np.int64)
    total: NDArray[np.int64] = weights @ rows
    return total


def normalised(total: NDArray[np.int64]) -> NDArray[np.int64]:
    """The vector at length 512, components clipped to ±127, by integers alone."""
    largest = int(np.abs(total).max())
    if largest == 0:
        return total
    # keeps the sum of squares below 2^63 whatever the text
    total = total >> max(0, largest.bit_length() - SUM_BITS_MAX)
    length = max(1, math.isqrt(int(total @ total)))
    scaled = (total * (2 * VECTOR_LENGTH) + length) // (2 * length)
    return np.clip(scaled, -COMPONENT_MAX, COMPONENT_MAX)


def _installed_directory() -> Path:
    # `find_spec` of a top-level name does not import the package
    spec = importlib.util.find_spec("wordllama")
    if spec is None or spec.origin is None:
        raise ConfigError("the default embedder's table is not installed", hint=_HINT)
    return Path(spec.origin).parent


def _checked(path: Path, expected_sha256: str) -> Path:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"cannot read {path.name}: {error.strerror}", hint=_HINT) from None
    if found != expected_sha256:
        raise ConfigError(f"{path.name} is not the file hive expects", hint=_HINT)
    return path


def _read_vocabulary(path: Path) -> dict[str, int]:
    document = json.loads(_checked(path, VOCABULARY_SHA256).read_text(encoding="utf-8"))
    ids: dict[str, int] = document["model"]["vocab"]
    return ids


def _read_table(path: Path) -> NDArray[np.int8]:
    _checked(path, WEIGHTS_SHA256)
    with path.open("rb") as file:
        header_bytes = int.from_bytes(file.read(8), "little")
    floats = np.memmap(
        path, dtype="<f2", mode="r", offset=8 + header_bytes, shape=(PIECES_COUNT, DIMENSIONS)
    )
    table = np.empty((PIECES_COUNT, DIMENSIONS), dtype=np.int8)
    for start in range(0, PIECES_COUNT, LOAD_ROWS):
        # f16 · 2^4 is exact in f32 and rint rounds the same way everywhere
        scaled = np.rint(floats[start : start + LOAD_ROWS].astype(np.float32) * TABLE_SCALE)
        table[start : start + LOAD_ROWS] = np.clip(scaled, -COMPONENT_MAX, COMPONENT_MAX)
    return table
