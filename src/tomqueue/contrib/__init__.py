"""Bridges to other frameworks; none imports another."""
