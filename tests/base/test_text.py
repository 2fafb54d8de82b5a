"""Text that several commands and the report write alike."""

from saltern.text import aligned, counted


def test_numbers_end_where_their_heads_end_and_text_begins_where_its_does() -> None:
    rows = [("system", "frames", "why"), ("NaCl", "1,200", "dense"), ("a long name", "7", "")]
    assert aligned(rows, left=(0, 2)) == [
        "system       frames  why",
        "NaCl          1,200  dense",
        "a long name       7",
    ]


def test_one_is_not_many() -> None:
    assert [counted(n, "frame") for n in (0, 1, 1200)] == ["0 frames", "1 frame", "1,200 frames"]
