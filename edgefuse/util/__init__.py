"""Helpers that every package may use: files, addresses, images, back-off, the compiled core. Imports nothing but `errors`."""
