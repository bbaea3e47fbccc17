"""The model card: the manifest in words, with samples from fixed seeds."""

from collections.abc import Sequence
from typing import Any

from export.samples import OPENINGS, Sample

CARD = """\
# {name}

A GPT-2 that continues the beginning of a plot in the style of book and film summaries: a few words in, a few plot lines
out. Written by `plotify export`; the figures of this table and below it, up to the next heading, are in `bundle.json`.

| | |
|---|---|
| architecture | GPT-2: {layers} layers, {heads} heads, width {width}, vocabulary {vocab_size:,}, context {context} |
| parameters | {parameters:,} (the token embedding, which is the head too, counted once) |
| trained on | {corpora} |
| training | {training} |
| licence | {licence} |
| perplexity per token, test split | {perplexity:.2f} |
| bits per byte, test split | {bits_per_byte:.3f} |
{precisions}
| distinct-2 of sampled continuations | {distinct_2:.3f} (of the held-out documents: {human_distinct_2:.3f}) |
| repeated 4-grams within a continuation | {repetition:.1%} (of the held-out documents: {human_repetition:.1%}) |
| words until a continuation ends by itself | {words:.0f} (of the held-out documents: {human_words:.0f}) |
| decoding defaults | {sampling} |

- **Perplexity**: of {documents:,} held-out documents, {truncated} of them cut to the context. Each stands behind its
  genre; neither the genre nor the end of the text counts.{left_out}
- **Diversity**: of {sampled_texts} continuations of held-out beginnings, of up to {new_tokens} tokens each, without
  guidance.
- **The ONNX graph**, compared with the TensorFlow checkpoint:
  identical greedy tokens on {verified_prompts} prompts ({verified_tokens:,} tokens{ties}), logits at most
  {max_logit_difference:.1g} apart.

## What it cannot do

It knows how a plot summary sounds, not how the world works. Names, places and deeds drift within a few sentences. It
does not reason, count, or keep a cast straight. It knows only the languages of its corpora. It may repeat the clichés
and prejudices of its sources. Its text is raw material for a writer, never a statement of fact.

{better}{figures}## Samples

The texts of seeds 1 to {seeds}, with the genres in turn and the decoding defaults above. None was picked or edited.
{guided}The random numbers were PyTorch's, so the same seeds give other texts in the server.

{samples}
"""


BETTER = """\
If you can reach the Hugging Face hub, fine-tune GPT-2 small with the same two commands, and use that:

    plotify train --data data --base openai-community/gpt2 --out checkpoint
    plotify export checkpoint --out bundle

"""
"""Advice in the cards of models with fewer parameters than `SMALL`."""
SMALL = 100_000_000

OWN = "own"
"""The source of a writer's texts, among the corpora."""

GUIDED = "Guidance leads each to its genre. "


def write_card(manifest: dict[str, Any], samples: Sequence[Sample], figures: str = "") -> str:
    """Return the card, in Markdown, of a bundle with this manifest.

    Unless the card says otherwise, its own figures are for fp32.

    Args:
        figures: Markdown with figures from elsewhere, to stand before the samples.
    """
    model, provenance = manifest["model"], manifest["provenance"]
    made = provenance["export"]
    verified, measured, sampled = made["verified"], made["measured"], made["sampled"]
    left_out = provenance.get("training", {}).get("longer_than_context", {}).get("test", 0)
    return CARD.format(
        **model,
        name=manifest["name"],
        width=model["heads"] * model["head_dim"],
        parameters=made["parameters"],
        corpora="; ".join(_trained_on(provenance)) or "not stated",
        training=", then ".join(map(_stage, _stages(provenance))) or "not stated",
        licence=provenance.get("licence", "not stated"),
        perplexity=measured["fp32_perplexity"],
        bits_per_byte=measured["fp32_bits_per_byte"],
        precisions="\n".join(_precision(each) for each in manifest["precisions"].values()),
        distinct_2=sampled["distinct_2"],
        human_distinct_2=sampled["human_distinct_2"],
        words=sampled["words"],
        human_words=sampled["human_words"],
        repetition=sampled["repetition"],
        human_repetition=sampled["human_repetition"],
        sampling=", ".join(f"{setting.replace('_', ' ')} {value:g}" for setting, value in manifest["sampling"].items()),
        documents=measured["documents"],
        truncated=measured["cut_to_context"],
        sampled_texts=sampled["texts"],
        new_tokens=sampled["new_tokens"],
        left_out=f" Another {left_out} are longer than the context and were left out." if left_out else "",
        better=BETTER if made["parameters"] < SMALL else "",
        verified_prompts=verified["prompts"],
        verified_tokens=verified["tokens"],
        ties=f", but for {verified['ties']} in a tie of two logits" if verified["ties"] else "",
        max_logit_difference=verified["max_logit_difference"],
        figures=f"{figures.strip()}\n\n" if figures else "",
        guided=GUIDED if manifest["sampling"]["guidance"] > 1 else "",
        seeds=len(OPENINGS),
        samples="\n\n".join(_sample(sample) for sample in samples),
    )


def _trained_on(provenance: dict[str, Any]) -> list[str]:
    """Return the corpora of all training runs, each once, and a writer's own texts together."""
    corpora = {_name(corpus): corpus for corpus in _corpora(provenance)}.values()
    texts = [corpus for corpus in corpora if corpus.get("source") == OWN]
    own = {"name": f"{len(texts)} of a writer's own texts", "words": sum(text["words"] for text in texts)}
    return [_corpus(corpus) for corpus in (*(each for each in corpora if each not in texts), *([own] if texts else []))]


def _corpora(provenance: dict[str, Any]) -> list[dict[str, Any]]:
    before = _corpora(provenance["base"]) if "base" in provenance else []
    return [*before, *provenance.get("corpora", [])]


def _corpus(corpus: dict[str, Any]) -> str:
    words = corpus.get("words")
    if words is None:
        return _name(corpus)
    return f"{_name(corpus)} ({f'{words / 1e6:.1f} million' if words >= 1e6 else f'{words:,}'} words)"


def _name(corpus: dict[str, Any]) -> str:
    return str(corpus.get("name", corpus))


def _stages(provenance: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the training runs that led to a model, the first one first."""
    before = _stages(provenance["base"]) if "base" in provenance else []
    return [*before, provenance["training"]] if "tokens" in provenance.get("training", {}) else before


def _stage(run: dict[str, Any]) -> str:
    return f"{run['tokens'] / 1e6:.1f} million tokens in {run['seconds'] / 3600:.1f} hours"


def _precision(precision: dict[str, Any]) -> str:
    worse = precision["perplexity_vs_fp32"] - 1
    return f"| `{precision['file']}` | {precision['bytes'] / 1e6:.1f} MB, perplexity {worse:+.2%} against fp32 |"


def _sample(sample: Sample) -> str:
    quoted = f"**{sample.opening}**{sample.continuation}".rstrip().replace("\n", "\n> ")
    return f"Seed {sample.seed}, {sample.genre}:\n\n> {quoted}"
