"""Text to tokens and back: tokenizer, detokenizer and stop strings."""
