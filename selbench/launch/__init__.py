"""Carrying out cells in processes of their own."""
