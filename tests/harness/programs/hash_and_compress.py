"""Hash and compress /root/nar with all processors, as a push does at best."""

import hashlib
import os

from compression import zstd  # type: ignore[import-not-found]  # Python 3.14

digest = hashlib.sha256()
option = zstd.CompressionParameter
compressor = zstd.ZstdCompressor(options={option.compression_level: 3, option.nb_workers: os.cpu_count()})
with open("/root/nar", "rb", buffering=0) as file:
    while piece := file.read(1 << 20):
        digest.update(piece)
        compressor.compress(piece)
    compressor.flush()
