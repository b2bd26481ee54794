// Sorting more records than memory holds: sorted runs on disk, merged with equal records combined. Private to the
// sources.
//
// A Record is trivially copyable and has
//   operator<                       the order of runs
//   bool same(const Record&)        equal in what is sorted by: the two become one
//   void absorb(const Record&)      how they do
//   std::uint64_t position() const  never falls from one record to the next; where it is spread evenly over all 64-bit
//                                   numbers, ranges of it are merged in parallel
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fovea/core/error.h"
#include "fovea/core/parallel.h"
#include "io/input.h"

namespace fovea::data::detail {

// A file that is written from its beginning, without the promise of AtomicFile: what a run of the program left half
// finished, the next one writes again.
class OutputFile {
 public:
  // `keep` bytes of an existing file stay, and writing goes on behind them.
  explicit OutputFile(std::string path, std::int64_t keep = 0) : path_(std::move(path)) {
    descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | (keep == 0 ? O_TRUNC : 0) | O_CLOEXEC, 0666);
    check(descriptor_ >= 0);
    check(::ftruncate(descriptor_, keep) == 0 && ::lseek(descriptor_, keep, SEEK_SET) == keep);
  }
  ~OutputFile() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;

  void write(const void* data, std::size_t bytes) {
    for (const char* next = static_cast<const char*>(data); bytes > 0;) {
      const ssize_t count = ::write(descriptor_, next, bytes);
      if (count < 0 && errno == EINTR) continue;
      check(count >= 0);
      next += count;
      bytes -= static_cast<std::size_t>(count);
    }
  }
  template <class T>
  void write(std::span<const T> values) {
    write(values.data(), values.size_bytes());
  }
  // Throws what closing reports; the destructor could not.
  void close() { check(::close(std::exchange(descriptor_, -1)) == 0); }

 private:
  void check(bool good) const { FOVEA_CHECK(good, "[file] cannot write ", path_, ": ", std::strerror(errno)); }

  std::string path_;
  int descriptor_ = -1;
};

// The records of a file, one after another, through a buffer.
template <class Record>
class RecordReader {
 public:
  RecordReader(const io::detail::Input& file, std::int64_t begin, std::int64_t end, std::int64_t buffered)
      : file_(&file), next_(begin), end_(end), buffered_(std::max<std::int64_t>(buffered, 1)) {
    fill();
  }
  bool done() const { return at_ == buffer_.size(); }
  const Record& operator*() const { return buffer_[at_]; }
  void advance() {
    if (++at_ == buffer_.size()) fill();
  }

 private:
  void fill() {
    const std::int64_t count = std::min(buffered_, end_ - next_);
    buffer_.resize(static_cast<std::size_t>(count));
    constexpr auto size = static_cast<std::int64_t>(sizeof(Record));
    file_->read(next_ * size, buffer_.data(), count * size);
    next_ += count;
    at_ = 0;
  }

  const io::detail::Input* file_;
  std::int64_t next_, end_, buffered_;
  std::vector<Record> buffer_;
  std::size_t at_ = 0;
};

template <class Record>
std::int64_t record_count(const io::detail::Input& file) {
  return file.size() / static_cast<std::int64_t>(sizeof(Record));
}

// The runs of one sort, in files PREFIX.run-0, PREFIX.run-1, ... Runs may be added by several threads.
template <class Record>
class SortedRuns {
 public:
  // `kept` are runs that keep() gave up earlier.
  SortedRuns(std::string prefix, std::int64_t memory, const std::vector<std::string>& kept = {})
      : prefix_(std::move(prefix)), memory_(memory), next_name_(static_cast<std::int64_t>(kept.size())) {
    for (const std::string& path : kept) runs_.push_back({path, false});
  }
  ~SortedRuns() {
    for (const Run& run : runs_) {
      if (run.is_own) ::unlink(run.path.c_str());
    }
  }
  SortedRuns(const SortedRuns&) = delete;
  SortedRuns& operator=(const SortedRuns&) = delete;

  // Records in order.
  void add_run(std::span<const Record> records) {
    if (records.empty()) return;
    const std::string path = new_name();
    OutputFile file(path);
    file.write(records);
    file.close();
    add(path);
  }

  // Leaves the files to the caller, and says which.
  std::vector<std::string> keep() {
    std::vector<std::string> paths;
    for (Run& run : runs_) {
      run.is_own = false;
      paths.push_back(run.path);
    }
    return paths;
  }

  // Calls sink(part, record) for every record in order, equal ones combined. Parts are ranges of positions, which
  // follow one another; several are merged at the same time, each on one thread.
  template <class Sink>
  void merge(int parts, Sink&& sink) {
    reduce();
    const auto files = open(runs_);
    parallel_for(parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t part = begin; part < end; ++part) {
        std::vector<RecordReader<Record>> readers;
        for (const auto& file : files) {
          const std::int64_t first = lower_bound(*file, part, parts), last = lower_bound(*file, part + 1, parts);
          if (first < last) readers.emplace_back(*file, first, last, buffered(files.size(), num_threads()));
        }
        merge_readers(std::move(readers), [&](const Record& record) { sink(static_cast<int>(part), record); });
      }
    });
  }

  // All records, as one file.
  void merge_to(const std::string& path) {
    OutputFile file(path);
    std::vector<Record> block;
    const auto flush = [&] {
      file.write(std::span<const Record>(block));
      block.clear();
    };
    merge(1, [&](int, const Record& record) {
      block.push_back(record);
      if (block.size() * sizeof(Record) >= smallest_buffer) flush();
    });
    flush();
    file.close();
  }

 private:
  static constexpr std::size_t smallest_buffer = 1 << 14, most_files = 200;

  using Files = std::vector<std::unique_ptr<io::detail::Input>>;
  struct Run {
    std::string path;
    bool is_own;  // gone with this object
  };

  std::string new_name() {
    const std::lock_guard lock(mutex_);
    return concat(prefix_, ".run-", next_name_++);
  }
  void add(const std::string& path) {
    const std::lock_guard lock(mutex_);
    runs_.push_back({path, true});
  }

  static Files open(std::span<const Run> runs) {
    Files files;
    for (const Run& run : runs) files.push_back(std::make_unique<io::detail::Input>("curate", run.path));
    return files;
  }

  // Records that each of so many readers may hold, on so many threads.
  std::int64_t buffered(std::size_t readers, int threads) const {
    const std::int64_t bytes = memory_ / static_cast<std::int64_t>(readers * static_cast<std::size_t>(threads));
    return std::max<std::int64_t>(bytes, smallest_buffer / 2) / static_cast<std::int64_t>(sizeof(Record));
  }

  // Merges runs into longer ones until there are not more than can be read at the same time.
  void reduce() {
    const std::size_t per_thread = static_cast<std::size_t>(memory_ / num_threads()) / smallest_buffer;
    const std::size_t fan_in = std::clamp<std::size_t>(per_thread, 2, most_files);
    while (runs_.size() > fan_in) {
      SortedRuns part(concat(prefix_, ".", next_name_++), memory_);
      const auto end = runs_.begin() + static_cast<std::ptrdiff_t>(fan_in);
      part.runs_.assign(runs_.begin(), end);
      const std::string path = new_name();
      part.merge_to(path);
      runs_.erase(runs_.begin(), end);
      add(path);
    }
  }

  // The first record of a part.
  static std::int64_t lower_bound(const io::detail::Input& file, std::int64_t part, std::int64_t parts) {
    std::int64_t low = 0, high = record_count<Record>(file);
    if (part == 0) return low;
    if (part == parts) return high;
    const auto begin = static_cast<std::uint64_t>((static_cast<unsigned __int128>(part) << 64) /
                                                  static_cast<unsigned __int128>(parts));
    while (low < high) {
      const std::int64_t middle = low + (high - low) / 2;
      Record record;
      file.read(middle * static_cast<std::int64_t>(sizeof record), &record, sizeof record);
      if (record.position() < begin) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

  template <class Sink>
  static void merge_readers(std::vector<RecordReader<Record>> readers, Sink&& sink) {
    if (readers.empty()) return;
    const auto later = [](const auto& a, const auto& b) { return *b < *a; };
    std::make_heap(readers.begin(), readers.end(), later);
    Record current = *readers.front();
    bool first = true;
    while (!readers.empty()) {
      const Record& next = *readers.front();
      if (first) {
        first = false;
      } else if (current.same(next)) {
        current.absorb(next);
      } else {
        sink(current);
        current = next;
      }
      readers.front().advance();
      if (readers.front().done()) {
        std::swap(readers.front(), readers.back());
        readers.pop_back();
      }
      sift_down(readers);
    }
    sink(current);
  }

  // Moves the front to its place in the heap.
  static void sift_down(std::vector<RecordReader<Record>>& heap) {
    std::size_t at = 0;
    while (true) {
      std::size_t child = 2 * at + 1;
      if (child >= heap.size()) return;
      if (child + 1 < heap.size() && *heap[child + 1] < *heap[child]) ++child;
      if (!(*heap[child] < *heap[at])) return;
      std::swap(heap[at], heap[child]);
      at = child;
    }
  }

  std::string prefix_;
  std::int64_t memory_;
  std::mutex mutex_;
  std::int64_t next_name_ = 0;
  std::vector<Run> runs_;
};

// Gathers records, and makes sorted runs of them whenever its share of memory is full. Of one thread.
template <class Record>
class RunWriter {
 public:
  RunWriter(SortedRuns<Record>& runs, std::int64_t memory)
      : runs_(&runs), capacity_(std::max<std::size_t>(static_cast<std::size_t>(memory) / sizeof(Record), 1)) {}

  void add(const Record& record) {
    records_.push_back(record);
    if (records_.size() < capacity_) {
      // Growing by doubling would end at up to twice the share.
      if (records_.size() == records_.capacity()) records_.reserve(std::min(2 * records_.size(), capacity_));
    } else {
      flush();
    }
  }
  void flush() {
    std::sort(records_.begin(), records_.end());
    std::size_t kept = 0;
    for (std::size_t i = 0; i < records_.size(); ++i) {
      if (kept > 0 && records_[kept - 1].same(records_[i])) {
        records_[kept - 1].absorb(records_[i]);
      } else {
        records_[kept++] = records_[i];
      }
    }
    records_.resize(kept);
    runs_->add_run(records_);
    records_.clear();
  }

 private:
  SortedRuns<Record>* runs_;
  std::size_t capacity_;
  std::vector<Record> records_;
};

// One object for each thread that works at the same time.
template <class T>
class PerThread {
 public:
  // Makes one with make() when all are taken.
  template <class Make>
  std::unique_ptr<T> take(Make&& make) {
    {
      const std::lock_guard lock(mutex_);
      if (!free_.empty()) {
        std::unique_ptr<T> taken = std::move(free_.back());
        free_.pop_back();
        return taken;
      }
    }
    return make();
  }
  void give_back(std::unique_ptr<T> object) {
    const std::lock_guard lock(mutex_);
    free_.push_back(std::move(object));
  }
  std::vector<std::unique_ptr<T>>& all() { return free_; }  // when nobody works

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<T>> free_;
};

}  // namespace fovea::data::detail
