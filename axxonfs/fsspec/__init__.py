"""Exports without a mount: a read-mostly file system for fsspec, protocol `axxon`."""

from axxonfs.fsspec.filesystem import AxxonFileSystem

__all__ = ["AxxonFileSystem"]
