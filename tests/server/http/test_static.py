"""The static files, as browsers get them."""

import pytest

from server.http.static import FILES, STATIC, served


@pytest.mark.parametrize(
    ("name", "source", "got"),
    [
        ("a.js", '// Opens.\nopen("https://a.example/b");  // a page\n', 'open("https://a.example/b");\n'),
        ("a.js", "{\n  // One.\n  // Two.\n  go();\n}\n", "{\n  go();\n}\n"),
        ("a.js", "const half = 1 / 2;\n\n// Last.\n", "const half = 1 / 2;\n"),
        ("a.css", "/* Colours,\n   two */\na { color: red; /* warm */ }\n", "a { color: red; }\n"),
        ("a.svg", "<svg><!-- kept // --></svg>", "<svg><!-- kept // --></svg>"),
    ],
)
def test_comments_stay_in_the_source(name: str, source: str, got: str) -> None:
    assert served(name, source.encode()).decode() == got


def test_no_comment_is_left_and_nothing_is_added() -> None:
    for name, got in FILES.items():
        source = (STATIC / name).read_bytes().splitlines()
        assert all(any(line in whole for whole in source) for line in got.splitlines())
        assert name.endswith((".woff2", ".svg")) or (b"/*" not in got and b" //" not in got)
