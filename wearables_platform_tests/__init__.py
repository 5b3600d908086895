"""Tests of the platform, on real embedded servers."""
