"""Generated from ``proto/wearables_platform/wire/v1``; never edited by hand."""
