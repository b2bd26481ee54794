"""Writes what the tests of text/ compare with, beside this file.

    make_tokenizer_golden.py default tokenizer.json    clip_tokenizer.json, by the file that train_tokenizer writes
    make_tokenizer_golden.py published                 published_tokens.jsonl: 2,000 texts, and their ids by open_clip's,
                                                       GPT-2's and BERT's tokenizers
    make_tokenizer_golden.py components                tokenizer_components.jsonl: normalizers, pre-tokenizers, decoders,
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
                                                 cased.encode(text).ids[1:-1]]
                                                for text in texts))


# --- components, one by one ---

# Every byte is a piece, and \x01 ends a word: ids are what the model was given, word by word.
BYTES = {f"<0x{byte:02X}>": byte for byte in range(256)}


def over_bytes(**parts):
    """A tokenizer.json with the named parts over a model that shows its words as bytes."""
    model = {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": "\x01",
             "fuse_unk": False, "byte_fallback": True, "ignore_merges": False, "vocab": BYTES, "merges": []}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
            "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model, **parts}


def sequence(key, *parts):
    return {"type": "Sequence", key: list(parts)}


def replace(kind, pattern, content):
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def split(kind, pattern, behavior="Isolated", invert=False):
    return {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}


def metaspace(scheme, split=True, replacement="▁"):
    return {"type": "Metaspace", "replacement": replacement, "prepend_scheme": scheme, "split": split}


def byte_level(prefix, use_regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": use_regex}


def bert_normalizer(clean, chinese, accents, lower):
    return {"type": "BertNormalizer", "clean_text": clean, "handle_chinese_chars": chinese, "strip_accents": accents,
            "lowercase": lower}


def added(content, id, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": True,
            "special": False, **flags}


behaviors = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
cl100k = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

component_cases = {
    "normalizer": [
        {"type": "NFC"}, {"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "Lowercase"}, {"type": "StripAccents"},
        sequence("normalizers"), sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}),
        {"type": "Strip", "strip_left": True, "strip_right": True}, {"type": "Strip", "strip_left": True, "strip_right": False},
        {"type": "Strip", "strip_left": False, "strip_right": True}, {"type": "Prepend", "prepend": "▁"}, {"type": "ByteLevel"},
        replace("String", " ", "▁"), replace("String", "ab", ""), replace("String", "a.", "x"), replace("Regex", r"\s+", " "),
        replace("Regex", "[ae]|$", "<>"), replace("Regex", "(?<=a)b*", "_"), replace("Regex", r"\d{2,3}", "#"),
        replace("Regex", r"^.", "|"), replace("Regex", r"\w\b", "W"), replace("Regex", r"(?i:É|STRA)", "+"),
        sequence("normalizers", {"type": "Prepend", "prepend": "▁"}, replace("String", " ", "▁")),
        *[bert_normalizer(*flags) for flags in [(True, True, None, True), (True, True, None, False), (False, True, True, False),
                                                (True, False, False, True), (False, False, False, False)]],
    ],
    "pre_tokenizer": [
        {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "BertPreTokenizer"},
        {"type": "Digits", "individual_digits": True}, {"type": "Digits", "individual_digits": False},
        *[{"type": "Punctuation", "behavior": behavior} for behavior in behaviors],
        *[split("Regex", r"\s+|[abé]", behavior, invert) for behavior in behaviors for invert in (False, True)],
        *[split("String", "a", behavior) for behavior in behaviors], split("String", ".", "Removed"), split("String", "", "Isolated"),
        split("Regex", "(?=[A-Z])", "Isolated"), split("Regex", cl100k), split("Regex", r"\p{N}{1,3}", "Isolated"),
        split("Regex", r"[^\r\n\p{L}\p{N}]?+\p{L}++|[[:alpha:]]|\h+", "Isolated"), split("Regex", r"\s+$|^\s+", "Removed"),
        split("Regex", r"\w+|[^\w\s]+", "Removed", True), split("Regex", r"\bа|\Bb|\u0061", "Isolated"),
        split("Regex", r"(?m:a.)|e{,2}t", "Isolated"), split("Regex", r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+", "Removed", True),
        *[metaspace(scheme, cut) for scheme in ("always", "first", "never") for cut in (True, False)], metaspace("always", True, "a"),
        *[byte_level(prefix, regex) for prefix in (True, False) for regex in (True, False)],
        sequence("pretokenizers", {"type": "WhitespaceSplit"}, {"type": "Punctuation", "behavior": "Isolated"},
                 {"type": "Digits", "individual_digits": True}),
        sequence("pretokenizers", {"type": "WhitespaceSplit"}, metaspace("first")),
        sequence("pretokenizers", split("Regex", "[A-Z]+", "Isolated"), byte_level(False, False)),
    ],
}

component_texts = [
    "", " ", "a", "  two  spaces ", "Hello, World! It's 2024.", "abba aab.b-a--b", "CamelCaseAPI v2.0", "tab\tnew\nline\r\nend\n",
    "café CAFÉ cafe\u0301 e\u0301\u0323", "ﬁne Ⅷ ½ ² ｆｕｌｌ ﾊﾟ Ａ", "İstanbul ẞ ΟΔΟΣ ǅ Å", "日本語のtextと漢字。𠀀", "한국어 각", "हिंदी में",
    "👩‍🚀 🇩🇪 👍🏽❤️", "1234567 ٣٤ 12ab", "  ¿Qué? «sí» … — ‘q’", "we'll I'D they'VE d's ''s", "x\u00a0y\u3000z\u2028w\u0085v\u200bu\u180et",
    "\u0007bell\u00adsoft\ufffdbad\ue000private", "a▁b ▁c", "<|startoftext|>a<|endoftext|>", "straße STRASSE Straße", "aaaa aaa", "line one\n\n  line two\n",
    "_under_score__ ⓐ ⓩ 🅰", "а\u0301б b\u0301", "E=mc² ≠ 3×4", "\tlead", "trail\t ", "ab ab", "#hash @at $5",
]

added_cases = [
    [added("<s>", 256, special=True, normalized=False), added("</s>", 257, special=True, normalized=False)],
    [added("<mask>", 256, lstrip=True, special=True, normalized=False), added("<pad>", 257, rstrip=True, special=True, normalized=False)],
    [added("cat", 256, single_word=True), added("catalog", 257), added("Dog", 258, single_word=True, normalized=False)],
    [added("Yes", 256), added("no", 257, lstrip=True, rstrip=True, normalized=False), added("É", 258)],
    [added("ab", 256, normalized=False), added("abc", 257, normalized=False), added("b", 258, normalized=False), added("  ", 259, normalized=False)],
]
added_texts = [
    "<s>hi</s> there <s>", "a <mask> b<mask>c  <mask>", "x <pad>  y<pad> z", "cat catalog cats a cat, Dog Dogs dog cat_ écat", "yes YES Yes no  no  x",
    "é É e\u0301 yes", "abc ab b abcd aab    x   y", "", " ", "<s>", "<s><s> <mask> <pad> ",
]

decoder_pieces = ["hello", "##lo", "Hel", "▁wor", "ld", "▁", "▁▁x", "Ġthe", "Ċ", "Ã©", "Ã", "©", "<0xC3>", "<0xA9>", "<0x0a>", "<0xFF>", "<0xG1>", "low</w>",
                  "er</w>", ".", "!", "'", "n't", "'m", "'s", "do", "not", "'ve", "'re", "##", "é", "日", "  ", " a ", ",", "?", "a", "aa", "<s>"]
decoder_cases = [
    None, byte_level(True), {"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "WordPiece", "prefix": "##", "cleanup": False},
    {"type": "WordPiece", "prefix": "▁", "cleanup": True}, metaspace("always"), metaspace("never"), metaspace("first", False), {"type": "ByteFallback"},
    {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}, {"type": "Strip", "content": "a", "start": 0, "stop": 1},
    replace("String", "▁", " "), replace("Regex", "[aeo]", "*"), {"type": "BPEDecoder", "suffix": "</w>"},
    sequence("decoders", replace("String", "▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
             {"type": "Strip", "content": " ", "start": 1, "stop": 0}),
    sequence("decoders", byte_level(False), replace("String", "</w>", " ")), sequence("decoders"),
]

cls_sep = {"[CLS]": {"id": "[CLS]", "ids": [254], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [255, 253], "tokens": ["a", "b"]}}


def special(id):
    return {"SpecialToken": {"id": id, "type_id": 0}}


def text_of(id):
    return {"Sequence": {"id": id, "type_id": 0}}


pair = [text_of("A"), text_of("B")]
post_cases = [
    {"type": "BertProcessing", "sep": ["<0xFE>", 254], "cls": ["<0xFD>", 253]},
    {"type": "RobertaProcessing", "sep": ["<0xFE>", 254], "cls": ["<0xFD>", 253], "trim_offsets": True, "add_prefix_space": False},
    {"type": "TemplateProcessing", "single": [special("[CLS]"), text_of("A"), special("[SEP]")], "pair": pair, "special_tokens": cls_sep},
    {"type": "TemplateProcessing", "single": [special("[CLS]"), text_of("A")], "pair": pair, "special_tokens": cls_sep},
    {"type": "TemplateProcessing", "single": [text_of("A"), special("[SEP]")], "pair": pair, "special_tokens": cls_sep},
    byte_level(True),
    sequence("processors", byte_level(True), {"type": "BertProcessing", "sep": ["<0xFE>", 254], "cls": ["<0xFD>", 253]}),
]
truncations = [None, {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 0},
               {"direction": "Left", "max_length": 5, "strategy": "OnlyFirst", "stride": 0}]


def load(parts):
    return tokenizers.Tokenizer.from_str(json.dumps(parts))


def words(ids):
    """The words that the model was given; ids beyond the bytes stand for themselves."""
    out, word = [], b""
    for id in ids:
        if id > 255:
            assert not word
            out.append(id)
        elif id == 1:
            out.append(word.decode())
            word = b""
        else:
            word += bytes([id])
    assert not word
    return out


def make_components():
    cases = []
    for part, components in component_cases.items():
        for component in components:
            tokenizer = load(over_bytes(**{part: component}))
            cases.append({"parts": {part: component}, "words": [words(tokenizer.encode(text).ids) for text in component_texts]})
    for tokens in added_cases:
        for normalizer in (None, {"type": "Lowercase"}, {"type": "Prepend", "prepend": "_"}):
            parts = {"added_tokens": tokens, "normalizer": normalizer, "pre_tokenizer": metaspace("first")}
            tokenizer = load(over_bytes(**parts))
            cases.append({"parts": parts, "added_words": [words(tokenizer.encode(text).ids) for text in added_texts]})
    for processor in post_cases:
        for truncation in truncations:
            parts = {"post_processor": processor, "truncation": truncation}
            cases.append({"parts": parts, "ids": [load(over_bytes(**parts)).encode(text).ids for text in ("", "abcdefgh", "xy")]})
    pieces = random.Random(3)
    sentences = [[], [0], *[[pieces.randrange(len(decoder_pieces)) for _ in range(pieces.randint(1, 9))] for _ in range(60)],
                 *[[i, (i + 1) % len(decoder_pieces)] for i in range(len(decoder_pieces))]]
    model = {"type": "WordPiece", "unk_token": "hello", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
             "vocab": {piece: i for i, piece in enumerate(decoder_pieces)}}
    for decoder in decoder_cases:
        parts = {"model": model, "decoder": decoder, "added_tokens": [added("<s>", decoder_pieces.index("<s>"), special=True)]}
        empty = [""] if decoder and decoder["type"] == "BPEDecoder" else [load(over_bytes(**parts)).decode([])]
        texts = empty + [load(over_bytes(**parts)).decode(ids) for ids in sentences[1:]]
        cases.append({"parts": {"decoder": decoder}, "texts": texts})
    write_json_lines("tokenizer_components.jsonl", [
        {"component_texts": component_texts, "added_texts": added_texts, "decoder_pieces": decoder_pieces, "sentences": sentences}, *cases])


# --- a small tokenizer of the kind of LLaMA 2's ---

def make_byte_fallback():
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    # Words for training alone: the tokenizer merges whole texts.
    tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    names = ["<unk>", "<s>", "</s>", *BYTES]
    alphabet = sorted({letter for text in captions(1) for letter in text if letter.isascii() and letter != " "} | {"▁"})
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=names, initial_alphabet=alphabet, limit_alphabet=len(alphabet))
    tokenizer.train_from_iterator([text for text in captions(3) if text.isascii()], trainer)
    root = json.loads(tokenizer.to_str())
    root["pre_tokenizer"] = None
    root["added_tokens"] = [added(name, i, normalized=False, special=True) for i, name in enumerate(names[:3])]
    root["post_processor"] = {"type": "TemplateProcessing", "single": [special("<s>"), text_of("A")],
                              "pair": [special("<s>"), text_of("A"), special("<s>"), text_of("B")],
                              "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}}
    root["decoder"] = sequence("decoders", replace("String", "▁", " "), {"type": "ByteFallback"}, {"type": "Fuse"},
                               {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    text = json.dumps(root, ensure_ascii=True, separators=(",", ":"))
    (golden / "byte_fallback_tokenizer.json").write_text(text.replace('"],["', '"],\n["') + "\n")
    tokenizer = tokenizers.Tokenizer.from_str(text)
    texts = [*odd, *component_texts, *added_texts, *captions(60), *labels(200)]
    write_json_lines("byte_fallback_tokens.jsonl", [[text, tokenizer.encode(text).ids, tokenizer.decode(tokenizer.encode(text).ids)]
                                                    for text in dict.fromkeys(texts)])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["default", "published", "components", "byte_fallback"])
    parser.add_argument("file", nargs="?")
    arguments = parser.parse_args()
    if arguments.what == "default":
        make_default(arguments.file)
    else:
        globals()["make_" + arguments.what]()
