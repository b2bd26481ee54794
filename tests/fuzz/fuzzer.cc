// libFuzzer's entry, compiled once per target: FOVEA_FUZZ_TARGET names the function.
#include <cstddef>
#include <cstdint>

#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  fovea::fuzz::FOVEA_FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
  return 0;
}
