// Files of the reference implementation, round trips, and every field of a file corrupted.
#include "fovea/io/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "../support/temp_folder.h"
#include "fovea/io/file.h"
#include "fovea/tensor/factory.h"
#include "fovea/tensor/reduce.h"

namespace fovea::io {
namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

class Safetensors : public ::testing::Test {
 protected:
  std::string path(const std::string& name) const { return folder_ / name; }

  // A file with this header and data.
  std::string file_with(const std::string& header, const std::string& data) const {
    const std::uint64_t length = header.size();
    const std::string contents = std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
    write_file(path("made.safetensors"), contents);
    return path("made.safetensors");
  }

  // The error that loading it gives; empty when there is none.
  std::string error_of(const std::string& file) const {
    try {
      load_safetensors(file);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::string error_of(const std::string& header, const std::string& data) const {
    return error_of(file_with(header, data));
  }

 private:
  const tests::TempFolder folder_;
};

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "\"" << text << "\" lacks \"" << part << "\"";
}

void expect_same(const Tensor& a, const Tensor& b) {
  ASSERT_EQ(a.dtype(), b.dtype());
  ASSERT_EQ(a.shape(), b.shape());
  EXPECT_EQ(count_different_bits(a, b), 0);
}

TEST_F(Safetensors, ReadsTheReferenceImplementationsFile) {
  const std::string golden = FOVEA_SOURCE_DIR "/tests/golden/types.safetensors";
  const TensorMap tensors = load_safetensors(golden);
  ASSERT_EQ(tensors.size(), 10u);
  expect_same(tensors.at("f32"), from_values<float>({2, 3}, {1.5f, -2.25f, 0.1f, 1e-40f, 3e38f, infinity}));
  expect_same(tensors.at("f64"), from_values<double>({2}, {0.1, -1e300}));
  expect_same(tensors.at("bf16"), from_values<bfloat16>({2}, {bfloat16(1.0f), bfloat16(-3.140625f)}));
  expect_same(tensors.at("i32"), from_values<std::int32_t>({2}, {INT32_MIN, INT32_MAX}));
  expect_same(tensors.at("i64"), from_values<std::int64_t>({2, 1}, {INT64_MIN, INT64_MAX}));
  expect_same(tensors.at("u8"), from_values<std::uint8_t>({3}, {0, 7, 255}));
  expect_same(tensors.at("bool"), from_values<std::uint8_t>({3}, {1, 0, 1}));
  expect_same(tensors.at("scalar"), scalar(4.25));
  EXPECT_EQ(tensors.at("empty").shape(), (Shape{0, 3}));
  EXPECT_EQ(load_safetensors_metadata(golden), (Metadata{{"format", "pt"}, {"größe", "naïve"}}));
}

TEST_F(Safetensors, WidensHalvesExactly) {
  const Tensor half = load_safetensors(FOVEA_SOURCE_DIR "/tests/golden/types.safetensors").at("f16");
  // 1/3 in half precision is 0x3555 = 1365 / 4096.
  const std::vector<float> expected{0.0f,           -0.0f,    0x1p-24f, -0x3FFp-24f, 0x1p-14f,
                                    1365.0f / 4096, 65504.0f, infinity, -infinity};
  ASSERT_EQ(half.dtype(), DType::f32);
  ASSERT_EQ(half.numel(), 10);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_EQ(half.data<float>()[i], expected[i]);
    EXPECT_EQ(std::signbit(half.data<float>()[i]), std::signbit(expected[i]));
  }
  EXPECT_TRUE(std::isnan(half.data<float>()[9]));
}

TEST_F(Safetensors, WhatIsSavedIsLoaded) {
  TensorMap tensors;
  tensors["b.weight"] = random_normal({3, 5}, RngKey{1});
  tensors["a.bias"] = from_values<std::uint8_t>({3}, {1, 2, 3});
  tensors["double \"quoted\" \\ ü"] = random_normal({7}, RngKey{2}, 0, 1, DType::f64);
  tensors["half"] = random_normal({5}, RngKey{3}, 0, 1, DType::bf16);
  tensors["ids"] = arange(4);
  tensors["small_ids"] = arange(4, DType::i32);
  tensors["rows"] = tensors["b.weight"].rows(1, 3);
  tensors["none"] = Tensor({0});
  tensors["one"] = scalar(3);
  save_safetensors(path("x.safetensors"), tensors, {{"step", "12"}});
  const TensorMap loaded = load_safetensors(path("x.safetensors"));
  ASSERT_EQ(loaded.size(), tensors.size());
  for (const auto& [name, tensor] : tensors) expect_same(loaded.at(name), tensor);
  EXPECT_EQ(load_safetensors_metadata(path("x.safetensors")), (Metadata{{"step", "12"}}));
}

// Every half, and what lies between two of them: a quarter of the way back to the first, half the way to the even one.
TEST_F(Safetensors, RoundsToHalvesAsIeeeDoes) {
  std::vector<float> values, expected;
  const auto half = [](int bits) {
    const int exponent = bits >> 10, mantissa = bits & 1023;
    return static_cast<float>(exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, exponent - 25));
  };
  for (int bits = 0; bits + 1 < 31 << 10; ++bits) {
    const float low = half(bits), high = half(bits + 1);
    for (const float sign : {1.0f, -1.0f}) {
      for (const float part : {0.0f, 0.25f, 0.5f, 0.75f}) {
        values.push_back(sign * (low + part * (high - low)));
        expected.push_back(sign * (part < 0.5f || (part == 0.5f && bits % 2 == 0) ? low : high));
      }
    }
  }
  values.insert(values.end(), {65504.0f, 65519.0f, 65520.0f, -1e30f, 1e-30f});
  const float beyond = std::numeric_limits<float>::infinity();
  expected.insert(expected.end(), {65504.0f, 65504.0f, beyond, -beyond, 0.0f});
  const std::string file = path("halves.safetensors");
  const auto count = static_cast<std::int64_t>(values.size());
  save_safetensors(file, {{"n", arange(3)}, {"x", from_values<float>({count}, values)}}, {}, FloatFormat::f16);
  const TensorMap loaded = load_safetensors(file);
  EXPECT_EQ(count_different_bits(loaded.at("x"), from_values<float>({count}, expected)), 0);
  EXPECT_EQ(count_different_bits(loaded.at("n"), arange(3)), 0);
  save_safetensors(file, {{"x", from_values<float>({1}, std::vector<float>{1.00390625f})}}, {}, FloatFormat::bf16);
  EXPECT_EQ(load_safetensors(file).at("x").dtype(), DType::bf16);
  EXPECT_EQ(load_safetensors(file).at("x").at(0), 1.0);  // a tie, to even
}

TEST_F(Safetensors, WritesAlignedDataWithWiderTypesFirst) {
  save_safetensors(path("x.safetensors"),
                   {{"a", from_values<std::uint8_t>({1}, {9})}, {"b", scalar(1)}, {"c", scalar(2)}});
  const std::string contents = read_file(path("x.safetensors"));
  std::uint64_t length = 0;
  std::memcpy(&length, contents.data(), sizeof length);
  EXPECT_EQ(length % 8, 0u);
  const float expected[]{1, 2};
  ASSERT_EQ(contents.size(), 8 + length + 9);
  EXPECT_EQ(std::memcmp(contents.data() + 8 + length, expected, sizeof expected), 0);
  EXPECT_EQ(contents.back(), 9);
}

TEST_F(Safetensors, AnEmptyMapIsAValidFile) {
  save_safetensors(path("x.safetensors"), {});
  EXPECT_TRUE(load_safetensors(path("x.safetensors")).empty());
  EXPECT_TRUE(load_safetensors_metadata(path("x.safetensors")).empty());
}

TEST_F(Safetensors, RefusesToSaveWhatItCouldNotLoad) {
  save_safetensors(path("x.safetensors"), {{"kept", scalar(1)}});
  EXPECT_THROW(save_safetensors(path("x.safetensors"), {{"undefined", Tensor()}}), Error);
  EXPECT_THROW(save_safetensors(path("x.safetensors"), {{"__metadata__", scalar(1)}}), Error);
  EXPECT_THROW(save_safetensors(path("x.safetensors"), {{"\xff", scalar(1)}}), Error);
  EXPECT_THROW(save_safetensors(path("x.safetensors"), {{"a", scalar(1)}}, {{"k", "\xff"}}), Error);
  EXPECT_THROW(save_safetensors(path("no/such/folder.safetensors"), {{"a", scalar(1)}}), Error);
  EXPECT_EQ(load_safetensors(path("x.safetensors")).count("kept"), 1u);  // the older file is untouched
}

TEST_F(Safetensors, NamesTheFileThatIsMissing) {
  expect_contains(error_of(path("missing.safetensors")), "missing.safetensors: No such file");
  EXPECT_NE(error_of(path("")), "");  // a folder
}

TEST_F(Safetensors, RefusesBadLengths) {
  write_file(path("short"), "1234");
  expect_contains(error_of(path("short")), "has 4 bytes, expected at least 8");
  write_file(path("huge"), std::string(8, '\xff') + "{}");
  expect_contains(error_of(path("huge")), "length at byte 0 is 18446744073709551615, expected at most 100000000");
  write_file(path("cut"), std::string("\x09\0\0\0\0\0\0\0", 8) + "{}");
  expect_contains(error_of(path("cut")), "the header at byte 8 has 9 bytes, the file ends after 2");
}

TEST_F(Safetensors, RefusesBadJson) {
  expect_contains(error_of("", ""), "does not begin with {");
  expect_contains(error_of(" {}", ""), "does not begin with {");
  expect_contains(error_of("[]", ""), "does not begin with {");
  expect_contains(error_of("{\"a\":}", ""), "not valid JSON at byte 13");
  expect_contains(error_of("{} x", ""), "not valid JSON at byte 11");
  expect_contains(error_of(std::string("{}\0x", 4), ""), "zero byte in JSON text at byte 10");
  expect_contains(error_of("{\"\xff\":1}", ""), "not valid JSON at byte 10");
  const std::string entry = R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expect_contains(error_of("{" + entry + "," + entry + "}", "x"), "key \"a\" appears twice");
  expect_contains(error_of("{\"a\":" + std::string(100000, '['), ""), "nested deeper than");
  EXPECT_EQ(error_of("{" + entry + "}   ", "x"), "");  // padding is allowed
}

TEST_F(Safetensors, RefusesABadEntryNamingTheTensor) {
  const struct {
    const char *entry, *message;  // entry of tensor "w"; the data has 4 bytes
  } bad[] = {{"3", "is number in the header, expected an object"},
             {R"({"shape":[1],"data_offsets":[0,4]})", "has no \"dtype\""},
             {R"({"dtype":32,"shape":[1],"data_offsets":[0,4]})", "has no \"dtype\""},
             {R"({"dtype":"F4","shape":[1],"data_offsets":[0,4]})", "element type \"F4\", expected one of F32, F64"},
             {R"({"dtype":"F32","data_offsets":[0,4]})", "has no \"shape\""},
             {R"({"dtype":"F32","shape":{},"data_offsets":[0,4]})", "has no \"shape\""},
             {R"({"dtype":"F32","shape":[-1],"data_offsets":[0,4]})", "\"shape\" is -1, expected a whole number"},
             {R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})", "\"shape\" is 1.0, expected a whole number"},
             {R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})", "\"shape\" is \"1\", expected"},
             {R"({"dtype":"F32","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,4]})", "9 axes, expected at most 8"},
             {R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,4]})", "overflows"},
             {R"({"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]})", "expected a whole number"},
             {R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", "has 4 bytes at data byte 0, F32 (2,) needs 8"},
             {R"({"dtype":"F32","shape":[1]})", "has no \"data_offsets\""},
             {R"({"dtype":"F32","shape":[1],"data_offsets":[0]})", "has no \"data_offsets\""},
             {R"({"dtype":"F32","shape":[1],"data_offsets":[4,0]})", "ends at data byte 0, before it begins at 4"},
             {R"({"dtype":"F32","shape":[1],"data_offsets":[0,null]})", "data_offsets[1] is null"},
             {R"({"dtype":"F32","shape":[1],"data_offsets":[-4,0]})", "data_offsets[0] is -4"},
             {R"({"dtype":"F32","shape":[2],"data_offsets":[0,8]})", "needs 8 data bytes, the file has 4"},
             {R"({"dtype":"U8","shape":[9223372036854775807],"data_offsets":[0,9223372036854775807]})",
              "needs 9223372036854775807 data bytes, the file has 4"}};
  for (const auto& [entry, message] : bad) {
    const std::string error = error_of(std::string("{\"w\":") + entry + "}", "data");
    expect_contains(error, "made.safetensors: tensor \"w\"");
    expect_contains(error, message);
  }
}

TEST_F(Safetensors, RefusesHolesOverlapsAndWhatIsLeftOver) {
  const auto header = [](int begin_a, int end_a, int begin_b, int end_b) {
    const auto entry = [](int begin, int end) {
      return concat(R"({"dtype":"U8","shape":[)", end - begin, R"(],"data_offsets":[)", begin, ",", end, "]}");
    };
    return concat("{\"a\":", entry(begin_a, end_a), ",\"b\":", entry(begin_b, end_b), "}");
  };
  EXPECT_EQ(error_of(header(2, 4, 0, 2), "data"), "");  // in any order
  expect_contains(error_of(header(0, 1, 2, 4), "data"), "tensor \"b\" begins at byte");
  expect_contains(error_of(header(0, 1, 2, 4), "data"), "bytes before it belong to none");
  expect_contains(error_of(header(0, 3, 2, 4), "data"), "tensor \"b\" begins at byte");
  expect_contains(error_of(header(0, 3, 2, 4), "data"), "overlaps");
  expect_contains(error_of(header(0, 1, 1, 2), "data"), "2 bytes from byte");
  expect_contains(error_of("{}", "data"), "4 bytes from byte 10 on belong to no tensor");
}

TEST_F(Safetensors, RefusesMetadataThatIsNotText) {
  expect_contains(error_of(R"({"__metadata__":{"a":1}})", ""), "__metadata__.a is number, expected text");
  expect_contains(error_of(R"({"__metadata__":"a"})", ""), "__metadata__ is string, expected an object");
}

TEST_F(Safetensors, EveryTruncationIsAnError) {
  save_safetensors(path("x"), {{"a", arange(3)}, {"b", scalar(1)}}, {{"k", "v"}});
  const std::string contents = read_file(path("x"));
  EXPECT_EQ(parse_safetensors(contents).size(), 2u);
  for (std::size_t length = 0; length < contents.size(); ++length)
    EXPECT_THROW(parse_safetensors(std::string_view(contents).substr(0, length)), Error) << length;
}

}  // namespace
}  // namespace fovea::io
