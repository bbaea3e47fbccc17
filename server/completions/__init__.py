"""The completions of OpenAI's API."""
