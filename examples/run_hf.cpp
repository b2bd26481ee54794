// Runs a published model on given tensors and writes what its original class returns.
#include "fovea/models/run_hf.h"

#include <CLI/CLI.hpp>
#include <cstdio>

#include "fovea/core/parallel.h"

int main(int argc, char** argv) {
  using namespace fovea;
  CLI::App app(
      "Runs a model folder of Hugging Face (config.json, model.safetensors) or of open_clip\n"
      "(open_clip_config.json, open_clip_model.safetensors) in evaluation mode.");
  std::string folder, inputs, outputs, precision = "f32", layout;
  models::RunOptions options;
  int threads = 0;
  const std::map<std::string, DType> precisions{{"f32", DType::f32}, {"fp32", DType::f32}, {"f64", DType::f64}};
  const std::map<std::string, models::ModelLayout> layouts{{"hf", models::ModelLayout::hf},
                                                           {"open_clip", models::ModelLayout::open_clip}};
  app.add_option("folder", folder, "model folder")->required()->type_name("DIR");
  app.add_option("--inputs", inputs,
                 "safetensors with pixel_values (N, 3, S, S), input_ids (B, L) and, where texts are padded, "
                 "attention_mask (B, L); of a BERT token_type_ids and labels (B, L)")
      ->required()
      ->type_name("FILE");
  app.add_option("--outputs", outputs,
                 "safetensors to write: image_embeds, text_embeds, logits_per_image, logits_per_text, loss, ...")
      ->required()
      ->type_name("FILE");
  app.add_flag("--grad", options.gradients, "also write grad.NAME, the loss's gradient, for every parameter");
  app.add_option("--precision", precision, "what is computed in")
      ->check(CLI::IsMember(precisions))
      ->capture_default_str()
      ->type_name("NAME");
  app.add_option("--layout", layout, "whose files to read, where a folder holds both")
      ->check(CLI::IsMember(layouts))
      ->type_name("NAME");
  app.add_option("--threads", threads, "threads that compute; default: FOVEA_NUM_THREADS, or one per processor")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
  CLI11_PARSE(app, argc, argv);
  try {
    if (threads > 0) set_num_threads(threads);
    options.precision = precisions.at(precision);
    if (!layout.empty()) options.layout = layouts.at(layout);
    io::save_safetensors(outputs, models::run_hf(folder, io::load_safetensors(inputs), options), {{"format", "pt"}});
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
