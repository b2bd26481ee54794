#include "fovea/data/shard_reader.h"

#include <algorithm>

#include "fovea/core/error.h"

namespace fovea::data {
namespace {

constexpr std::size_t nowhere = std::string_view::npos;

bool has(const ShardSample& sample, const std::string& suffix) {
  return std::any_of(sample.members.begin(), sample.members.end(),
                     [&](const ShardMember& member) { return member.suffix == suffix; });
}

}  // namespace

const ShardMember* ShardSample::find(const std::vector<std::string>& suffixes) const {
  for (const std::string& suffix : suffixes) {
    for (const ShardMember& member : members) {
      if (member.suffix == suffix) return &member;
    }
  }
  return nullptr;
}

// What webdataset's expressions match: "__meta__" and what lies below it is left out, and of all other names
// "^((?:.*/|)[^.]+)[.]([^/]*)$" is taken, which may also split a hidden file behind its folder's name.
std::optional<MemberName> parse_member_name(std::string_view name) {
  const std::string_view first = name.substr(0, name.find('/'));
  if (first.size() >= 4 && first.starts_with("__") && first.ends_with("__")) return std::nullopt;
  const std::size_t slash = name.rfind('/');
  const std::size_t begin = slash == nowhere ? 0 : slash + 1;
  const std::size_t dot = name.find('.', begin);
  if (dot == nowhere) return std::nullopt;
  if (dot == begin) {
    if (slash == nowhere) return std::nullopt;
    const std::size_t before = slash == 0 ? nowhere : name.rfind('/', slash - 1);
    const std::size_t folder = before == nowhere ? 0 : before + 1;
    if (name.substr(folder, slash - folder).find('.') != nowhere) return std::nullopt;
  }
  MemberName parts{std::string(name.substr(0, dot)), std::string(name.substr(dot + 1))};
  for (char& c : parts.suffix) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return parts;
}

std::optional<ShardSample> ShardReader::next(bool contents) {
  if (!damage_.empty()) fail(damage_);
  ShardSample sample;
  try {
    gather(sample, contents);
  } catch (const Error& error) {
    if (sample.members.empty()) throw;
    damage_ = error.what();  // for the next call: this sample may have all that it needs
  }
  if (sample.members.empty()) return std::nullopt;
  return sample;
}

void ShardReader::gather(ShardSample& sample, bool contents) {
  while (at_member_ || tar_.next()) {
    const std::optional<MemberName> parts = parse_member_name(tar_.name());
    at_member_ = false;
    if (!parts) continue;
    const bool is_of_the_next = !sample.members.empty() && (parts->key != sample.key || has(sample, parts->suffix));
    if (is_of_the_next) return void(at_member_ = true);
    sample.key = parts->key;
    ShardMember member{parts->suffix, tar_.name(), tar_.offset(), tar_.bytes(), ""};
    const bool is_wanted = std::find(read_.begin(), read_.end(), parts->suffix) != read_.end();
    if (contents && is_wanted) member.contents = tar_.read();
    sample.members.push_back(std::move(member));
  }
}

}  // namespace fovea::data
