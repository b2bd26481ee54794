// What the picture files tell: sizes, perceptual hashes and scores.
#include <filesystem>
#include <map>

#include "data/curation.h"
#include "data/curation_counts.h"
#include "fovea/core/error.h"
#include "fovea/image/decode.h"

namespace fovea::data::detail {
namespace {

// A picture that some rows name.
struct Picture {
  std::string path;
  bool is_sized = false, is_scored = false;
  PictureFacts facts{};
};

std::span<const std::uint8_t> as_bytes(const std::string& bytes) {
  return {reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()};
}

class PictureReader {
 public:
  PictureReader(const CurateOptions& options, bool hashes) : options_(options), hashes_(hashes) {}

  void read(std::vector<Picture>& pictures) const {
    parallel_for(std::ssize(pictures), 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) read_size(pictures[static_cast<std::size_t>(i)]);
    });
    std::vector<Picture*> scored, hashed;
    for (Picture& picture : pictures) {
      if (picture.facts.flags & dropped_flags) continue;
      const bool to_score = options_.scorer != nullptr && !picture.is_scored;
      if (to_score) scored.push_back(&picture);
      if (!to_score && hashes_) hashed.push_back(&picture);
    }
    if (!scored.empty()) score(scored);
    parallel_for(std::ssize(hashed), 8, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        guard(*hashed[static_cast<std::size_t>(i)], [&](Picture& p) { decode(p); });
    });
  }

 private:
  // What cannot be read is left out.
  static void guard(Picture& picture, auto&& work) {
    try {
      work(picture);
    } catch (const Error&) {
      picture.facts.flags |= flag(Reason::unreadable);
    }
  }

  void read_size(Picture& picture) const {
    if (picture.is_sized) return;
    guard(picture, [&](Picture& p) {
      const image::Size size = image::picture_size(as_bytes(image::read_picture_file(p.path)), p.path);
      p.facts.flags |= size_flags(size.width, size.height, options_);
    });
  }

  image::Image decode(Picture& picture) const {
    image::Image pixels = image::read_image(picture.path, {.alpha = image::Alpha::white});
    if (hashes_) picture.facts.hash = image::perceptual_hash(pixels);
    return pixels;
  }

  void score(const std::vector<Picture*>& pictures) const {
    const std::vector<float> scores = options_.scorer->score(std::ssize(pictures), [&](std::int64_t i) {
      Picture& picture = *pictures[static_cast<std::size_t>(i)];
      try {
        return decode(picture);
      } catch (const Error&) {
        picture.facts.flags |= flag(Reason::unreadable);
        throw;
      }
    });
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      if (scores.at(i) > static_cast<float>(options_.max_unsafe)) pictures[i]->facts.flags |= flag(Reason::unsafe);
    }
  }

  const CurateOptions& options_;
  bool hashes_;
};

}  // namespace

bool Curation::opens_pictures() const {
  const bool sizes = has_unsized_ && (options_.min_side > 0 || options_.max_aspect > 0);
  return sizes || finds_copies() || options_.scorer != nullptr;
}

// The facts are written in the order of the rows, a group at a time. A run that was ended goes on behind the last
// group: decoding takes longer than anything else.
void Curation::pictures() {
  constexpr std::int64_t group_size = 2048;
  const std::string path = file("facts");
  std::error_code unknown;
  const auto size =
      static_cast<std::int64_t>(std::filesystem::exists(path, unknown) ? std::filesystem::file_size(path) : 0);
  std::int64_t known = size / static_cast<std::int64_t>(sizeof(PictureFacts));  // rows that need not be looked at
  OutputFile facts(path, known * static_cast<std::int64_t>(sizeof(PictureFacts)));
  const PictureReader reader(options_, finds_copies());
  const bool sizes = options_.min_side > 0 || options_.max_aspect > 0;
  std::vector<Picture> group;
  std::vector<std::size_t> picture_of;  // of each row of the group
  std::map<std::string, std::size_t> numbers;
  const auto finish = [&] {
    reader.read(group);
    std::vector<PictureFacts> rows;
    for (const std::size_t picture : picture_of) rows.push_back(group[picture].facts);
    facts.write(std::span<const PictureFacts>(rows));
    group.clear();
    picture_of.clear();
    numbers.clear();
  };
  for_each_block(
      "", [](RowBlock&, std::int64_t) {},
      [&](RowBlock& block, std::int64_t) {
        std::size_t i = 0;
        list_.for_each_row(*block.block, list_.read(*block.block), [&](PairRow& row) {
          const Flags flags = block.flags[i++];
          if (!is_left(flags) || known-- > 0) return;
          std::string picture = list_.image_path(*block.block, row[Cell::image]);
          const auto [entry, is_new] = numbers.emplace(std::move(picture), group.size());
          if (is_new) group.push_back({entry->first, !sizes || (flags & sized_flag) != 0, (flags & scored_flag) != 0});
          picture_of.push_back(entry->second);
          if (std::ssize(picture_of) == group_size) finish();
        });
      });
  finish();
  facts.close();

  const io::detail::Input written("curate", path);
  RecordReader<PictureFacts> next(written, 0, record_count<PictureFacts>(written), 1024);
  for_each_block(
      "flags.pictures", [](RowBlock&, std::int64_t) {},
      [&](RowBlock& block, std::int64_t) {
        for (Flags& flags : block.flags) {
          if (!is_left(flags)) continue;
          flags |= (*next).flags | opened_flag;
          next.advance();
        }
      });
}

}  // namespace fovea::data::detail
