"""Which part of an address is a secret; what is masked, refused, and left as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.addresses import HARMLESS, bare, masked, refusal
from orchestrator.config.text import show

K = "do-not-tell"

SECRETS = {
    f"s3://bucket/x?secret_key={K}": "secret_key",
    f"s3://bucket/x?region=eu&access_key=a&secret_key={K}": "access_key, secret_key",
    f"s3://bucket/x?SessionToken={K}": "SessionToken",
    f"s3://bucket/x?secret%5Fkey={K}&scheme=http": "secret_key",
    f"s3://bucket/x?X-Amz-Signature={K}": "X-Amz-Signature",
    f"s3://bucket/x?{K}": "a parameter without a name",
    f"s3://bucket/x#token={K}": "token",
    f"s3://bucket/x?endpoint_override=http://me:{K}@host:9000": "endpoint_override",
    f"s3://bucket/x?endpoint_override=me%3A{K}%40host": "endpoint_override",
    f"s3://me:{K}@bucket/x": "before @",
    f"s3://{K}@bucket/x": "before @",
    f"s3://me:{K}/more@bucket/x": "before @",  # a key with a slash cuts the authority short
    f"s3://me:/{K}@bucket/x": "before @",
    f"s3://me:12/{K}@bucket/x": "before @",
    f"s3:/bucket/x?secret_key={K}": "secret_key",  # not a URI: a local path with an odd name
    f"gs://bucket/x?access_token={K}": "access_token",
    f"abfs://box@account.dfs.core.windows.net/x?sv=2024&sig={K}": "sig",
    f"abfs://box:{K}@account.dfs.core.windows.net/x": "before @",
    f"abfss://:{K}@account.dfs.core.windows.net/x": "before @",
    f"https://me:{K}@host/rows.csv": "before @",
    f"ray://me:{K}@host:10001": "before @",
}

HARMLESS_ONES = (
    "s3://bucket/x",
    "s3://bucket/a@b/c?region=eu-west-1",
    "s3://bucket/x?endpoint_override=127.0.0.1:9000&scheme=http&region=us-east-1&allow_bucket_creation=true",
    "s3://bucket/x?endpoint_override=http%3A%2F%2F127.0.0.1%3A9000",
    "gs://anonymous@bucket/x?retry_limit_seconds=3",
    "abfs://box@account.dfs.core.windows.net/x?enable_tls=true&credential_kind=cli",
    "hdfs://me@node:9000/user/a@b/rows.csv?kerb_ticket=/tmp/x",
    "http://[::1]:8265",
    "http://127.0.0.1:8265",
    "127.0.0.1:6379",
    "runs/a@b?c=d",
)


@pytest.mark.parametrize(("address", "names"), SECRETS.items())
def test_secret_is_refused_by_its_name_and_masked(address: str, names: str) -> None:
    reason = refusal(address)
    assert reason.startswith(f"must not hold a secret ({names}), as addresses are printed: set ")
    for text in (reason, bare(address), masked(address), masked(f"Cannot parse URI: '{address}' (x)")):
        assert K not in text


@pytest.mark.parametrize("address", HARMLESS_ONES)
def test_harmless_address_is_accepted_and_printed_unchanged(address: str) -> None:
    assert refusal(address) == ""
    for text in (address, f"no run at {address}: look again", f"'{address}', twice ('{address}')."):
        assert masked(text) == text


@pytest.mark.parametrize(
    ("scheme", "variables"),
    [
        ("s3", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ("gs", "GOOGLE_APPLICATION_CREDENTIALS"),
        ("abfss", "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"),
    ],
)
def test_refusal_names_the_variables_of_the_store(scheme: str, variables: str) -> None:
    assert variables in refusal(f"{scheme}://bucket/x?secret_key={K}")


def test_parameter_of_unknown_meaning_is_masked_and_left_to_the_store_to_refuse() -> None:
    address = "s3://bucket/x?colour=red&region=eu"
    assert (refusal(address), masked(address)) == ("", "s3://bucket/x?colour=***&region=eu")


def test_unprintable_value_is_quoted_without_its_secret() -> None:
    for mark in ("", "\x7f", "\u202e"):  # characters that are not printable become escapes
        text = show(f"s3://me:{K}@bucket/x{mark}")
        assert K not in text
        assert text.isprintable()


names = st.text("abckeysecrttoknpw_-%5F", min_size=1) | st.sampled_from(sorted(HARMLESS))
words = st.lists(st.tuples(names, st.text("abc/@:%1", max_size=8)), max_size=4)


@given(st.sampled_from(("s3", "gs", "abfs", "hdfs", "http")), st.text("ab:@/1", max_size=12), words)
def test_masked_text_stays_and_accepted_address_keeps_its_host(
    scheme: str, host: str, parameters: list[tuple[str, str]]
) -> None:
    address = f"{scheme}://{host}?" + "&".join(f"{name}={value}" for name, value in parameters)
    assert masked(masked(address)) == masked(address)
    if not refusal(address):
        assert masked(address).partition("?")[0] == address.partition("?")[0]


def test_long_words_and_nested_addresses_are_masked_in_bounded_time() -> None:
    word = "a" * 1_000_000
    assert masked(word) == word
    assert masked(f"{word}://me:mine@host/x") == f"{word}://***@host/x"
    assert masked("s3://me:mine@a/" * 2000) == "***"
