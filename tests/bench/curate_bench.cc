// Speed of curation: rows a second of a made-up list, and pictures a second that are decoded and hashed.
//   bench_curate [--rows 10000000] [--folder /tmp/bench_curate] [--threads 2] [--memory-mb 1024] [--top-ngrams N]
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "fovea/core/error.h"
#include "fovea/core/parallel.h"
#include "fovea/core/rng.h"
#include "fovea/data/curate.h"
#include "fovea/data/folder_table.h"
#include "fovea/image/decode.h"
#include "fovea/image/encode.h"
#include "fovea/image/perceptual_hash.h"
#include "fovea/image/resize.h"

namespace {

using namespace fovea;
namespace fs = std::filesystem;

double seconds_of(auto&& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// A word for each number, the shorter the smaller.
std::string word(std::uint64_t number) {
  constexpr std::array<const char*, 16> syllables{"ka",  "lo", "mi",  "ren", "tu", "sa",  "ve", "no",
                                                  "pir", "da", "gel", "fo",  "hu", "zan", "be", "wy"};
  std::string text;
  do {
    text += syllables[number % 16];
    number /= 16;
  } while (number > 0);
  return text;
}

// Ranks of a law of Zipf: about every 1 / (r ln(words)) of all is the r-th.
std::uint64_t zipf(double uniform) {
  constexpr double words = 400'000;
  return static_cast<std::uint64_t>(std::exp(uniform * std::log(words)));
}

// Texts of 1 to 24 words; half of the words follow from the one before, as in language. One caption in 20 is
// boilerplate that thousands share, one row in 10 has the picture of an earlier one.
void append_row(std::uint64_t row, std::string& out) {
  Rng rng(RngKey{7}.derive(row));
  const std::uint64_t picture = rng.uniform() < 0.1 ? mix(row, 1) % (row + 1) : row;
  out += concat("https://example.org/", mix(picture, 2) % 9973, "/", picture, ".jpg\t");
  if (rng.uniform() < 0.05) {
    out += concat("Image ", rng.below(300), " of gallery");
  } else {
    const std::int64_t words = 1 + rng.below(12) + (rng.uniform() < 0.1 ? 12 : 0);
    std::uint64_t last = 0;
    for (std::int64_t i = 0; i < words; ++i) {
      const auto follower = mix(last, static_cast<std::uint64_t>(rng.below(6)));
      last = i > 0 && rng.uniform() < 0.5 ? zipf(uniform_from_bits(static_cast<std::uint32_t>(follower)))
                                          : zipf(rng.uniform());
      if (i > 0) out += ' ';
      out += word(last);
    }
  }
  out += concat("\t", 100 + rng.below(1500), "\t", 100 + rng.below(1100), "\n");
}

void make_rows(const std::string& path, std::int64_t rows) {
  std::FILE* file = std::fopen(path.c_str(), "wb");
  FOVEA_CHECK(file != nullptr, "[bench] cannot write ", path);
  std::fputs("image\tcaption\twidth\theight\n", file);
  constexpr std::int64_t block = 20'000, group = 16;
  std::vector<std::string> texts(group);
  for (std::int64_t first = 0; first < rows; first += block * group) {
    parallel_for(group, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        std::string& text = texts[static_cast<std::size_t>(i)];
        text.clear();
        const std::int64_t from = first + i * block;
        for (std::int64_t row = from; row < std::min(from + block, rows); ++row)
          append_row(static_cast<std::uint64_t>(row), text);
      }
    });
    for (const std::string& text : texts) std::fwrite(text.data(), 1, text.size(), file);
  }
  std::fclose(file);
}

std::int64_t peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss / 1024;
}

// Decoding and hashing the same files again and again, in memory.
void time_pictures(const char* what, const std::vector<std::string>& files) {
  const auto count = std::ssize(files);
  std::int64_t done = 0;
  const double seconds = seconds_of([&] {
    const auto begin = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - begin < std::chrono::seconds(2)) {
      parallel_for(count, 8, [&](std::int64_t first, std::int64_t last) {
        for (std::int64_t i = first; i < last; ++i) {
          const std::string& bytes = files[static_cast<std::size_t>(i)];
          image::perceptual_hash(
              image::decode({reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size()}, what));
        }
      });
      done += count;
    }
  });
  std::printf("%s: %.0f pictures/s decoded and hashed\n", what, static_cast<double>(done) / seconds);
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Speed of curation.");
  std::int64_t rows = 10'000'000, memory = 1024, repeat = 1;
  std::string folder = "/tmp/bench_curate", pictures = "data/emoji_clipart/images/noto";
  data::CurateOptions options;
  int threads = 2;
  bool queries = false;
  app.add_option("--rows", rows)->capture_default_str();
  app.add_option("--folder", folder, "where the list is made, once, and curated")->capture_default_str();
  app.add_option("--threads", threads)->capture_default_str();
  app.add_option("--memory-mb", memory)->capture_default_str();
  app.add_option("--top-ngrams", options.top_ngrams)->capture_default_str();
  app.add_option("--repeat", repeat, "runs")->capture_default_str();
  app.add_flag("--queries", queries, "make a list of queries, and balance by it");
  app.add_option("--pictures", pictures, "PNG files to decode and hash; '' for none")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  set_num_threads(threads);
  fs::create_directories(folder);
  const std::string list = concat(folder, "/rows-", rows, ".tsv");
  if (!fs::exists(list)) make_rows(list, rows);
  std::printf("%lld rows, %.0f MB, %d threads, --memory %lld MB\n", static_cast<long long>(rows),
              static_cast<double>(fs::file_size(list)) / 1e6, threads, static_cast<long long>(memory));
  const auto report_rate = [&](const char* what, double seconds) {
    std::printf("%s: %.1f s, %.0f rows/s, peak %lld MB\n", what, seconds, static_cast<double>(rows) / seconds,
                static_cast<long long>(peak_megabytes()));
  };
  options.inputs = {list};
  options.output = folder + "/kept.tsv";
  options.memory = memory << 20;
  if (queries) {
    data::QueryListOptions wanted;
    wanted.inputs = options.inputs;
    wanted.output = options.queries = folder + "/queries.txt";
    wanted.memory = options.memory;
    data::QueryListReport made;
    const double seconds = seconds_of([&] { made = data::build_query_list(wanted); });
    report_rate("query list", seconds);
    std::printf("  %lld words, %lld bigrams\n", static_cast<long long>(made.words),
                static_cast<long long>(made.bigrams));
  }
  for (std::int64_t run = 0; run < repeat; ++run) {
    data::CurateReport report;
    const double seconds = seconds_of([&] { report = data::curate(options); });
    report_rate("curate", seconds);
    if (run > 0) continue;
    for (const data::FilterReport& filter : report.filters)
      std::printf("  %-15s %12lld\n", filter.name.c_str(), static_cast<long long>(filter.dropped));
    std::printf("  kept %lld; %lld distinct n-grams\n", static_cast<long long>(report.kept),
                static_cast<long long>(report.distinct_ngrams));
  }
  if (pictures.empty()) return 0;
  std::vector<std::string> small, large;
  for (const std::string& name : data::list_pictures(pictures)) {
    small.push_back(image::read_picture_file(pictures + "/" + name));
    if (large.size() < 32) {
      const image::Image picture = image::read_image(pictures + "/" + name);
      large.push_back(image::encode_jpeg(image::resize(picture, 640, 480, image::Interpolation::bicubic)));
    }
  }
  time_pictures("PNG, as shipped", small);
  time_pictures("JPEG, 640x480", large);
} catch (const std::exception& error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
