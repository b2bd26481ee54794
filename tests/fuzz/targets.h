// Readers of files from outside, each as a function of bytes: what libFuzzer runs, and what the corpora run in the
// tests.
#pragma once

#include <string_view>

namespace fovea::fuzz {

// Any bytes may come in and only fovea::Error may come out, which these functions catch; where a reader has a writer,
// what was read must be written and read back to the same.
void image(std::string_view bytes);
void safetensors(std::string_view bytes);
void torch_file(std::string_view bytes);
void npy(std::string_view bytes);
void table(std::string_view bytes);
void config(std::string_view bytes);
void tokenizer_json(std::string_view bytes);
void sentence_piece(std::string_view bytes);

struct Target {
  const char* name;  // of the fuzzer fuzz_<name>, and of the folder corpus/<name>
  void (*run)(std::string_view bytes);
  const char* seeds = "";  // a folder of tests/golden with files of this kind
};
inline constexpr Target targets[]{{"image", image, "images"},
                                  {"safetensors", safetensors},
                                  {"torch_file", torch_file, "torch"},
                                  {"npy", npy, "npy"},
                                  {"table", table},
                                  {"config", config},
                                  {"tokenizer_json", tokenizer_json},
                                  {"sentence_piece", sentence_piece}};

}  // namespace fovea::fuzz
