"""Makes the local language model: a small llama whose weights are a grammar and seeded noise.

The first dimensions of a token's embedding say which kind of word it is, and the output matrix asks for the
kinds that may follow it, so that every answer is made of sentences. The other dimensions are noise, which
attention mixes with what came before: it chooses among the words of a kind, at temperature 0 always alike.
"""

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, TokenType
from numpy.typing import NDArray

CONTEXT = 4096
"""Tokens that one request may take, prompt and answer together."""
_WIDTH, _HEADS, _LAYERS, _INNER = 64, 4, 2, 96
_SEED = 6
_EPSILON = 1e-5

_OPENINGS = "The Every This Our One Another"
_WORDS = {
    "opening": _OPENINGS,
    "next opening": _OPENINGS,
    "described": "quiet careful small patient curious modern honest simple bright gentle",
    "doing": "gateway model group token analyst engineer policy answer reader guard",
    "verb": "checks reads guards explains counts remembers follows finds carries opens",
    "determined": "the every this our one another",
    "describing": "early long clear open hidden quick spare steady warm plain",
    "done": "request question path limit number stream record promise door lesson",
    "joining": "and_the while_the because_the so_the when_the",
}
_FOLLOWS = {
    "answer": ["opening"],
    "opening": ["described", "doing"],
    "next opening": ["described", "doing"],
    "described": ["doing"],
    "doing": ["verb"],
    "verb": ["determined"],
    "determined": ["describing", "done"],
    "describing": ["done"],
    "done": ["full stop", "joining"],
    "joining": ["described", "doing"],
    "full stop": ["next opening", "end"],
    "byte": ["next opening"],
}
_LIKELIER = {"full stop": 1.1, "end": 1.05}
"""Sentences that come to an end, and answers that do after some of them."""
_CONTROL = {"<|system|>": "role", "<|user|>": "role", "<|end|>": "end", "<|assistant|>": "answer"}
_CHAT = """{%- for message in messages -%}
<|{{ message.role if message.role in ('user', 'assistant') else 'system' }}|>{{ message.content }}<|end|>
{%- endfor -%}
{%- if add_generation_prompt %}<|assistant|>{% endif -%}"""

Matrix = NDArray[np.float32]


def make(path: Path) -> None:
    """Write the model to `path`, the same bytes each time."""
    vocabulary = _vocabulary()
    writer = GGUFWriter(path, "llama")
    writer.add_name("groupgate-local")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(_LAYERS)
    writer.add_feed_forward_length(_INNER)
    writer.add_head_count(_HEADS)
    writer.add_head_count_kv(_HEADS)
    writer.add_rope_dimension_count(_WIDTH // _HEADS)
    writer.add_layer_norm_rms_eps(_EPSILON)
    # The longest token of the list that fits: a vocabulary needs no merges for it.
    writer.add_tokenizer_model("rwkv")
    writer.add_token_list([_escaped(text) for text, _ in vocabulary])
    writer.add_token_types(
        [TokenType.CONTROL if text in _CONTROL else TokenType.NORMAL for text, _ in vocabulary]
    )
    end = list(_CONTROL).index("<|end|>")
    writer.add_bos_token_id(end)
    writer.add_eos_token_id(end)
    writer.add_add_bos_token(False)
    writer.add_chat_template(_CHAT)
    for name, weights in _weights([kind for _, kind in vocabulary]).items():
        writer.add_tensor(f"{name}.weight", weights)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _vocabulary() -> list[tuple[str, str]]:
    """Give each token's text and kind: control tokens, every byte, the words."""
    tokens = list(_CONTROL.items())
    tokens += [(chr(byte), "full stop" if byte == ord(".") else "byte") for byte in range(256)]
    for kind, words in _WORDS.items():
        space = "" if kind == "opening" else " "
        tokens += [(space + word.replace("_", " "), kind) for word in words.split()]
    return tokens


def _escaped(text: str) -> str:
    r"""Spell a token as the tokenizer reads it: unprintable bytes as `\xHH`."""
    plain = text.isascii() and text.isprintable() and "\\" not in text
    return text if plain else "".join(f"\\x{ord(char):02x}" for char in text)


def _weights(kinds: list[str]) -> dict[str, Matrix]:
    noise = np.random.default_rng(_SEED)
    names = sorted(set(kinds))
    told = len(names)
    of_kind = np.array([[float(kind == name) for name in names] for kind in kinds], dtype=np.float32)
    wanted = [
        [_LIKELIER.get(kind, 1.0) if kind in _FOLLOWS.get(name, []) else 0 for name in names]
        for kind in kinds
    ]

    def seeded(rows: int, columns: int, scale: float) -> Matrix:
        return noise.normal(0, scale, (rows, columns)).astype(np.float32)

    embedding = np.hstack([4 * of_kind, seeded(len(kinds), _WIDTH - told, 0.5)])
    # Far above the noise: no sampling temperature makes another kind follow.
    output = np.hstack([10 * np.array(wanted, dtype=np.float32), seeded(len(kinds), _WIDTH - told, 0.4)])
    weights = {"token_embd": embedding, "output": output, "output_norm": np.ones(_WIDTH, np.float32)}
    for layer in range(_LAYERS):
        block = {
            "attn_norm": np.ones(_WIDTH, np.float32),
            "attn_q": seeded(_WIDTH, _WIDTH, 0.2),
            "attn_k": seeded(_WIDTH, _WIDTH, 0.2),
            "attn_v": seeded(_WIDTH, _WIDTH, 0.1),
            "attn_output": seeded(_WIDTH, _WIDTH, 0.1),
            "ffn_norm": np.ones(_WIDTH, np.float32),
            "ffn_gate": seeded(_INNER, _WIDTH, 0.1),
            "ffn_up": seeded(_INNER, _WIDTH, 0.1),
            "ffn_down": seeded(_WIDTH, _INNER, 0.1),
        }
        # What kind a token is of stays what it is.
        block["attn_output"][:told] = 0
        block["ffn_down"][:told] = 0
        weights |= {f"blk.{layer}.{name}": value for name, value in block.items()}
    return weights
