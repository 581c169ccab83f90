"""Format `cef`, one module for each of its parts."""

from collector.formats.cef.encoder import compile_encoder
from collector.formats.cef.table import CefHeader, CefTable, Made, Pair, Signature, Values

__all__ = ["CefHeader", "CefTable", "Made", "Pair", "Signature", "Values", "compile_encoder"]
