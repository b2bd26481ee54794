"""Writes what the tests of text/ compare with, beside this file.

    make_tokenizer_golden.py default tokenizer.json    clip_tokenizer.json, by the file that train_tokenizer writes
    make_tokenizer_golden.py published                 published_tokens.jsonl: 2,000 texts, and their ids by open_clip's,
                                                       GPT-2's and BERT's tokenizers
    make_tokenizer_golden.py components                tokenizer_components.json: normalizers, pre-tokenizers, decoders,
                                                       post-processors and added tokens, one by one
    make_tokenizer_golden.py byte_fallback             byte_fallback_tokenizer.json, a small tokenizer of the kind of
                                                       LLaMA 2's, and byte_fallback_tokens.jsonl

The vocabularies are those of data/tokenizers. Needs tokenizers, open_clip_torch and ftfy.
"""
import argparse
import csv
import json
import pathlib
import random
import sys
import types
import unicodedata

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

languages = "en de es fr it pt nl pl sv ru uk hi zh ja ko th vi".split()
golden = pathlib.Path(__file__).parent
data = golden.parent.parent / "data"


def rows(name):
    with open(data / "emoji_clipart" / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def write_json_lines(name, lines):
    text = "".join(json.dumps(line, ensure_ascii=True, separators=(",", ":")) + "\n" for line in lines)
    (golden / name).write_text(text)


def captions(step, offset=0):
    return [row["caption"] for row in rows("captions.tsv")[offset::step]]


def labels(step, offset=0):
    return [row[language] for row in rows("labels.tsv")[offset::step] for language in languages]


# No text holds an HTML reference: fovea unescapes them, as OpenAI's tokenizer does, and tokenizers does not.
odd = [
    "", " ", "a", "A", "it's we'll I'd they've you're I'm can't", "'saw 'LL '", "!'s ''s", "a  b\t\nc\u3000d\u00a0e\u2028f",
    "1234 ½ ² Ⅷ ٣ 10:30", "foo_bar-baz@x.com", "İstanbul ẞ ΟΔΟΣ Ⓐ ǅ", "e\u0301 cafe\u0301 \u1100\u1161\u11a8 \u0915\u093c Å",
    "👩‍👩‍👧‍👦🏽🇩🇪 ❤️", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "x</w>y </w>", "Tom & Jerry & co.", "R&D AT&T",
    "\u200b\ufeff\u00ad", "ﬁ ﬆ", "\U0010fffd\ue000", "CAFÉ ÉÀÎ ÄÖÜ Ñ", "don`t “quote” ‘q’", "مرحبا بالعالم", "שלום", "γειά σου",
    "<|startoftext|>a dog<|endoftext|>", "a dog!<|endoftext|>!", "<|ENDOFTEXT|>", "<|endoftext|", "<|startoftext|><|startoftext|>",
    "photo_of.a/DOG,running(fast)…", "$3.50 #1 50% + 7 = ?", "\ufffd", "a photo of a cat", "\x01\x1f\x7f",
]


def make_default(path):
    keywords = [row["keywords"] for row in rows("captions.tsv")[::200]]
    tokenizer = tokenizers.Tokenizer.from_file(path)
    ids = {text: tokenizer.encode(text).ids for text in [*odd, *captions(40), *keywords, *labels(60)]}
    lines = ",\n".join(f"{json.dumps(text)}: {json.dumps(ids[text])}" for text in ids)
    (golden / "clip_tokenizer.json").write_text("{\n" + lines + "\n}\n")


# --- varied texts ---

scripts = [(0x41, 0x7a), (0xc0, 0x17f), (0x180, 0x24f), (0x250, 0x2af), (0x370, 0x3ff), (0x400, 0x52f), (0x531, 0x58a),
           (0x5d0, 0x5ea), (0x620, 0x64a), (0x905, 0x939), (0x985, 0x9b9), (0xa05, 0xa39), (0xb85, 0xbb9), (0xe01, 0xe3a),
           (0x10a0, 0x10ff), (0x1100, 0x11ff), (0x1200, 0x135a), (0x13a0, 0x13f5), (0x1780, 0x17b3), (0x1e00, 0x1eff),
           (0x1f00, 0x1fff), (0x2c00, 0x2c5f), (0x3041, 0x3096), (0x30a1, 0x30fa), (0x3131, 0x318e), (0x4e00, 0x9fff),
           (0xac00, 0xd7a3), (0x20000, 0x2a6d6), (0x10400, 0x1044f), (0x1d400, 0x1d7ff)]
faces = "😀😂🥰😎🤔😭🙃🤖👻🎃🐱🐶🦊🐼🐸🦄🍎🍕🚀⚽🎸🏠❤⭐☀☂✈✂☎⌚"
people = "👨👩🧑👧👦👶👴👵"
skins = "🏻🏼🏽🏾🏿"
spaces = " \t\n\r\x0b\x0c\x85\xa0\u1680\u2000\u2003\u2007\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
controls = ("".join(map(chr, [*range(1, 32), 127])) + "\x80\x85\x91\x93\x96\x99\x9f" +
            "\u00ad\u200b\u200c\u200d\u200e\u202a\u2060\u206a\ufeff\ufff9\ufffc\ufffd\ue000\U000f0000")
marks = "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030c\u0323\u0327\u0328\u0331\u0338\u0345\u05b4\u064b\u093c\u0e34\u20dd\u3099"
signs = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~¡¿«»–—…•·§¶†‡‰€£¥©®™°±×÷√∞≈≠≤≥←→↑↓■□▲▼○●、。「」『』・ー〜ʼ‘’“”‛‟′″"
digits = "0123456789٠١٢٣٤٥٦٧٨٩०१२३४५६७८९０１２３４５６７８９²³¹½¼¾ⅠⅡⅧⅷ①②⑩㊿"
references = ("&amp; &lt; &gt; &quot; &apos; &#39; &#x27; &nbsp; &eacute; &Eacute; &EACUTE; &NTILDE; &SZLIG; &FFLIG; &hellip; &mdash; "
              "&copy &reg; &amp;amp; &amp;lt;b&amp;gt; &amp;amp;amp;amp; &#233; &#xE9; &#128512; &#x1F600; &#150; &#x80; "
              "&#0; &#x1c; &#59; &frac12; &FRAC12; &alpha; &ALPHA; &thetav; &THETAV; &notit; &notin; &nosuch; &; &#; &#x; &ampamp; "
              "&AMP; &Amp; &AELIG; &Tab; &NewLine; &zwj; &hearts; &HEARTS; &am&#112; &fjlig; &FJLIG; &NotEqualTilde;").split(" ")
quoted = ["it's", "we'll", "I'D", "they've", "YOU'RE", "I'm", "can't", "o'clock", "'tis", "rock'n'roll", "dogs'", "it’s", "‘quoted’",
          "“double”", "„low“", "'ſ", "x'S", "''s", "!'s", "'ll'll", "d'd", "ΟΔΟΣ", "ΟΔΥΣΣΕΥΣ ΣΑΣ Σ ΣΣ. ΑΣ'Α ΑΣ́ ΑΣ·", "İstanbul", "ẞtraße",
          "ﬁne ﬂuﬃe ﬀ ﬄ ﬅ ﬆ", "Ĳssel ĳ ŉ Ǳ ǲ ǳ Ǆ ǅ Ǉ ǋ", "ＬＯＵＤ　ｎｏｉｓｅ！", "ｶﾞｷﾞ ﾊﾟ ｱｲｳ ￠￡￥ ￦ ﾡﾢ", "\x1b[36;44mblue\x1b[0m", "\x1b[1m\x1b[;m\x1b[q\x1b[12", "a\r\nb\rc\u2028d\u2029e"]
specials = ["<start_of_text>", "<end_of_text>", "<|startoftext|>", "<|endoftext|>", "[CLS]", "[SEP]", "[MASK]", "[PAD]", "[UNK]", "</w>",
            "<END_OF_TEXT>", "<|ENDOFTEXT|>", "[mask]", "##ing", "Ġ", "Ċ", "Ã©", "<s>", "</s>", "<unk>", "▁", "<0x0A>"]


class Texts:
    """Texts of many kinds, the same for the same seed; only those in which `usable` finds nothing wrong."""

    def __init__(self, seed, usable):
        self.random, self.usable, self.texts = random.Random(seed), usable, {}

    def some(self, make, least, most):
        return [make() for _ in range(self.random.randint(least, most))]

    def one_of(self, choices):
        return self.random.choice(choices)

    def word(self):
        low, high = self.one_of(scripts)
        return "".join(chr(self.random.randint(low, high)) for _ in range(self.random.randint(1, 9)))

    def shipped(self):
        return self.one_of(self.known)

    def cluster(self):
        kind = self.random.randrange(5)
        if kind == 0:
            return "\u200d".join(self.some(lambda: self.one_of(people) + self.one_of(["", self.one_of(skins)]), 2, 4))
        if kind == 1:
            return "".join(chr(0x1f1e6 + self.random.randrange(26)) for _ in range(2))
        if kind == 2:
            return self.one_of("👍👋✌🤝💪") + self.one_of(skins)
        return self.one_of(faces) + self.one_of(["", "\ufe0f", "\ufe0e", "\u20e3"])

    def mixed(self):
        makers = [self.word, self.shipped, self.cluster, lambda: self.one_of(signs), lambda: self.one_of(digits) * 2,
                  lambda: self.one_of(references), lambda: self.one_of(quoted), lambda: self.one_of(specials)]
        return self.one_of(["", " "]).join(self.one_of(makers)() for _ in range(self.random.randint(2, 5)))

    def accented(self):
        return "".join(letter + "".join(self.some(lambda: self.one_of(marks), 0, 2)) for letter in self.shipped()[:24])

    def sprinkled(self, characters):
        return "".join(letter + (self.one_of(characters) if self.random.random() < 0.3 else "") for letter in self.shipped()[:24])

    def any_characters(self):
        found = []
        while len(found) < 8:
            character = chr(self.random.choice([0x300, 0x3000, 0x10000, 0x20000]) * self.random.randrange(1000) // 1000 + 32)
            if unicodedata.category(character) not in ("Cn", "Cs", "Co"):
                found.append(character)
        return "".join(found)

    def long(self):
        kind = self.random.randrange(4)
        if kind == 0:
            return self.one_of("aé笑😀0!") * self.random.randint(500, 1500)
        if kind == 1:
            return "".join(self.one_of("abcdefghijklmnopqrstuvwxyz") for _ in range(900))
        return " ".join(self.shipped() for _ in range(60))

    def add(self, count, make):
        left = count
        while left > 0:
            text = make()
            if text not in self.texts and self.usable(text):
                self.texts[text] = None
                left -= 1

    def all(self):
        self.known = sorted({*captions(7), *labels(40)})
        for text in [*odd, *quoted, *references, *specials]:
            if self.usable(text):
                self.texts.setdefault(text)
        self.add(300, self.shipped)
        self.add(350, lambda: " ".join(self.some(self.word, 1, 5)))
        self.add(120, lambda: self.one_of(["", " "]).join(self.some(self.cluster, 1, 4)))
        self.add(120, self.accented)
        self.add(100, lambda: self.sprinkled(controls))
        self.add(100, lambda: self.sprinkled(spaces))
        self.add(80, lambda: self.sprinkled(signs))
        self.add(60, lambda: "".join(self.some(lambda: self.one_of(digits), 1, 9)))
        self.add(120, lambda: self.one_of(["", " "]).join(self.some(lambda: self.one_of(references), 1, 4)))
        self.add(60, lambda: self.one_of(["", " ", "."]).join(self.some(lambda: self.one_of([*quoted, *specials]), 1, 4)))
        self.add(14, self.long)
        self.add(150, self.any_characters)
        self.add(2000 - len(self.texts), self.mixed)
        return list(self.texts)


def import_open_clip_tokenizer():
    """open_clip's tokenizer without the package's models, which need torchvision."""
    import importlib.util
    where = pathlib.Path(importlib.util.find_spec("open_clip").origin).parent / "tokenizer.py"
    spec = importlib.util.spec_from_file_location("open_clip_tokenizer", where)
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("torchvision", types.ModuleType("torchvision"))
    spec.loader.exec_module(module)
    return module.SimpleTokenizer()


def gpt2():
    merges = [tuple(line.split(" ")) for line in (data / "tokenizers/gpt2/merges.txt").read_text("utf-8").splitlines()[1:]]
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    symbols = [chr(byte) for byte in visible] + [chr(256 + i) for i in range(68)]
    pieces = [*symbols, *("".join(merge) for merge in merges)]
    tokenizer = tokenizers.Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|endoftext|>"])
    return tokenizer


def bert(lowercase):
    words = (data / "tokenizers/bert-base-uncased/vocab.txt").read_text("utf-8").splitlines()
    tokenizer = tokenizers.Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("[SEP]", 102), ("[CLS]", 101))
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.add_special_tokens(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"])
    return tokenizer


def known_alike(character):
    """Whether Hugging Face's tables, which are of Unicode 8, class the character as today's do."""
    if character in spaces or character in "\x1c\x1d\x1e\x1f":
        return True
    category = unicodedata.category(character)
    punctuation = len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str(f"a{character}b")) == 3
    ascii_sign = character.isascii() and character.isprintable() and not character.isalnum()
    control = normalizers.BertNormalizer(True, False, False, False).normalize_str(f"a{character}b") == "ab"
    mark = normalizers.BertNormalizer(False, False, True, False).normalize_str("a" + character).startswith("a") and \
        len(normalizers.BertNormalizer(False, False, True, False).normalize_str("a" + character)) == 1
    return (punctuation == (category[0] == "P" or ascii_sign) and
            control == (category in ("Cc", "Cf", "Co") and character not in "\t\n\r" or character in "\0\ufffd") and
            mark == (category == "Mn"))


def make_published():
    import ftfy
    alike = {}

    def usable(text):
        for character in text:
            if character not in alike:
                alike[character] = known_alike(character)
        assigned = all(unicodedata.category(character) != "Cn" for character in text)
        return (assigned and all(alike[character] for character in text) and
                ftfy.fix_text(text) == ftfy.fix_text(text, fix_encoding=False))

    texts = Texts(7, usable).all()
    assert len(texts) == 2000
    clip = import_open_clip_tokenizer()
    gpt, uncased, cased = gpt2(), bert(True), bert(False)

    def clip_ids(text):
        return [clip.sot_token_id, *clip.encode(text), clip.eot_token_id]

    write_json_lines("published_tokens.jsonl", ([text, clip_ids(text), gpt.encode(text).ids, uncased.encode(text).ids[1:-1],
                                                 cased.encode(text).ids[1:-1] if i % 4 == 0 else None]
                                                for i, text in enumerate(texts)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["default", "published", "components", "byte_fallback"])
    parser.add_argument("file", nargs="?")
    arguments = parser.parse_args()
    if arguments.what == "default":
        make_default(arguments.file)
    else:
        globals()["make_" + arguments.what]()
