"""Files: names made of any text."""

from __future__ import annotations

from hodsim.files import file_name


def test_names_of_files_are_plain_and_keep_digests_apart() -> None:
    assert file_name("HoD 6: a/b\\c..d ß") == "HoD-6-a-b-c..d"
    assert file_name("../../etc/passwd") == "etc-passwd"
    assert file_name("a" * 300, "0123456789abcdef") == "a" * 120 + "-0123456789ab"
    assert file_name("x", "abc") != file_name("x", "abd")
