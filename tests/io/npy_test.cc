// NumPy's files, round trips, and headers that lie.
#include "fovea/io/npy.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::io {
namespace {

using tests::error_of;

constexpr float infinity = std::numeric_limits<float>::infinity();

std::string golden(const std::string& name) { return FOVEA_SOURCE_DIR "/tests/golden/npy/" + name + ".npy"; }

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" lacks \"" << part << "\"";
}

void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(count_different_bits(a, b), 0);
}

// A version 1 file with this header and data.
std::string header_error(const std::string& header, const std::string& data = "") {
  std::string file("\x93NUMPY\1\0", 8);
  const auto length = static_cast<std::uint16_t>(header.size());
  file.append(reinterpret_cast<const char*>(&length), 2);
  return error_of([&] { parse_npy(file + header + data, "x.npy"); });
}

TEST(Npy, ReadsNumPysFiles) {
  expect_same(load_npy(golden("f4")), from_values<float>({2, 3}, {1.5f, -2.25f, 0.1f, 1e-40f, 3e38f, infinity}));
  expect_same(load_npy(golden("f8")), from_values<double>({2}, {0.1, -1e300}));
  expect_same(load_npy(golden("f2")),
              from_values<float>({6}, {0.0f, -0.0f, 0x1p-24f, 1365.0f / 4096, 65504.0f, -infinity}));
  expect_same(load_npy(golden("i4")), from_values<std::int32_t>({2}, {INT32_MIN, INT32_MAX}));
  expect_same(load_npy(golden("i8")), from_values<std::int64_t>({2, 1}, {INT64_MIN, INT64_MAX}));
  expect_same(load_npy(golden("u1")), from_values<std::uint8_t>({3}, {0, 7, 255}));
  expect_same(load_npy(golden("b1")), from_values<std::uint8_t>({3}, {1, 0, 1}));
  expect_same(load_npy(golden("scalar")), scalar(4.25));
  expect_same(load_npy(golden("empty")), Tensor({0, 3}));
  const Tensor cube = arange(24, DType::f32).reshape({2, 3, 4});
  for (const char* name : {"fortran", "version2", "version3"}) expect_same(load_npy(golden(name)), cube);
}

// The bytes that numpy.save writes for the same arrays.
TEST(Npy, WritesWhatNumPyWrites) {
  const tests::TempFolder folder;
  for (const char* name : {"f4", "f8", "i4", "i8", "u1", "scalar", "empty"}) {
    save_npy(folder / "x.npy", load_npy(golden(name)));
    EXPECT_EQ(read_file(folder / "x.npy"), read_file(golden(name))) << name;
  }
  save_npy(folder / "x.npy", scalar(1));
  EXPECT_THROW(save_npy(folder / "x.npy", Tensor()), Error);
  expect_contains(error_of([&] { save_npy(folder / "x.npy", scalar(1, DType::bf16)); }), "is bf16, which NumPy lacks");
  expect_same(load_npy(folder / "x.npy"), scalar(1));  // the older file is untouched
}

TEST(Npy, RefusesWhatItDoesNotRead) {
  expect_contains(error_of([] { load_npy(golden("big_endian")); }), "element type >f4, expected one of <f4, <f8");
  expect_contains(error_of([] { load_npy(golden("records")); }), "an array of records");
  expect_contains(error_of([] { load_npy(golden("missing")); }), "missing.npy: No such file");
  expect_contains(error_of([] { parse_npy("\x93NUMP", "x.npy"); }), "[npy] x.npy does not begin with NumPy's mark");
  expect_contains(error_of([] { parse_npy(std::string("\x93NUMPY\4\0", 8)); }), "format version 4 at byte 6");
  expect_contains(error_of([] { parse_npy(std::string("\x93NUMPY\2\0\xff\xff\xff\xff", 12)); }),
                  "has 4294967295 bytes");
}

TEST(Npy, RefusesBadHeaders) {
  const std::string good = "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)}";
  EXPECT_EQ(header_error(good, "data"), "");
  EXPECT_EQ(header_error("{\"shape\":(1),\"fortran_order\":True,\"descr\":\"<f4\",}  \n", "data"), "");
  expect_contains(header_error(good, "dat"), "3 bytes from byte 65 on, elements <f4 of shape (1,) need 4");
  expect_contains(header_error(good, "data!"), "5 bytes from byte 65 on");
  expect_contains(header_error(""), "the header at byte 10: expected {");
  expect_contains(header_error(good + "x", "data"), "text after the dict");
  expect_contains(header_error("{'descr': '<f4', 'shape': ()}"), "is missing");
  expect_contains(header_error("{'descr': '<f4', 'descr': '<f4'}"), "a key descr that is not one of");
  expect_contains(header_error("{'other': 1}"), "a key other that is not one of");
  expect_contains(header_error("{'descr"), "without a closing quote");
  expect_contains(header_error("{'fortran_order': 1}"), "expected True or False");
  const auto shape_error = [](const std::string& shape) {
    return header_error("{'descr': '<f8', 'fortran_order': False, 'shape': " + shape + "}", "data");
  };
  expect_contains(shape_error("(-1,)"), "expected a whole number");
  expect_contains(shape_error("3"), "expected (");
  expect_contains(shape_error("(1"), "expected )");
  expect_contains(shape_error("(1,1,1,1,1,1,1,1,1)"), "more than 8 axes");
  expect_contains(shape_error("(99999999999999999999,)"), "an extent that overflows");
  expect_contains(shape_error("(4611686018427387904,)"), "need more than can be counted");
}

TEST(Npy, EveryTruncationIsAnError) {
  const std::string whole = read_file(golden("fortran"));
  for (std::size_t length = 0; length < whole.size(); ++length)
    EXPECT_NE(error_of([&] { parse_npy(std::string_view(whole).substr(0, length)); }), "") << length;
}

}  // namespace
}  // namespace fovea::io
