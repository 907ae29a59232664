"""Reading YAML: scalars of YAML 1.2, lines, and what is refused; changes by ``--set``."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import InputError
from orchestrator.sweep.document import Document, dump, parse, read
from orchestrator.sweep.overrides import overridden
from orchestrator.sweep.paths import write

FIXED = settings(deadline=None, derandomize=True)


def faults(text: str) -> list[str]:
    """The faults of parsing."""
    with pytest.raises(InputError) as caught:
        parse(text, "a.yaml")
    return [str(fault) for fault in caught.value.faults]


# --- scalars


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("+.5", 0.5),
        ("1.", 1.0),
        ("-12", -12),
        ("007", 7),
        ("0o17", 15),
        ("0x1F", 31),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("true", True),
        ("FALSE", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("1_000", "1_000"),
        ("0b11", "0b11"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("1e", "1e"),
        ("'1'", "1"),
        ("!!str 1", "1"),
        ("!!float 1", 1.0),
    ],
)
def test_scalar_is_what_yaml_1_2_says(text: str, value: object) -> None:
    found = parse(f"x: {text}", "a.yaml").data["x"]
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(parse(".nan", "a.yaml").data)


@pytest.mark.parametrize("key", ["<<", "'<<'", "? <<\n"])
def test_merge_key_is_refused_by_name(key: str) -> None:
    expected = "a.yaml:2: b.<<: is YAML's merge key, which is not supported: write its keys out"
    assert faults(f"a: &x {{c: 1}}\nb: {{{key}: *x}}") == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "9223372036854775808",
        "-9223372036854775809",
        "0x8000000000000000",
        "0o1" + "0" * 21,
        "0x" + "f" * 5000,
        "0o" + "7" * 5000,
        "9" * 5000,
        "-" + "9" * 5000,
        "'" + "9" * 5000 + "'",
    ],
)
def test_whole_number_beyond_64_bits_is_refused(text: str) -> None:
    if text[0] == "'":
        assert parse(text, "a.yaml").data == text[1:-1]
        text = f"!!int {text}"
    (message,) = faults(f"a: {text}")
    assert message.startswith("a.yaml:1: a: is ")
    assert message.endswith(", must lie from -2^63 to 2^63 - 1 as a whole number")
    assert len(message) < 120


def test_whole_numbers_of_64_bits_are_read() -> None:
    assert parse("[9223372036854775807, -0x8000000000000000]", "a.yaml").data == [
        2**63 - 1,
        "-0x8000000000000000",
    ]
    assert parse("-9223372036854775808", "a.yaml").data == -(2**63)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r'"\ud800"', r"a.yaml:1: holds \ud800, half of a character: write the character itself"),
        (r'a: ["x\udfff"]', r"a.yaml:1: a.0: holds \udfff, half of a character: write the character itself"),
        (
            r'"\ud83d\ude00": 1',
            r"a.yaml:1: has a key that holds \ud83d, half of a character: write the character itself",
        ),
    ],
)
def test_half_of_a_character_is_refused(text: str, expected: str) -> None:
    assert faults(text) == [expected]


def test_alias_stands_for_a_copy() -> None:
    data = parse("a: &x [1]\nb: *x", "a.yaml").data
    assert data == {"a": [1], "b": [1]}
    assert data["a"] is not data["b"]


PLAIN: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text(
        st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"], exclude_characters="\ufeff\ufffe\uffff")
    )
    | st.sampled_from(
        ["1e-3", "yes", "null", "~", "", "0o7", ".5", ".nan", "1_0", "12:30", "- a", "a: b", "<<"]
    ),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


@FIXED
@given(data=PLAIN)
def test_dumped_data_are_read_back_as_they_were(data: Any) -> None:
    assert parse(dump({"data": data}), "a.yaml").data == {"data": data}


def test_dumped_text_repeats_what_is_there_twice() -> None:
    shared = [1, 2]
    assert dump({"a": shared, "b": shared}) == "a:\n- 1\n- 2\nb:\n- 1\n- 2\n"


# --- lines


def test_every_path_has_its_line() -> None:
    document = parse("# a comment\na:\n  - 1\n  - {b: 2,\n     c: 3}\nd: 4\n", "a.yaml")
    assert document.lines == {
        (): 2,
        ("a",): 2,
        ("a", 0): 3,
        ("a", 1): 4,
        ("a", 1, "b"): 4,
        ("a", 1, "c"): 5,
        ("d",): 6,
    }


def test_path_that_is_not_there_has_the_line_of_the_nearest_above_it() -> None:
    document = parse("a:\n  b: 1\n", "a.yaml")
    assert document.where(("a", "b", "c")) == ("a.yaml", 2)
    assert document.where(("z",)) == ("a.yaml", 1)


def test_empty_file_has_no_line() -> None:
    document = parse("", "a.yaml")
    assert document.data is None
    assert document.where(()) == ("a.yaml", 0)


# --- what is refused


def test_keys_given_twice_are_all_reported() -> None:
    assert faults("a: 1\nb: {c: 1, c: 2}\na: 2\n") == [
        "a.yaml:2: b.c: key given twice (first in line 2)",
        "a.yaml:3: a: key given twice (first in line 1)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: [1, 2\n", "a.yaml:3: is not YAML: while parsing a flow sequence, expected ',' or ']'"),
        ("a: 1\nb: c: d", "a.yaml:2: is not YAML: mapping values are not allowed here"),
        ("a: 1\n\tb: 2", "a.yaml:2: is not YAML: while scanning for the next token"),
        ("a: *b", "a.yaml:1: is not YAML: found undefined alias 'b'"),
        ("1\n---\n2", "a.yaml:2: is not YAML: expected a single document in the stream"),
        ("a: 1\n? [b]\n: 2", "a.yaml:2: has a key that is not plain text"),
        (
            "a: !!binary abcd",
            "a.yaml:1: a: has the tag tag:yaml.org,2002:binary, which a sweep file does not",
        ),
        ("a: !b {c: 1}", "a.yaml:1: a: has the tag !b, which a sweep file does not support"),
        (
            "a: !!set [1]",
            "a.yaml:1: a: has the tag tag:yaml.org,2002:set, which a sweep file does not support",
        ),
        ("a: !!int ten", 'a.yaml:1: a: is "ten", must be a YAML int'),
        ("a: " + "9" * 5000, "a.yaml:1: a: "),  # more digits than Python converts into a number
        ("a: \x00", "a.yaml: is not a text file"),
        ("&a [*a]", "a.yaml: is nested too deeply"),
        ("[" * 600, "a.yaml: is nested too deeply"),
    ],
)
def test_text_that_is_no_sweep_is_refused_with_its_line(text: str, expected: str) -> None:
    (message,) = faults(text)
    assert message.startswith(expected)


def test_aliases_that_unfold_without_end_are_refused() -> None:
    levels = [f"{'abcdefgh'[k]}: &{k} [{', '.join([f'*{k - 1}'] * 10) if k else 0}]" for k in range(8)]
    (message,) = faults("\n".join(levels))
    assert "more than 250,000 keys and values" in message


def test_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read: No such file or directory"):
        read(tmp_path / "none.yaml")


def test_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read(tmp_path)


def test_binary_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"PAR1\xff\xfe\x00")
    with pytest.raises(InputError, match=r"is not a text file \(UTF-8\); a sweep file is YAML"):
        read(tmp_path / "a.yaml")


def test_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read(tmp_path / "a.yaml").data == {"a": 1}


# --- changes by --set


def changed(text: str, *overrides: str) -> Document:
    return overridden(parse(text, "a.yaml"), overrides)


def test_override_is_yaml_written_at_its_path() -> None:
    document = changed(
        "base: {steps: 1, updates: [null, {limit: 1}]}", "base.steps=1e2", "base.updates.1.limit=[2]"
    )
    assert document.data == {"base": {"steps": 100.0, "updates": [None, {"limit": [2]}]}}


def test_override_makes_the_mappings_on_its_way() -> None:
    assert changed("a: 1", "base.batch.size=2").data == {"a": 1, "base": {"batch": {"size": 2}}}


def test_later_override_wins() -> None:
    assert changed("a: 1", "a=2", "a=3").data == {"a": 3}


def test_override_leaves_the_document_as_it_was() -> None:
    source = parse("a: {b: 1}", "a.yaml")
    overridden(source, ["a.b=2"])
    assert source.data == {"a": {"b": 1}}


def test_override_is_where_its_values_are() -> None:
    document = changed("a:\n  b:\n    c: 1\n  d: 2", "a.b={c: x}", "e.f=1")
    assert document.where(("a", "b", "c")) == ("--set a.b={c: x}", 0)
    assert document.where(("a", "d")) == ("a.yaml", 4)
    assert document.where(("e",)) == ("--set e.f=1", 0)


def test_later_override_is_where_an_earlier_one_was() -> None:
    document = changed("a: {b: 1}", "a.b=2", "a={b: 3}")
    assert document.where(("a", "b")) == ("--set a={b: 3}", 0)


def test_overrides_that_cannot_be_are_all_reported() -> None:
    with pytest.raises(InputError) as caught:
        changed("a: [1]\nb: 2", "nothing", "=1", "a.1=2", "a.x=2", "b.c=3", "b=[1")
    assert [str(fault).partition(" (")[0] for fault in caught.value.faults] == [
        "--set nothing: must be path=value, e.g. base.steps=10",
        "--set =1: must be path=value, e.g. base.steps=10",
        "--set a.1=2: does not exist: a is a list of 1 without item 1; add a null item for it",
        "--set a.x=2: does not exist: a is a list of 1 without item x",
        "--set b.c=3: does not exist: b is 2, which has no keys",
        "--set b=[1: is not YAML: while parsing a flow sequence, expected ',' or ']', but got '<stream end>'",
    ]


@pytest.mark.parametrize("part", ["-1", "01", "+1", "1.", "²", "٣", "1" * 30])
def test_list_item_is_named_by_its_plain_index_only(part: str) -> None:
    with pytest.raises(LookupError, match="without item"):
        write({"a": [0] * 5}, ["a", part], 1)
