from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hive.errors import ConfigError
from hive.store import embedder as module
from hive.store.embedder import StaticEmbedder

EMBEDDER = StaticEmbedder()
GOLDEN_TEXTS = [
    "Return the database connection for hiveNode",
    "the the the the patient's record, 42 times",
    "Größe naïve Москва 日本語のテキスト 😀",
    "x" * 1000,
]


def cosine(one: str, other: str) -> float:
    a, b = EMBEDDER.embed([one, other]).astype(np.int64)
    return float(a @ b / np.sqrt((a @ a) * (b @ b)))


def test_golden_vectors_do_not_move() -> None:
    vectors = EMBEDDER.embed(GOLDEN_TEXTS)
    assert vectors.dtype == np.int8
    assert vectors[0, :8].tolist() == [-63, 51, -8, -26, -3, 50, 32, -94]
    assert hashlib.sha256(vectors.tobytes()).hexdigest() == GOLDEN


GOLDEN = "96e5a045370c998cc3f39e47f9960ad2adc6c8b492d83d3b66d9a24b25c6d14b"


def test_near_meanings_are_nearer_than_far_ones() -> None:
    near = cosine("the doctor treated the patient", "physicians cure sick people")
    assert near > cosine("the doctor treated the patient", "compile the kernel module") + 0.1


def test_a_text_without_words_gives_zeros() -> None:
    assert not EMBEDDER.embed(["", "  \n", "?! _ …"]).any()


@given(st.lists(st.text(max_size=200), max_size=5))
@settings(max_examples=50, deadline=None)
def test_batch_and_single_give_equal_vectors(texts: list[str]) -> None:
    batch = EMBEDDER.embed(texts)
    assert batch.shape == (len(texts), 256)
    for row, text in enumerate(texts):
        assert (EMBEDDER.embed([text])[0] == batch[row]).all()


def test_pieces_are_those_of_the_reference_tokenizer() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    directory = module._installed_directory()
    reference = tokenizers.Tokenizer.from_file(str(directory / module.VOCABULARY_FILE))
    vocabulary = module.Vocabulary(module._read_vocabulary(directory / module.VOCABULARY_FILE))
    words = Path(module.__file__).read_text(encoding="utf-8").lower().split()
    words = [w for w in words if w.isalnum() and len(w) <= 40] + ["日本語", "größe", "ᚠᚢ"]
    for word in words:
        expected = reference.encode(word, add_special_tokens=False).ids
        assert vocabulary.pieces(word) == expected


def test_camel_case_is_split() -> None:
    assert (EMBEDDER.embed(["readFile"]) == EMBEDDER.embed(["read file"])).all()


def test_a_missing_table_is_a_config_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        StaticEmbedder(tmp_path).embed(["x"])
    assert "wordllama" in caught.value.hint


def test_a_changed_table_is_refused(tmp_path: Path) -> None:
    installed = module._installed_directory()
    for name in (module.WEIGHTS_FILE, module.VOCABULARY_FILE):
        (tmp_path / name).parent.mkdir(parents=True)
        shutil.copy(installed / name, tmp_path / name)
    with (tmp_path / module.WEIGHTS_FILE).open("r+b") as file:
        file.seek(5000)
        file.write(b"\xff\xff")
    with pytest.raises(ConfigError, match="not the file hive expects"):
        StaticEmbedder(tmp_path).embed(["x"])


def test_the_wheel_is_read_without_importing_it() -> None:
    code = (
        "import sys; from hive.store.embedder import StaticEmbedder;"
        "StaticEmbedder().embed(['x']);"
        "assert not {'wordllama', 'tokenizers', 'safetensors'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
