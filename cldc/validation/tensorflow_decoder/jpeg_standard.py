"""The Huffman tables of ITU-T T.81, annex K.3, which libjpeg-turbo assumes if a file defines none (Motion JPEG)."""

from __future__ import annotations

from cldc.validation.tensorflow_decoder.jpeg_markers import HuffmanTable

_AC_LUMINANCE = bytes.fromhex(
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a161718191a25262728292a3435"
    "363738393a434445464748494a535455565758595a636465666768696a737475767778797a838485868788898a9293949596"
    "9798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9ea"
    "f1f2f3f4f5f6f7f8f9fa"
)
_AC_CHROMINANCE = bytes.fromhex(
    "0001020311040521310612415107617113223281081442 91a1b1c109233352f0156272d10a162434e125f11718191a262728292a"
    "35363738393a434445464748494a535455565758595a636465666768696a737475767778797a82838485868788898a929394"
    "95969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9"
    "eaf2f3f4f5f6f7f8f9fa"
)

STANDARD_DC = {
    0: HuffmanTable(bytes.fromhex("00010501010101010100000000000000"), bytes(range(12))),
    1: HuffmanTable(bytes.fromhex("00030101010101010101010000000000"), bytes(range(12))),
}
"""For luminance and chrominance."""

STANDARD_AC = {
    0: HuffmanTable(bytes.fromhex("0002010303020403050504040000017d"), _AC_LUMINANCE),
    1: HuffmanTable(bytes.fromhex("00020102040403040705040400010277"), _AC_CHROMINANCE),
}
"""For luminance and chrominance."""
