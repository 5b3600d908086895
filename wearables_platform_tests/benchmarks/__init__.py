"""Benchmarks: ratios measured side by side in one run; a round that loses or changes data has no speed."""
