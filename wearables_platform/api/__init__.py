"""The query API and the live page: what people and programs read, over HTTP, with a token."""
