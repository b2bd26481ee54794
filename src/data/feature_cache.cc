#include "fovea/data/feature_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <map>
#include <mutex>
#include <system_error>
#include <vector>

#include "fovea/core/error.h"

namespace fovea::data {
namespace {

constexpr char magic[8] = {'f', 'o', 'v', 'e', 'a', 'f', 'c', '1'};

struct Header {
  char format[8];
  std::int64_t width;
  Hash128 encoder;
};

// Before each row's numbers.
struct RowHead {
  Hash128 key;
  std::uint64_t checksum;  // of key and numbers
};

std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  if ((bits & 0x7FFFFFFF) > 0x7F800000) return static_cast<std::uint16_t>((bits >> 16) | 0x40);  // NaN stays one
  return static_cast<std::uint16_t>((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}

float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

std::uint64_t checksum(const Hash128& key, const void* numbers, std::size_t bytes) {
  const Hash128 hash = hash128(numbers, bytes);
  const Hash128 both[2] = {key, hash};
  return hash128(both, sizeof both).low;
}

std::string file_name(const std::string& folder, const Hash128& encoder) {
  char name[40];
  std::snprintf(name, sizeof name, "/%016llx%016llx", static_cast<unsigned long long>(encoder.high),
                static_cast<unsigned long long>(encoder.low));
  return folder + name + ".features";
}

// Holds the file's lock, which keeps other processes from writing.
class FileLock {
 public:
  explicit FileLock(int descriptor) : descriptor_(descriptor) { ::flock(descriptor_, LOCK_EX); }
  ~FileLock() { ::flock(descriptor_, LOCK_UN); }
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace

struct FeatureCache::Impl {
  std::string path;
  std::int64_t width;
  std::size_t row_bytes;
  int descriptor = -1;
  mutable std::mutex mutex;  // guards what follows
  std::map<Hash128, std::size_t> offsets;
  char* memory = nullptr;  // the file, mapped
  std::size_t mapped = 0;

  Impl(std::string file, std::int64_t row_width)
      : path(std::move(file)),
        width(row_width),
        row_bytes((sizeof(RowHead) + 2 * static_cast<std::size_t>(row_width) + 7) / 8 * 8) {}
  ~Impl() {
    unmap();
    if (descriptor >= 0) ::close(descriptor);
  }

  [[noreturn]] void fail_with(const char* what) const {
    fail("[feature_cache] cannot ", what, " ", path, ": ", std::generic_category().message(errno));
  }

  std::size_t file_bytes() const {
    struct stat info {};
    if (::fstat(descriptor, &info) != 0) fail_with("look at");
    return static_cast<std::size_t>(info.st_size);
  }

  void write_all(const void* data, std::size_t bytes, std::size_t offset) const {
    const auto* at = static_cast<const char*>(data);
    while (bytes > 0) {
      const ssize_t written = ::pwrite(descriptor, at, bytes, static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written <= 0) fail_with("write");
      at += written;
      offset += static_cast<std::size_t>(written);
      bytes -= static_cast<std::size_t>(written);
    }
  }

  void unmap() {
    if (memory) ::munmap(memory, mapped);
    memory = nullptr;
  }

  void map(std::size_t bytes) {
    unmap();
    void* block = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, descriptor, 0);
    if (block == MAP_FAILED) fail_with("map");
    memory = static_cast<char*>(block);
    mapped = bytes;
  }

  // The end of the last whole row: what a crash left behind it is written over.
  std::size_t end_of_rows(std::size_t bytes) const {
    return sizeof(Header) + (bytes - sizeof(Header)) / row_bytes * row_bytes;
  }

  void open(const Header& expected) {
    descriptor = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (descriptor < 0) fail_with("open");
    const FileLock lock(descriptor);
    if (file_bytes() < sizeof(Header)) write_all(&expected, sizeof expected, 0);
    map(file_bytes());
    FOVEA_CHECK(std::memcmp(memory, &expected, sizeof expected) == 0, "[feature_cache] ", path,
                " does not hold such features, expected rows of ", width, " numbers\nhint: delete the file");
    const std::size_t end = end_of_rows(mapped);
    for (std::size_t offset = sizeof(Header); offset < end; offset += row_bytes) {
      const auto [head, numbers] = row(offset);
      if (head.checksum == checksum(head.key, numbers, number_bytes())) offsets.emplace(head.key, offset);
    }
  }

  struct Row {
    RowHead head;
    const char* numbers;
  };
  Row row(std::size_t offset) const {
    Row result{{}, memory + offset + sizeof(RowHead)};
    std::memcpy(&result.head, memory + offset, sizeof result.head);
    return result;
  }
  std::size_t number_bytes() const { return 2 * static_cast<std::size_t>(width); }
};

FeatureCache::FeatureCache(const std::string& folder, const Hash128& encoder, std::int64_t width)
    : impl_(std::make_unique<Impl>(file_name(folder, encoder), width)) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  FOVEA_CHECK(!error, "[feature_cache] cannot make the folder ", folder, ": ", error.message());
  Header header{{}, width, encoder};
  std::memcpy(header.format, magic, sizeof magic);
  impl_->open(header);
}

FeatureCache::~FeatureCache() = default;

std::int64_t FeatureCache::width() const { return impl_->width; }

std::int64_t FeatureCache::size() const {
  const std::lock_guard lock(impl_->mutex);
  return static_cast<std::int64_t>(impl_->offsets.size());
}

bool FeatureCache::find(const Hash128& key, float* features) const {
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->offsets.find(key);
  if (found == impl_->offsets.end()) return false;
  const char* numbers = impl_->row(found->second).numbers;
  for (std::int64_t i = 0; i < impl_->width; ++i) {
    std::uint16_t bits;
    std::memcpy(&bits, numbers + 2 * i, sizeof bits);
    features[i] = from_bf16(bits);
  }
  return true;
}

void FeatureCache::add(std::span<const Hash128> keys, float* features) {
  const std::lock_guard lock(impl_->mutex);
  std::vector<char> rows;
  std::vector<Hash128> fresh;
  std::vector<std::uint16_t> numbers(static_cast<std::size_t>(impl_->width));
  for (const Hash128& key : keys) {
    for (std::uint16_t& number : numbers) {
      number = to_bf16(*features);
      *features++ = from_bf16(number);
    }
    if (impl_->offsets.contains(key)) continue;
    const RowHead head{key, checksum(key, numbers.data(), impl_->number_bytes())};
    rows.resize(rows.size() + impl_->row_bytes);
    char* to = rows.data() + rows.size() - impl_->row_bytes;
    std::memcpy(to, &head, sizeof head);
    std::memcpy(to + sizeof head, numbers.data(), impl_->number_bytes());
    fresh.push_back(key);
  }
  if (fresh.empty()) return;
  const FileLock file_lock(impl_->descriptor);
  std::size_t offset = impl_->end_of_rows(impl_->file_bytes());
  impl_->write_all(rows.data(), rows.size(), offset);
  impl_->map(offset + rows.size());
  for (const Hash128& key : fresh) {
    impl_->offsets.emplace(key, offset);
    offset += impl_->row_bytes;
  }
}

}  // namespace fovea::data
