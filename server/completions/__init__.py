"""The completions of OpenAI's API, over the engine: what its clients send, and what they expect back."""
