// Byte-pair encoding: words to the ids of their pieces (Sennrich et al., "Neural machine translation of rare words with
// subword units", ACL 2016).
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/vocabulary.h"

namespace fovea::text::detail {

// What Hugging Face's BPE model may be told.
struct BpeOptions {
  std::optional<std::string> unk_token;                  // for characters outside the vocabulary, which else vanish
  std::optional<std::string> continuing_subword_prefix;  // written before every character but a word's first
  std::optional<std::string> end_of_word_suffix;         // written after a word's last character
  bool fuse_unk = false;                                 // one unknown token for a run of unknown characters
  bool byte_fallback = false;                            // unknown characters become their bytes, "<0x0A>"
  bool ignore_merges = false;                            // a word that is an entry is that entry, mergeable or not

  static void fields(auto& self, auto&& f) {
    f.optional("unk_token", self.unk_token);
    f.optional("continuing_subword_prefix", self.continuing_subword_prefix);
    f.optional("end_of_word_suffix", self.end_of_word_suffix);
    f.optional("fuse_unk", self.fuse_unk);
    f.optional("byte_fallback", self.byte_fallback);
    f.optional("ignore_merges", self.ignore_merges);
  }
};

// Two ids that are joined where they stand side by side, and what they become; their place in the list is their rank.
struct MergeRule {
  std::int32_t left, right, merged;
};

class BpeModel {
 public:
  // Rules speak of ids of the vocabulary.
  BpeModel(Vocabulary vocabulary, std::vector<MergeRule> rules, BpeOptions options);

  // Merges the earliest rule first, of equal ones the leftmost, and appends the ids. n log n in the length of the word.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  const std::vector<MergeRule>& rules() const { return rules_; }
  const BpeOptions& options() const { return options_; }

 private:
  // A hash table from pairs of ids to ranks.
  class RankTable {
   public:
    explicit RankTable(const std::vector<MergeRule>& rules);
    // The rank, or no_rank.
    std::int32_t operator()(std::int32_t left, std::int32_t right) const;

   private:
    struct Slot {
      std::uint64_t pair;
      std::int32_t rank;
    };
    std::vector<Slot> slots_;  // a power of two of them, at most half taken
  };
  // Ids of single characters.
  struct CharacterIds {
    std::array<std::int32_t, 512> low;
    std::unordered_map<std::int32_t, std::int32_t> high;
    std::int32_t operator()(std::int32_t code_point) const;
  };

  void find_characters();
  void find_whole_words();
  const CharacterIds& characters(bool first, bool last) const;
  void append_symbols(std::string_view word, std::vector<std::int32_t>& symbols) const;
  bool append_bytes(std::string_view character, bool first, bool last, std::vector<std::int32_t>& symbols) const;
  void merge_short(std::vector<std::int32_t>& symbols) const;
  void merge_long(std::vector<std::int32_t>& symbols) const;

  Vocabulary vocabulary_;
  std::vector<MergeRule> rules_;  // by rank
  BpeOptions options_;
  RankTable ranks_;
  std::array<CharacterIds, 4> characters_;  // +1 with the prefix, +2 with the suffix
  std::array<std::int32_t, 256> fallback_;  // of a byte
  std::int32_t unknown_ = Vocabulary::none;
  StringMap<std::int32_t> whole_words_;  // entries that, as a word, merge to themselves
};

}  // namespace fovea::text::detail
