from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hive.store.word_pieces import WORD_CHARACTERS_MAX, WordPieces, words

PIECES = ["[UNK]", "un", "##aff", "##able", "af", "##f", "café", "cafe", "read", "file", "!", "中"]
CUT = WordPieces(PIECES)


def pieces(text: str, count_max: int = 100) -> list[str]:
    return [PIECES[number] for number in CUT.ids(text, count_max)]


def test_words_are_cut_into_the_longest_pieces_from_the_left() -> None:
    assert pieces("unaffable") == ["un", "##aff", "##able"]
    assert pieces("aff") == ["af", "##f"]


def test_a_word_that_cannot_be_cut_is_one_unknown_piece() -> None:
    assert pieces("unaffxable read") == ["[UNK]", "read"]


def test_a_word_beyond_the_bound_is_one_unknown_piece() -> None:
    assert pieces("un" + "aff" * WORD_CHARACTERS_MAX) == ["[UNK]"]


def test_case_and_accents_do_not_count() -> None:
    assert pieces("CAFÉ") == ["cafe"]


def test_punctuation_and_ideographs_stand_alone() -> None:
    assert words("read!file中中 a_b $5") == [
        *("read", "!", "file", "中", "中", "a", "_", "b", "$", "5"),
    ]


def test_spaces_of_every_kind_part_words_and_control_characters_do_not() -> None:
    assert words("a\u00a0b\tc\u3000d e\u200bf\x00g") == ["a", "b", "c", "d", "efg"]


def test_camel_case_is_two_words() -> None:
    assert pieces("readFile") == ["read", "file"]


@given(st.text(max_size=300), st.integers(0, 20))
def test_no_text_gives_more_pieces_than_asked_for(text: str, count_max: int) -> None:
    found = CUT.ids(text, count_max)
    assert len(found) <= count_max
    assert found == CUT.ids(text, 10_000)[:count_max]
