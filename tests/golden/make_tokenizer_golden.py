"""Writes clip_tokenizer.json, beside this file: texts and their ids by Hugging Face's tokenizers.

    train_tokenizer --output tokenizer.json
    make_tokenizer_golden.py tokenizer.json

No text holds an HTML reference: fovea unescapes them, as OpenAI's tokenizer does, and tokenizers does not.
"""
import csv
import json
import pathlib
import sys

import tokenizers

languages = "en de es fr it pt nl pl sv ru uk hi zh ja ko th vi".split()
golden = pathlib.Path(__file__).parent
data = golden.parent.parent / "data" / "emoji_clipart"


def rows(name):
    with open(data / name, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


odd = [
    "", " ", "a", "A", "it's we'll I'd they've you're I'm can't", "'saw 'LL '", "!'s ''s", "a  b\t\nc\u3000d\u00a0e\u2028f",
    "1234 ½ ² Ⅷ ٣ 10:30", "foo_bar-baz@x.com", "İstanbul ẞ ΟΔΟΣ Ⓐ ǅ", "e\u0301 cafe\u0301 \u1100\u1161\u11a8 \u0915\u093c Å",
    "👩‍👩‍👧‍👦🏽🇩🇪 ❤️", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "x</w>y </w>", "Tom & Jerry & co.", "R&D AT&T",
    "\u200b\ufeff\u00ad", "ﬁ ﬆ", "\U0010fffd\ue000", "CAFÉ ÉÀÎ ÄÖÜ Ñ", "don`t “quote” ‘q’", "مرحبا بالعالم", "שלום", "γειά σου",
    "<|startoftext|>a dog<|endoftext|>", "a dog!<|endoftext|>!", "<|ENDOFTEXT|>", "<|endoftext|", "<|startoftext|><|startoftext|>",
    "photo_of.a/DOG,running(fast)…", "$3.50 #1 50% + 7 = ?", "\ufffd", "a photo of a cat", "\x01\x1f\x7f",
]
captions = [row["caption"] for row in rows("captions.tsv")[::40]] + [row["keywords"] for row in rows("captions.tsv")[::200]]
labels = [row[language] for row in rows("labels.tsv")[::60] for language in languages]

tokenizer = tokenizers.Tokenizer.from_file(sys.argv[1])
ids = {text: tokenizer.encode(text).ids for text in [*odd, *captions, *labels]}
lines = ",\n".join(f"{json.dumps(text)}: {json.dumps(ids[text])}" for text in ids)
(golden / "clip_tokenizer.json").write_text("{\n" + lines + "\n}\n")
