"""What is submitted is shown: descriptions are read as the leaderboard page reads them."""

from __future__ import annotations

import json
import shutil
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cldc import description, process
from cldc.competition import load
from cldc.errors import SubmissionRefused

FORM = load().submission.description


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("sample_submission ( )", ("sample_submission", "", "")),
        ("sample_submission (DeepLearning.AI)", ("sample_submission", "DeepLearning.AI", "")),
        (
            "sample_submission (DeepLearning.AI) https://www.deeplearning.ai/",
            ("sample_submission", "DeepLearning.AI", "https://www.deeplearning.ai/"),
        ),
        ("", ("", "", "")),
        ("no parentheses at all", ("", "", "")),
        ("name (open", ("name", "", "")),
        ("name ) (open", ("name )", "", "")),
        ("name (open http://x.org", ("name", "", "http://x.org")),
        ("name (two\nlines)", ("name", "two\nlines", "")),
        ("name (a) http://x/(y)", ("name (a) http://x/", "y", "")),
        ("name (inst) not a link", ("name", "inst", "")),
        ("(only)", ("", "only", "")),
        ("two\nlines (x)", ("lines", "x", "")),
    ],
)
def test_the_board_reads_name_institution_and_link(text: str, reading: tuple[str, str, str]) -> None:
    got = description.read(text)
    assert (got.name, got.institution, got.link) == reading


def test_a_long_row_of_parentheses_is_read_in_a_moment() -> None:
    """CodaLab takes so many characters, of any contestant; a pattern would take hours for them."""
    assert description.read("(" * 65_535).name == "(" * 65_534


@pytest.mark.parametrize(
    ("link", "nearest"),
    [
        (" https://x.org", "https://x.org"),
        ("HTTPS://x.org/A", "https://x.org/A"),
        ("ftp://x.org", "https://x.org"),
        ("x.org/a b", "https://x.org/a%20b"),
        ("https://\u00e9.org", "https://xn--9ca.org"),
        ("https://Example.org", None),
        *(
            (wrong, "")
            for wrong in ("not a link", "javascript:alert(1)", "http://", "http://[::1", "http://u:p@x.org")
        ),
    ],
)
def test_a_link_is_kept_or_refused_with_the_nearest_that_works(link: str, nearest: str | None) -> None:
    if nearest is None:
        assert link in description.compose(FORM, name="mine", link=link)
        return
    with pytest.raises(SubmissionRefused) as refused:
        description.compose(FORM, name="mine", link=link)
    if nearest:
        assert refused.value.action == f"Use --link {nearest}"
        assert description.compose(FORM, name="mine", link=nearest)
    else:
        assert "names a host" in refused.value.action


words = st.text(alphabet=string.ascii_letters + string.digits + "_.-", min_size=1, max_size=20)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=40))
def test_what_is_composed_is_read_back_or_refused_with_a_form_that_works(
    name: str, inst: str, link: str
) -> None:
    try:
        text = description.compose(FORM, name=name, institution=inst, link=link)
    except SubmissionRefused as refused:
        assert refused.action
        return
    assert description.read(text) == description.Reading(name, inst, link)
    assert text.isascii()
    assert "\n" not in text


@given(st.text(max_size=200))
def test_any_text_has_a_proper_name(text: str) -> None:
    description.check_name(description.proper_name(text))


@given(words.filter(lambda w: w[0].isalpha()), words, words)
def test_ordinary_parts_are_taken(name: str, institution: str, path: str) -> None:
    assert description.compose(FORM, name=name, institution=institution, link=f"https://example.org/{path}")


@pytest.mark.parametrize(
    ("part", "value", "proper"),
    [
        ("name", "my first try", "--name my-first-try"),
        ("name", "1st", "--name _1st"),
        ("name", "café", "--name cafe"),
        ("institution", "ETH (Zürich)", "--institution 'ETH Zurich'"),
        ("link", "https://example.org/a_(b)", "--link https://example.org/a_%28b%29"),
        ("link", "example.org", "--link https://example.org"),
    ],
)
def test_a_part_that_would_be_garbled_is_refused_with_the_nearest_form(
    part: str, value: str, proper: str
) -> None:
    with pytest.raises(SubmissionRefused) as refused:
        description.compose(FORM, **{"name": "fine", part: value})
    assert proper in refused.value.action


# Runs in the page's own language where it is there, on texts that look like descriptions.
_PAGE = """
const read = text => {
  text = text.trim();
  const m = text.match(/(.*) ?\\((.*)\\)(.*)/);
  if (m) { const l = m[3].trim(); return [m[1].trim(), m[2].trim(), l.includes('http') ? l : '']; }
  const open = text.lastIndexOf('('), http = text.lastIndexOf('http');
  // substr with a length of -1 gives nothing: so a parenthesis that never closes leaves no institution.
  const rest = open >= 0 ? text.substr(open + 1) : '';
  return [text.substr(0, open).trim(), rest.substr(0, rest.lastIndexOf(')')).trim(), http >= 0 ? text.substr(http) : ''];
};
let input = ''; process.stdin.on('data', d => input += d);
process.stdin.on('end', () => console.log(JSON.stringify(JSON.parse(input).map(read))));
"""
_pieces = st.sampled_from(
    ["a", "(", ")", " ", "http", "://x", "\n", "\r", "\u2028", "\ufeff", "\x85", "\x1c", "é", "\u00a0"]
)


@settings(deadline=None, max_examples=1)
@given(st.lists(st.lists(_pieces, max_size=12).map("".join), min_size=300, max_size=300))
def test_it_reads_as_javascript_does(texts: list[str]) -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node here to hold the reading against")
    done = process.run([node, "-e", _PAGE], text=json.dumps(texts), timeout_seconds=60)
    ours = [[r.name, r.institution, r.link] for r in map(description.read, texts)]
    assert ours == json.loads(done.stdout)
