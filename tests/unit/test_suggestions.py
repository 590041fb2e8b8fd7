"""What a refusal suggests passes the check that refused."""

from __future__ import annotations

import re
import shlex

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cldc import address, description
from cldc.competition import load
from cldc.dataset import default_name
from cldc.errors import ConfigurationError, SubmissionRefused
from tests.support.commands import Cldc

FORM = load().submission.description

NAMES = st.one_of(
    st.text(max_size=20),
    st.lists(st.sampled_from(["a", "1", "-", ".", "_", " ", ".zip", ".tar.gz", ".GZ", "é"]), max_size=9).map(
        "".join
    ),
    st.text(alphabet="1aé.-", min_size=120, max_size=140),
)
LINKS = st.lists(
    st.sampled_from(
        ["http", "HTTPS", "://", "/", "x.org", "É.org", ":", "80", "99999", "@", "u", " ", "(", ")", "?q=1&r=2", "#f",
         "%", "%41", ";", "'", "$(x)", "[", "]", "::1", "\\", "\n", "\u3002", "\udc80"]
    ),
    max_size=8,
).map("".join)  # fmt: skip


def followed(parts: dict[str, str]) -> dict[str, str]:
    """The parts as they are when each suggestion has been followed; a part without one is left out."""
    link = parts["link"]
    for _ in range(len(parts) + 1):
        try:
            description.compose(FORM, **parts)
        except SubmissionRefused as refused:
            command = shlex.split(refused.action) if refused.action.startswith("Use --") else []
            if not command:
                assert parts["link"] == link, "what was suggested is refused"
                parts = {**parts, "link": ""}
                continue
            _, option, value = command
            assert parts[option.removeprefix("--")] != value
            parts = {**parts, option.removeprefix("--"): value}
        else:
            return parts
    raise AssertionError(f"a suggestion is refused: {parts}")


@given(NAMES, st.text(max_size=20), LINKS)
@example("1" * 128, "", "")
@example("a", "", "http\n/")
@example("digits.zip", "()", "x.org/a?b=1&c=2")
@example(".zip.zip-.gz", "\x00", "https://x.org:080")
def test_a_submission_described_as_suggested_is_accepted(name: str, institution: str, link: str) -> None:
    given_ = {"name": name, "institution": institution, "link": link}
    fixpoint = followed(given_)
    assert followed(fixpoint) == fixpoint


@given(NAMES)
def test_the_name_that_a_folder_suggests_is_accepted(folder: str) -> None:
    for name in (default_name(folder), description.proper_name(folder)):
        description.check_name(name)
    assert len(default_name(folder)) <= 32


SERVERS = st.lists(
    st.sampled_from(
        ["http", "https", "://", "/", ":", "@", "[", "]", "::1", "127.0.0.1", "localhost", "Ex.org", "é", " ", "80",
         "99999", "?q", "#f", "%41", ";", "$(x)", "u"]
    ),
    max_size=7,
).map("".join)  # fmt: skip


@given(SERVERS)
@example("worksheets.codalab.org")
@example("http://x.org/rest")
@example("http://localhost:80/x")
@example("http://bob@x.org")
def test_a_server_written_as_suggested_is_accepted(server: str) -> None:
    try:
        address.check(server)
    except ConfigurationError as refused:
        suggested = re.search(r"(Use|Write it as) (https?://[^;]+?)[;,] ", refused.action)
        if suggested is None:
            assert "Remove them" in refused.action
        else:
            assert address.check(suggested[2]) == suggested[2]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--name", "1st try.zip"),
        ("--name", "9" * 130),
        ("--link", "x.org/a?b=1&c=(2)"),
        ("--institution", "(ETH)"),
    ],
)
def test_a_suggestion_pasted_into_the_command_is_accepted(bare_cldc: Cldc, option: str, value: str) -> None:
    refused = bare_cldc("init", option, value, code=SubmissionRefused.code)
    suggestion = re.search(f"Use ({option} .*)", refused.err)
    assert suggestion
    bare_cldc("init", *shlex.split(suggestion[1]))
