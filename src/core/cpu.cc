#include "fovea/core/cpu.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <thread>

#include "fovea/core/error.h"
#include "hwy/targets.h"

namespace fovea::cpu {
namespace {

struct Target {
  Isa isa;
  std::int64_t mask;
};

// Weakest first. HWY_SCALAR and HWY_EMU128 are the two names of the portable target.
constexpr Target targets[] = {
    {Isa::scalar, HWY_SCALAR | HWY_EMU128},
    {Isa::neon, HWY_NEON},
    {Isa::ssse3, HWY_SSSE3},
    {Isa::sse4, HWY_SSE4},
    {Isa::avx2, HWY_AVX2},
    {Isa::avx512, HWY_AVX3},
};

std::int64_t compiled_targets() { return HWY_TARGETS; }

// What the processor has, before any cap.
std::int64_t processor_targets() {
  static const std::int64_t mask = [] {
    hwy::SetSupportedTargetsForTest(0);
    return static_cast<std::int64_t>(hwy::SupportedTargets()) | HWY_SCALAR | HWY_EMU128;
  }();
  return mask & compiled_targets();
}

void apply(Isa cap) {
  std::int64_t mask = 0;
  for (const Target& target : targets) {
    if (target.isa <= cap || target.isa == Isa::scalar) mask |= target.mask & processor_targets();
  }
  hwy::SetSupportedTargetsForTest(mask);
  hwy::GetChosenTarget().Update(mask);
}

Isa isa_named(std::string_view name, const char* what) {
  for (const Target& target : targets) {
    if (to_string(target.isa) == name) return target.isa;
  }
  fail("[cpu] ", what, " \"", name, "\", expected scalar, ssse3, sse4, avx2, avx512 or neon");
}

struct Selection {
  Isa cap = Isa::neon;  // the last enumerator: no cap
  Selection() {
    if (const char* name = std::getenv("FOVEA_MAX_ISA")) cap = isa_named(name, "FOVEA_MAX_ISA is");
    apply(cap);
  }
};

Selection& selection() {
  static Selection instance;
  return instance;
}

// Runs before any kernel call, so that the environment's cap holds from the first one. (In a static library that takes
// a caller of this file: parallel_for is one.)
[[maybe_unused]] const bool applied_at_start = [] {
  if (std::getenv("FOVEA_MAX_ISA") == nullptr) return true;
  try {
    selection();
  } catch (const Error&) {  // an unknown name is reported by the first computation
  }
  return true;
}();

std::int64_t cache_bytes(int name, std::int64_t fallback) {
  const long value = ::sysconf(name);
  return value > 0 ? value : fallback;
}

}  // namespace

std::string to_string(Isa isa) {
  switch (isa) {
    case Isa::scalar: return "scalar";
    case Isa::ssse3: return "ssse3";
    case Isa::sse4: return "sse4";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::neon: return "neon";
  }
  return "?";
}

Isa parse_isa(std::string_view name) { return isa_named(name, "unknown instruction set"); }

std::vector<Isa> available_isas() {
  std::vector<Isa> isas;
  for (const Target& target : targets) {
    if (target.mask & processor_targets()) isas.push_back(target.isa);
  }
  return isas;
}

Isa active_isa() {
  const Isa cap = selection().cap;
  Isa active = Isa::scalar;
  for (Isa isa : available_isas()) {
    if (isa <= cap) active = isa;
  }
  return active;
}

void set_max_isa(Isa isa) {
  selection().cap = isa;
  apply(isa);
}

int processors() {
  selection();
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

CacheSizes cache_sizes() {
  static const CacheSizes sizes = [] {
    const CacheSizes usual;
    return CacheSizes{cache_bytes(_SC_LEVEL1_DCACHE_SIZE, usual.l1d), cache_bytes(_SC_LEVEL2_CACHE_SIZE, usual.l2),
                      cache_bytes(_SC_LEVEL3_CACHE_SIZE, usual.l3)};
  }();
  return sizes;
}

}  // namespace fovea::cpu
