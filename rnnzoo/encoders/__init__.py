"""Weight encoders: from the weights of a recurrent network to a small vector z."""

from rnnzoo.encoders.embedding import load_encoder, save_encoder
from rnnzoo.encoders.protocol import Context, Encoder, InputSpace, Rows, embed_rows, encode, permute, prepare
from rnnzoo.encoders.registry import build_encoder, encoder_names, find_encoder

__all__ = [
    "Context",
    "Encoder",
    "InputSpace",
    "Rows",
    "build_encoder",
    "embed_rows",
    "encode",
    "encoder_names",
    "find_encoder",
    "load_encoder",
    "permute",
    "prepare",
    "save_encoder",
]
