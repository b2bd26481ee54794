// Writes a model folder as other libraries read it.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "fovea/models/model_folder.h"

int main(int argc, char** argv) {
  using namespace fovea;
  CLI::App app(
      "Writes a model folder of any layout in another one. hf is what transformers' from_pretrained\n"
      "reads, open_clip a folder of open_clip's hub, fovea the library's own.");
  std::string from, to, layout, floats = "f32";
  const std::map<std::string, models::ModelLayout> layouts{{"hf", models::ModelLayout::hf},
                                                           {"open_clip", models::ModelLayout::open_clip},
                                                           {"fovea", models::ModelLayout::fovea}};
  const std::map<std::string, io::FloatFormat> formats{
      {"f32", io::FloatFormat::f32}, {"bf16", io::FloatFormat::bf16}, {"f16", io::FloatFormat::f16}};
  app.add_option("model", from, "model folder")->required()->type_name("DIR");
  app.add_option("output", to, "folder to write")->required()->type_name("DIR");
  app.add_option("--layout", layout, "whose files to write")
      ->required()
      ->check(CLI::IsMember(layouts))
      ->type_name("NAME");
  app.add_option("--dtype", floats, "of the written weights")
      ->check(CLI::IsMember(formats))
      ->capture_default_str()
      ->type_name("NAME");
  CLI11_PARSE(app, argc, argv);
  try {
    for (const std::string& what : models::rewrite_model(from, to, layouts.at(layout), formats.at(floats)))
      std::fprintf(stderr, "%s has no %s, so %s has none\n", from.c_str(), what.c_str(), to.c_str());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
