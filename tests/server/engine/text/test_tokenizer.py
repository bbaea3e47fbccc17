"""The tokenizer: prompts as tokens, and refused prompts."""

import pytest
import tokenizers
from litestar import Litestar
from litestar.testing import TestClient

from server.bundle import Bundle
from server.engine import PromptTooLong
from server.engine.text.tokenizer import SAMPLE, Tokenizer
from tests.server.at_desk import go_on

Client = TestClient[Litestar]


@pytest.fixture
def tokenizer(bundle: Bundle) -> Tokenizer:
    return Tokenizer(bundle.tokenizer, bundle.manifest.model.context)


@pytest.mark.parametrize("text", ["A fox", " ", "\n\n", "naïve – 東京 🦊", "\u200d\u0301", "<|endoftext|>"])
def test_text_is_what_its_tokens_spell(tokenizer: Tokenizer, text: str) -> None:
    assert b"".join(map(tokenizer.spell, tokenizer.encode(text))).decode() == text


def test_a_word_is_lengthened_by_letters_digits_and_hyphens(tokenizer: Tokenizer) -> None:
    spelled = {tokenizer.spell(token).decode(errors="replace") for token in tokenizer.lengthening}
    assert {"a", "Z", "7", "-"} <= spelled
    assert not {" a", ".", "'", "_", "--", "\n", "<|endoftext|>"} & spelled


def test_a_text_that_cannot_fit_is_refused_before_all_of_it_is_tokenized(bundle: Bundle) -> None:
    lengths: list[int] = []

    class Watched:
        """The tokenizer, with a record of the lengths of its inputs."""

        def __getattr__(self, name: str) -> object:
            return getattr(bundle.tokenizer, name)

        def encode(self, text: str, add_special_tokens: bool) -> object:
            lengths.append(len(text))
            return bundle.tokenizer.encode(text, add_special_tokens=add_special_tokens)

    watched: tokenizers.Tokenizer = Watched()
    tokenizer = Tokenizer(watched, 50)
    most = 50 * max(map(len, tokenizer.token_bytes))
    with pytest.raises(PromptTooLong) as caught:
        tokenizer.encode("a fox " * 10_000)
    assert lengths == [min(most, SAMPLE)]
    whole = len(bundle.tokenizer.encode("a fox " * 10_000, add_special_tokens=False).ids)
    assert caught.value.tokens == pytest.approx(whole, rel=0.05)
    assert caught.value.limit == 49
    longest = max(tokenizer.token_bytes, key=len).decode()
    with pytest.raises(PromptTooLong, match="reads at most 49") as caught:
        tokenizer.encode(longest * 60)
    assert caught.value.tokens > 49, "whatever the estimate from its beginning"
    assert tokenizer.encode("a" * most)


def test_every_way_in_refuses_such_a_text(client: Client) -> None:
    text = "a fox " * 20_000
    answer = client.post("/v1/completions", json={"model": "plotify-tiny", "prompt": ["A fox", text]})
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "prompt"
    assert answer.json()["error"]["code"] == "context_length_exceeded"
    assert answer.json()["error"]["message"].startswith("prompt[1]: the prompt is ")
    answer = client.post("/api/plots", json={"prompt": text})
    assert answer.status_code == 422
    assert answer.json()["problems"]["prompt"].startswith("Too long for the model: 119,999 characters")
    assert "the limit is 100,000. Shorten it." in go_on(client, text).text
