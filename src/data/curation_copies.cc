// Pictures that are copies of test pictures, or of each other.
//
// A picture is what rows with one path share; its place is that of its first row. Test pictures come before all. In
// that order each picture is dropped when one that was kept is near. Pairs that are near are found exactly: of two
// hashes that differ in at most 15 of 256 bits, at least one of 16 bands of 16 bits is the same, so that pictures are
// sorted by each band, and compared where it is equal.
#include <limits>
#include <optional>
#include <tuple>

#include "data/curation.h"
#include "fovea/core/error.h"
#include "fovea/data/image_text_dataset.h"
#include "fovea/image/decode.h"

namespace fovea::data::detail {
namespace {

constexpr int bands = 16, band_bits = 16;

// A picture by its path.
struct NamedPicture {
  Hash128 path;
  std::int64_t row;
  image::PerceptualHash hash;

  friend bool operator<(const NamedPicture& a, const NamedPicture& b) {
    return std::tie(a.path, a.row) < std::tie(b.path, b.row);
  }
  bool same(const NamedPicture& other) const { return path == other.path; }
  void absorb(const NamedPicture&) {}  // the first row stays
  std::uint64_t position() const { return path.low; }
};

// A picture by what it looks like. `place` is its first row; of test pictures, a number below 0.
struct SeenPicture {
  image::PerceptualHash hash;
  std::int64_t place;
  Hash128 path;

  friend bool operator<(const SeenPicture& a, const SeenPicture& b) {
    return std::tie(a.hash, a.place) < std::tie(b.hash, b.place);
  }
  bool same(const SeenPicture&) const { return false; }
  void absorb(const SeenPicture&) {}
  std::uint64_t position() const { return hash.bits[0]; }
};

// One of the pictures that look exactly the same, the first of them; under its band.
struct BandedPicture {
  std::uint32_t band;
  std::uint32_t group;  // which distinct hash it is
  std::int64_t place;
  image::PerceptualHash hash;

  friend bool operator<(const BandedPicture& a, const BandedPicture& b) {
    return std::tie(a.band, a.place) < std::tie(b.band, b.place);
  }
  bool same(const BandedPicture&) const { return false; }
  void absorb(const BandedPicture&) {}
  std::uint64_t position() const { return std::uint64_t{band} << 48; }
};

struct NearPair {
  std::int64_t later, earlier;  // places
  std::uint32_t later_group, earlier_group;

  friend bool operator<(const NearPair& a, const NearPair& b) {
    return std::tie(a.later, a.earlier) < std::tie(b.later, b.earlier);
  }
  bool same(const NearPair& other) const { return later == other.later && earlier == other.earlier; }
  void absorb(const NearPair&) {}
  std::uint64_t position() const { return 0; }
};

struct DroppedPicture {
  Hash128 path;
  std::uint64_t is_leak;

  friend bool operator<(const DroppedPicture& a, const DroppedPicture& b) { return a.path < b.path; }
  bool same(const DroppedPicture&) const { return false; }
  void absorb(const DroppedPicture&) {}
  std::uint64_t position() const { return path.low; }
};

enum class Verdict : std::uint8_t { kept, duplicate, leak };

std::uint32_t band_of(const image::PerceptualHash& hash, int band) {
  const int shift = band * band_bits;
  return static_cast<std::uint32_t>(hash.bits[static_cast<std::size_t>(shift / 64)] >> (shift % 64) & 0xFFFF);
}

std::vector<image::PerceptualHash> test_hashes(const std::vector<TestPictures>& tests) {
  std::vector<std::string> paths;
  for (const TestPictures& test : tests) {
    std::vector<std::string> splits = test.splits;
    if (splits.empty()) splits.push_back("");
    for (const std::string& split : splits) {
      DatasetOptions options;
      options.split = split;
      // Captions are not needed, and a table of test pictures may have none.
      options.text_columns = {{options.image_column}};
      const ImageTextDataset dataset(test.path, options);
      for (std::int64_t i = 0; i < dataset.size(); ++i) paths.push_back(dataset[i].image_path);
    }
  }
  std::vector<image::PerceptualHash> hashes(paths.size());
  parallel_for(std::ssize(paths), 8, [&](std::int64_t begin, std::int64_t end) {
    for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
      hashes[i] = image::perceptual_hash(image::read_image(paths[i], {.alpha = image::Alpha::white}));
  });
  return hashes;
}

// All pairs of near pictures, from files of a few passes over distinct hashes.
class NearSearch {
 public:
  NearSearch(const CurateOptions& options, std::string folder, std::int64_t memory)
      : options_(options), folder_(std::move(folder)), memory_(memory / num_threads()) {}

  // The pictures of the file, all with different hashes.
  void find(const std::string& pictures, SortedRuns<NearPair>& pairs) const {
    const io::detail::Input file("curate", pictures);
    parallel_for(bands, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t band = begin; band < end; ++band) find_in_band(file, static_cast<int>(band), pairs);
    });
  }

 private:
  void find_in_band(const io::detail::Input& file, int band, SortedRuns<NearPair>& pairs) const {
    const std::string prefix = concat(folder_, "/band-", band);
    {
      SortedRuns<BandedPicture> runs(prefix, memory_ / 4);
      RunWriter<BandedPicture> writer(runs, memory_ / 4);
      RecordReader<BandedPicture> next(file, 0, record_count<BandedPicture>(file), 256);
      for (; !next.done(); next.advance()) {
        BandedPicture picture = *next;
        picture.band = band_of(picture.hash, band);
        writer.add(picture);
      }
      writer.flush();
      runs.merge_to(prefix);
    }
    const io::detail::Input sorted("curate", prefix);
    RunWriter<NearPair> found(pairs, memory_ / 4);
    compare_groups(sorted, found);
    found.flush();
    ::unlink(prefix.c_str());
  }

  // Compares the pictures of each value of the band with each other.
  void compare_groups(const io::detail::Input& sorted, RunWriter<NearPair>& found) const {
    const std::int64_t all = record_count<BandedPicture>(sorted);
    std::vector<BandedPicture> group;
    std::int64_t begin = 0, at = 0;
    for (RecordReader<BandedPicture> next(sorted, 0, all, 256); !next.done(); next.advance(), ++at) {
      if (at > begin && (*next).band != group.front().band) {
        compare_group(sorted, group, begin, at, found);
        group.clear();
        begin = at;
      }
      if (std::ssize(group) < most_held()) group.push_back(*next);
    }
    if (at > begin) compare_group(sorted, group, begin, at, found);
  }

  std::int64_t most_held() const {
    return std::max<std::int64_t>(memory_ / 4 / static_cast<std::int64_t>(sizeof(BandedPicture)), 2);
  }

  // `held` are the first ones of the group [begin, end). When there are more, they are compared with all that follow,
  // and the next ones are held.
  void compare_group(const io::detail::Input& sorted, std::vector<BandedPicture>& held, std::int64_t begin,
                     std::int64_t end, RunWriter<NearPair>& found) const {
    for (std::size_t i = 0; i < held.size(); ++i) {
      for (std::size_t j = i + 1; j < held.size(); ++j) compare(held[i], held[j], found);
    }
    for (begin += std::ssize(held); begin < end; begin += std::ssize(held)) {
      std::vector<BandedPicture> following;
      for (RecordReader<BandedPicture> next(sorted, begin, end, 256); !next.done(); next.advance()) {
        for (const BandedPicture& picture : held) compare(picture, *next, found);
        if (std::ssize(following) < most_held()) {
          for (const BandedPicture& picture : following) compare(picture, *next, found);
          following.push_back(*next);
        }
      }
      held.swap(following);
    }
  }

  void compare(const BandedPicture& earlier, const BandedPicture& later, RunWriter<NearPair>& found) const {
    if (image::looks_same(earlier.hash, later.hash, options_.hash_distance, options_.color_distance))
      found.add({later.place, earlier.place, later.group, earlier.group});
  }

  const CurateOptions& options_;
  std::string folder_;
  std::int64_t memory_;
};

}  // namespace

void Curation::copies() {
  const std::int64_t memory = memory_part(0.5);
  // Pictures in the order of their hashes, tests among them.
  SortedRuns<SeenPicture> seen(file("seen"), memory);
  {
    SortedRuns<NamedPicture> named(file("named"), memory);
    RunWriter<NamedPicture> names(named, memory / 2);
    const io::detail::Input facts("curate", file("facts"));
    RecordReader<PictureFacts> next(facts, 0, record_count<PictureFacts>(facts), 1024);
    for_each_block(
        "", [](RowBlock&, std::int64_t) {},
        [&](RowBlock& block, std::int64_t) {
          for (std::size_t i = 0; i < block.rows.size(); ++i) {
            if ((block.flags[i] & opened_flag) == 0) continue;
            if (is_left(block.flags[i]))
              names.add({block.rows[i].image, block.block->first_row + static_cast<std::int64_t>(i), (*next).hash});
            next.advance();
          }
        });
    names.flush();
    RunWriter<SeenPicture> writer(seen, memory / 2);
    named.merge(1, [&](int, const NamedPicture& picture) { writer.add({picture.hash, picture.row, picture.path}); });
    std::int64_t place = 0;
    for (const image::PerceptualHash& hash : test_hashes(options_.tests)) writer.add({hash, --place, {}});
    writer.flush();
  }

  // Those that look exactly the same are one group, which its first one stands for.
  struct Member {
    Hash128 path;
    std::int64_t place, first;
    std::uint32_t group;
  };
  std::int64_t groups = 0;
  {
    OutputFile distinct(file("distinct")), members(file("members"));
    std::optional<SeenPicture> first;
    seen.merge(1, [&](int, const SeenPicture& picture) {
      if (!first || first->hash != picture.hash) {
        first = picture;
        FOVEA_CHECK(groups < std::numeric_limits<std::uint32_t>::max(), "[curate] more than ", groups,
                    " different pictures, expected fewer for finding copies");
        const BandedPicture stands{0, static_cast<std::uint32_t>(groups++), picture.place, picture.hash};
        distinct.write(&stands, sizeof stands);
      }
      const Member member{picture.path, picture.place, first->place, static_cast<std::uint32_t>(groups - 1)};
      if (picture.place >= 0) members.write(&member, sizeof member);
    });
    distinct.close();
    members.close();
  }

  std::vector<Verdict> verdicts(static_cast<std::size_t>(groups), Verdict::kept);
  SortedRuns<NearPair> pairs(file("near"), memory);
  NearSearch(options_, work_, memory).find(file("distinct"), pairs);
  pairs.merge(1, [&](int, const NearPair& pair) {
    Verdict& verdict = verdicts[pair.later_group];
    if (pair.later < 0 || verdict != Verdict::kept || verdicts[pair.earlier_group] != Verdict::kept) return;
    if (pair.earlier < 0) {
      verdict = Verdict::leak;
    } else if (options_.duplicates) {
      verdict = Verdict::duplicate;
    }
  });

  KeyFileWriter leaks(file("leak_keys")), duplicates(file("duplicate_keys"));
  {
    SortedRuns<DroppedPicture> dropped(file("copies"), memory);
    RunWriter<DroppedPicture> writer(dropped, memory / 2);
    const io::detail::Input members("curate", file("members"));
    RecordReader<Member> next(members, 0, record_count<Member>(members), 1024);
    for (; !next.done(); next.advance()) {
      const Member& member = *next;
      const Verdict verdict = member.first < 0 ? Verdict::leak : verdicts[member.group];
      const bool repeats = options_.duplicates && member.place != member.first;
      if (verdict != Verdict::kept || repeats) writer.add({member.path, verdict == Verdict::leak});
    }
    writer.flush();
    dropped.merge(key_parts, [&](int part, const DroppedPicture& picture) {
      (picture.is_leak != 0 ? leaks : duplicates).add(part, picture.path);
    });
  }
  leaks.close();
  duplicates.close();
  const auto picture = [](const Row& row, std::vector<Hash128>& keys) { keys.push_back(row.image); };
  mark_rows("flags.copies", {{file("leak_keys"), Reason::test_leak, picture, 0.25, false, true},
                             {file("duplicate_keys"), Reason::duplicate, picture, 0.25, false, true}});
}

}  // namespace fovea::data::detail
