"""The largest sizes that a file may claim; beyond them it is refused before memory or time is spent on it.

All leave room for a million networks, or for networks of some hundred million parameters.
"""

from __future__ import annotations

JSON_BYTES = 64 * 2**20
"""A file of JSON. A manifest takes 200 bytes for each of its shards, so that 10 TB are 45 MB."""

JSON_VALUES = 2_000_000
"""Values in a file of JSON: Python takes up to 100 bytes for each, however few the file has."""

JSON_DEPTH = 64
"""Lists and objects within each other; rnnzoo's own files have 6, and Python's stack ends near 1,000."""

DIGITS = 64
"""Digits of a number, one after the other; a float64 has 17, an int64 has 19."""

MODELS = 10**8
"""Models of a zoo, each with a row at least."""

STEPS = 2**31 - 1
"""Step numbers are stored as int32."""

SNAPSHOTS = 10_000
"""Rows per model; the paper has 9, and the list is printed and compared row by row."""

ROWS = 10**8
"""Rows of a zoo: a million models of a hundred snapshots, whose row numbers alone take 800 MB of memory."""

FILES = 200_000
"""Shards of a zoo; 48 MB each, that is 10 TB."""

SHARD_BYTES = 64 * 2**30
"""One shard; ours aim at 48 MB, and exceed it only when one model's rows are larger."""

COLUMNS = 64
"""Columns of a shard; ours have at most 15, and each costs a look at the file's structure."""

SPLITS = 16
"""Splits of a zoo; ours have three."""

ROW_BYTES = 4 * 2**30
"""One row, uncompressed: 10**9 float32 parameters."""

LAYERS = 1_000
"""Layers of a network; each adds four tensors to the layout of its weights."""

HIDDEN_SIZE = 2**16
"""Units per layer; its recurrent weights alone would be 17 * 10**9."""

NETWORK_WIDTH = 2**20
"""Inputs or outputs of a network; large vocabularies have some 10**5 tokens."""

ROLLOUTS = 1_000_000
"""Rollouts per snapshot; the paper evaluates 1,000 and records 100."""

SEQUENCE_LENGTH = 65_536
"""Positions of a sequence; the paper's have 42 and 50."""

NAME_LENGTH = 200
"""Characters of a name, of an encoder for example; file systems end at 255 bytes."""

FACT_LENGTH = 20_000
"""Characters of one fact of a provenance; devices of a large cluster are listed in one."""

DEFLATE_RATIO = 1032
"""Bytes that one byte of a deflate stream can become at most (zlib's technical details)."""

CHUNK_BYTES = 2**30
"""One compressed chunk when it is unpacked: 32 rows of traces, of which ours take 25 kB each."""

ENCODER_SIZE = 65_536
"""Any whole number among an encoder's settings: layers, channels, probes; ours are at most 1,024."""

IMAGES = 100_000
"""Images of a data set, 78 MB of pixels; MNIST and Fashion-MNIST have 60,000 to train on."""
