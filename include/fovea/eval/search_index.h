// Pictures embedded once, to be searched many times.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fovea/eval/embed.h"
#include "fovea/eval/retrieval.h"

namespace fovea::eval {

// What the embedding of a picture depends on: a hash of the parameters and of the evaluation transform, in hexadecimal.
FOVEA_API std::string embedding_fingerprint(const models::ClipModel& model, const image::TransformConfig& transform);

// A picture file as it was when it was embedded.
struct IndexedPicture {
  std::string path;  // starts from the index's root
  std::int64_t bytes = 0;
  std::int64_t changed = 0;  // nanoseconds since 1970

  friend bool operator==(const IndexedPicture&, const IndexedPicture&) = default;
};

// What an update did.
struct IndexUpdate {
  std::int64_t kept = 0, embedded = 0, dropped = 0;  // pictures
  std::vector<std::string> left_out;                 // why, of each picture that could not be used
};

struct SearchIndex {
  std::string root;                      // the folder that the paths start from
  std::string model_folder;              // where the model was, so that a search need not name it
  std::string fingerprint;               // of the model
  std::vector<IndexedPicture> pictures;  // sorted by path
  Tensor rows;                           // (pictures, E) f32, of unit length

  // Makes the index hold these pictures of `root`: those with an unchanged size and time keep their row, if root and
  // model are the same; the others are embedded, and pictures not among `paths` are dropped. The same path twice counts
  // once. Throws Error when no picture is left; the index is then as it was.
  FOVEA_API IndexUpdate update(const ClipEncoder& encoder, const std::string& new_root, std::vector<std::string> paths);

  // The k pictures that are most similar to each query (Q, E): indices into `pictures`.
  std::vector<std::vector<Hit>> search(const Tensor& queries, std::int64_t k) const { return top_k(queries, rows, k); }

  // A safetensors file: `embeddings` (N, E) f32, `paths` u8 (each ending in a zero byte), `files` (N, 2) i64 (size and
  // time), and the rest as metadata. An older file is replaced only once the new one is complete.
  FOVEA_API void save(const std::string& path) const;
  // Throws Error naming the file when it is no such index.
  FOVEA_API static SearchIndex load(const std::string& path);
};

}  // namespace fovea::eval
