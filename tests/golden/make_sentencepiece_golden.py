"""Writes tests/golden/sentencepiece: small SentencePiece models, and what the original library makes of 2,000 texts.

    NAME.model.gz          a model without its table of characters
    charsmap_RULE.gz       the table of a rule (nmt_nfkc, nmt_nfkc_cf), as field 2 of the model's field 3 (NormalizerSpec)
    texts.gz               a text per line, its bytes in hexadecimal
    NAME.sums.gz           a line per text: 32-bit FNV-1a of its ids, as text with spaces between, a line end, and what
                           they decode to

and for models of which Hugging Face's tokenizers can do the same

    NAME.json.gz           a tokenizer.json as transformers converts such a model, without its charsmap
    NAME.json_sums.gz       the same of the ids that tokenizers gives with it, without decoding; "-" for ill-formed texts

The models are trained on some languages of data/emoji_clipart's captions. Needs sentencepiece, protobuf and tokenizers.
"""
import base64
import gzip
import io
import pathlib
import random
import tempfile

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

HERE = pathlib.Path(__file__).parent
OUT = HERE / "sentencepiece"
LABELS = HERE.parent.parent / "data/emoji_clipart/labels.tsv"

MODELS = {
    "unigram_nmt_nfkc": {"vocab_size": 1500},
    "unigram_identity_bytes": {"vocab_size": 1200, "normalization_rule_name": "identity", "byte_fallback": True,
                               "user_defined_symbols": ["<image>", "red", "the red"], "control_symbols": ["<2de>"],
                               "split_digits": True},
    "unigram_nmt_nfkc_cf_siglip": {"vocab_size": 1000, "normalization_rule_name": "nmt_nfkc_cf", "eos_id": 1,
                                   "unk_id": 2, "bos_id": -1, "pad_id": 0},
    "bpe_nmt_nfkc": {"model_type": "bpe", "vocab_size": 1500, "user_defined_symbols": ["<image>", "red"]},
    "bpe_identity_bytes": {"model_type": "bpe", "vocab_size": 1200, "normalization_rule_name": "identity",
                           "byte_fallback": True, "split_digits": True},
    "bpe_nmt_nfkc_cf_bytes": {"model_type": "bpe", "vocab_size": 1200, "normalization_rule_name": "nmt_nfkc_cf",
                              "byte_fallback": True, "add_dummy_prefix": False},
    "unigram_suffix": {"vocab_size": 800, "normalization_rule_name": "identity", "treat_whitespace_as_suffix": True},
    "bpe_spaces": {"model_type": "bpe", "vocab_size": 800, "normalization_rule_name": "identity",
                   "remove_extra_whitespaces": False, "allow_whitespace_only_pieces": True,
                   "split_by_whitespace": False},
}
TRAINED = ("en", "de", "es", "fr", "pl", "ru", "hi")  # other scripts are mostly unknown characters
UNUSED = {"unigram_nmt_nfkc": 40, "bpe_nmt_nfkc": 40}  # pieces that are marked as unused after training
CONVERTED = {"unigram_nmt_nfkc": "always", "unigram_nmt_nfkc_cf_siglip": "first"}  # Metaspace's prepend_scheme


def write(name, data):
    with io.BytesIO() as buffer:
        with gzip.GzipFile(fileobj=buffer, mode="wb", mtime=0) as file:
            file.write(data)
        (OUT / name).write_bytes(buffer.getvalue())


def captions(languages=None):
    """Names of pictures in all languages, or in some."""
    header, *rows = [line.split("\t") for line in LABELS.read_text(encoding="utf-8").splitlines()]
    columns = [i for i, name in enumerate(header) if (name in languages if languages else len(name) == 2)]
    return [row[i] for row in rows for i in columns if row[i]]


def train(name, options, texts):
    with tempfile.TemporaryDirectory() as folder:
        prefix = str(pathlib.Path(folder) / "m")
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(texts), model_prefix=prefix, num_threads=1,
                                                 character_coverage=0.995, hard_vocab_limit=False,
                                                 minloglevel=2, **options)
        model = sentencepiece_model_pb2.ModelProto.FromString(pathlib.Path(prefix + ".model").read_bytes())
    model.trainer_spec.ClearField("input")
    model.trainer_spec.ClearField("model_prefix")
    normal = [piece for piece in model.pieces if piece.type == piece.NORMAL and len(piece.piece) > 2]
    random.Random(1).shuffle(normal)
    for piece in normal[:UNUSED.get(name, 0)]:
        piece.type = piece.UNUSED
    return model


def checksum(ids, decoded=b""):
    h = 0x811C9DC5
    for byte in " ".join(map(str, ids)).encode() + b"\n" + decoded:
        h = (h ^ byte) * 0x01000193 % 2 ** 32
    return f"{h:08x}"


def make_texts(words):
    rng = random.Random(7)
    odd = ["<s>", "</s>", "<unk>", "<0x41>", "<image>", "the red", "red", "<2de>", "\u2581", "\u2581\u2581", "\ufffd",
           "\u200b", "\u200d", "\u00ad", "\u0301", "\u0308\u0327", "\r\n", "\t", "\x00", "\x07", "\x7f", "\x85", "\u00a0",
           "\u3000", "\u2028", "\ufeff", "ﬁ", "Ｆｕｌｌ", "①", "㍿", "ﷺ", "ß", "İ", "ſ", "Ǆ", "½", "x²", "\U0001f468\u200d"
           "\U0001f469\u200d\U0001f467", "\U0001f1e9\U0001f1ea", "\u2764\ufe0f", "e\u0301", "각", "\u1112\u1161\u11ab",
           "が", "か\u3099", "ｶﾞ", "ไทย", "हिन्दी", "עברית", "العربية", "ქართული", "中文", "日本語", "tiếng Việt", "ÅÅ", "  "]
    spaces = ["", " ", " ", " ", "  ", "   ", "\t", "\n", " \n ", "\u00a0", "\u3000", "-", "_", "..."]
    texts = ["", " ", "   ", "\t", "a", " a", "a ", "  a  b  ", "\u2581", "\u2581a", "a\u2581 b", "\ufffd", "1", "12 345"]
    texts += odd

    def piece():
        kind = rng.random()
        if kind < 0.55:
            return rng.choice(words)
        if kind < 0.65:
            return rng.choice(words).upper()
        if kind < 0.75:
            return rng.choice(odd)
        if kind < 0.82:
            return str(rng.randrange(10 ** rng.randrange(1, 9)))
        if kind < 0.9:
            return "".join(chr(rng.choice([rng.randrange(0x20, 0x7f), rng.randrange(0xa0, 0x600),
                                           rng.randrange(0x600, 0x2000), rng.randrange(0x2000, 0xd800),
                                           rng.randrange(0xe000, 0x10000), rng.randrange(0x1f000, 0x1fb00),
                                           rng.randrange(0x10000, 0x110000)])) for _ in range(rng.randrange(1, 6)))
        return rng.choice("abcdefghijklmnopqrstuvwxyzäöüéñ") * rng.randrange(1, 20)

    while len(texts) < 1880:
        texts.append(rng.choice(spaces) + "".join(piece() + rng.choice(spaces) for _ in range(rng.choice([1, 1, 2, 3]))))
    for length in (60, 200, 800):
        texts.append("".join(piece() + rng.choice(spaces) for _ in range(length)))
    texts += ["a" * 3000, " " * 500 + "x", "the red " * 300]
    ill_formed = [b"\xff", b"a\xc3", b"\xe2\x96", b"\xed\xa0\x80x", b"\xf0\x9f\x98", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80"]
    encoded = [text.encode("utf-8") for text in texts]
    while len(encoded) < 2000:
        base = bytearray(rng.choice(words).encode("utf-8"))
        for _ in range(rng.randrange(1, 4)):
            at = rng.randrange(len(base) + 1)
            base[at:at] = rng.choice(ill_formed) if rng.random() < 0.7 else bytes([rng.randrange(256)])
        encoded.append(bytes(base))
    return encoded


def converted(name, scheme, model, texts):
    """What tokenizers gives for the well-formed texts, of the components that transformers converts such a model to."""
    vocabulary = [(piece.piece, piece.score) for piece in model.pieces]
    unknown = next(i for i, piece in enumerate(model.pieces) if piece.type == piece.UNKNOWN)
    tokenizer = Tokenizer(models.Unigram(vocabulary, unknown, model.trainer_spec.byte_fallback))
    tokenizer.normalizer = normalizers.Sequence([
        normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap),
        normalizers.Strip(left=False, right=True), normalizers.Replace(Regex(" {2,}"), "\u2581")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    lines = []
    for text in texts:
        try:
            lines.append(checksum(tokenizer.encode(text.decode("utf-8"), add_special_tokens=False).ids))
        except UnicodeDecodeError:
            lines.append("-")
    table = base64.b64encode(model.normalizer_spec.precompiled_charsmap).decode()
    write(f"{name}.json.gz", tokenizer.to_str().replace(table, "CHARSMAP").encode("utf-8"))
    write(f"{name}.json_sums.gz", ("\n".join(lines) + "\n").encode())


def main():
    OUT.mkdir(exist_ok=True)
    words, trained = captions(), captions(TRAINED)
    texts = make_texts(words)
    write("texts.gz", "".join(text.hex() + "\n" for text in texts).encode())
    for name, options in MODELS.items():
        model = train(name, options, trained)
        rule = options.get("normalization_rule_name", "nmt_nfkc")
        processor = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
        lines = []
        for text in texts:
            ids = processor.encode(text)
            decoded = processor.decode(ids) if ids else ""
            decoded = decoded if isinstance(decoded, bytes) else decoded.encode("utf-8")
            lines.append(checksum(ids, decoded))
        write(f"{name}.sums.gz", ("\n".join(lines) + "\n").encode())
        if name in CONVERTED:
            converted(name, CONVERTED[name], model, texts)
        if rule != "identity":
            write(f"charsmap_{rule}.gz", model.normalizer_spec.precompiled_charsmap)
            model.normalizer_spec.ClearField("precompiled_charsmap")
        write(f"{name}.model.gz", model.SerializeToString())
        print(name, len(model.pieces), "pieces")
    print(sum(file.stat().st_size for file in OUT.iterdir()), "bytes")


if __name__ == "__main__":
    main()
