#include "fovea/eval/gallery.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "../support/error_of.h"
#include "../support/temp_folder.h"
#include "fovea/image/encode.h"
#include "fovea/io/file.h"

namespace fovea::eval {
namespace {

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(Gallery, ShowsPicturesInsideThePage) {
  const tests::TempFolder folder;
  const std::string red = folder.write("red <1>.png", image::encode_png(image::Image(8, 8)));
  const std::vector<SearchResult> results{{"a \"red\" & <b>", false, {{red, 0.5f}, {folder / "gone.png", 0.25f}}},
                                          {red, true, {{red, 1}}}};
  write_gallery(folder / "found.html", results);
  const std::string html = io::read_file(folder / "found.html");
  EXPECT_TRUE(contains(html, "“a &quot;red&quot; &amp; &lt;b&gt;”"));
  EXPECT_TRUE(contains(html, "alt=\"red &lt;1&gt;.png\""));
  EXPECT_TRUE(contains(html, "alt=\"Query: red &lt;1&gt;.png\""));
  EXPECT_TRUE(contains(html, "gone.png cannot be read"));
  EXPECT_FALSE(contains(html, "<b>"));
  EXPECT_FALSE(contains(html, "src=\"/"));
  EXPECT_NE(tests::error_of([&] { write_gallery(folder / "missing/found.html", results); }), "");
}

TEST(Gallery, JsonSaysWhatTheQueryWas) {
  const auto text = nlohmann::json::parse(to_json({"a \"cat\"", false, {{"a/b.png", 0.5f}}}));
  EXPECT_EQ(text["query"], "a \"cat\"");
  EXPECT_EQ(text["found"][0]["path"], "a/b.png");
  EXPECT_EQ(text["found"][0]["score"], 0.5);
  EXPECT_EQ(nlohmann::json::parse(to_json({"cat.png", true, {}}))["image"], "cat.png");
}

}  // namespace
}  // namespace fovea::eval
