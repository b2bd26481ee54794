#include "image/jpeg.h"

#if FOVEA_HAS_LIBJPEG

#include <csetjmp>
#include <cstddef>
#include <cstdio>
#include <vector>

// jpeglib.h needs <cstdio>, and jerror.h its settings.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "fovea/core/error.h"

namespace fovea::image::detail {
namespace {

constexpr int most_scans = 500;  // every scan passes over the whole picture: a small file must not take hours

// libjpeg hands its pointers back; the structs it knows come first in ours.
struct ErrorManager : jpeg_error_mgr {
  std::jmp_buf after_failure;
  char message[JMSG_LENGTH_MAX] = "";
};

[[noreturn]] void leave(jpeg_common_struct* info) {
  auto* manager = static_cast<ErrorManager*>(info->err);
  if (manager->message[0] == '\0') manager->format_message(info, manager->message);
  std::longjmp(manager->after_failure, 1);
}

[[noreturn]] void leave_because(jpeg_common_struct* info, const char* reason) {
  std::snprintf(static_cast<ErrorManager*>(info->err)->message, JMSG_LENGTH_MAX, "%s", reason);
  leave(info);
}

// Warnings are negative. Those that say that pixels are missing are errors here; cameras cause some of the others.
void judge(jpeg_common_struct* info, int level) {
  const int code = info->err->msg_code;
  if (level < 0 && (code == JWRN_HIT_MARKER || code == JWRN_HUFF_BAD_CODE || code == JWRN_ARITH_BAD_CODE)) leave(info);
}

void check_scans(jpeg_common_struct* info) {
  if (reinterpret_cast<jpeg_decompress_struct*>(info)->input_scan_number > most_scans)
    leave_because(info, "it has too many scans");
}

boolean no_more_bytes(jpeg_decompress_struct* info) {
  leave_because(reinterpret_cast<jpeg_common_struct*>(info), "the file ends too early");
}

void skip_bytes(jpeg_decompress_struct* info, long count) {
  if (count <= 0) return;
  if (static_cast<std::size_t>(count) > info->src->bytes_in_buffer) no_more_bytes(info);
  info->src->next_input_byte += count;
  info->src->bytes_in_buffer -= static_cast<std::size_t>(count);
}

// Adobe's files hold 255 minus the ink, as Pillow takes all of them to: each colour is its ink's byte times black's.
void cmyk_to_rgb(const std::uint8_t* cmyk, int width, std::uint8_t* rgb) {
  for (int x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    for (int c = 0; c < 3; ++c) rgb[c] = static_cast<std::uint8_t>((cmyk[c] * cmyk[3] + 127) / 255);
  }
}

}  // namespace

struct JpegFile::Impl {
  std::string name;
  jpeg_decompress_struct info{};
  ErrorManager errors{};
  jpeg_source_mgr source{};
  jpeg_progress_mgr progress{};

  // Calls libjpeg, which comes back here when it fails: `step` and what it calls own nothing.
  template <class Step>
  void run(const char* what_is_wrong, Step&& step) {
    if (setjmp(errors.after_failure) != 0) fail("[image] ", name, what_is_wrong, errors.message);
    step();
  }
};

JpegFile::JpegFile(std::span<const std::uint8_t> bytes, const std::string& name) : impl_(std::make_unique<Impl>()) {
  impl_->name = name;
  jpeg_decompress_struct& info = impl_->info;
  info.err = jpeg_std_error(&impl_->errors);
  info.err->error_exit = leave;
  info.err->emit_message = judge;
  impl_->source.next_input_byte = bytes.data();
  impl_->source.bytes_in_buffer = bytes.size();
  impl_->source.init_source = impl_->source.term_source = [](jpeg_decompress_struct*) {};
  impl_->source.fill_input_buffer = no_more_bytes;
  impl_->source.skip_input_data = skip_bytes;
  impl_->source.resync_to_restart = jpeg_resync_to_restart;
  impl_->progress.progress_monitor = check_scans;
  impl_->run(": expected a PNG or JPEG picture: ", [&] {
    jpeg_create_decompress(&info);
    info.src = &impl_->source;
    info.progress = &impl_->progress;
    jpeg_read_header(&info, TRUE);
  });
}

JpegFile::~JpegFile() { jpeg_destroy_decompress(&impl_->info); }

int JpegFile::width() const { return static_cast<int>(impl_->info.image_width); }
int JpegFile::height() const { return static_cast<int>(impl_->info.image_height); }

Image JpegFile::decode(int reduction) {
  jpeg_decompress_struct& info = impl_->info;
  const bool cmyk = info.jpeg_color_space == JCS_CMYK || info.jpeg_color_space == JCS_YCCK;
  constexpr const char* damaged = ": damaged picture: ";
  impl_->run(damaged, [&] {
    info.scale_num = 1;
    info.scale_denom = static_cast<unsigned>(reduction);
    info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&info);
  });
  Image image(static_cast<int>(info.output_width), static_cast<int>(info.output_height));
  std::vector<std::uint8_t> inks(cmyk ? std::size_t{4} * info.output_width : 0);
  impl_->run(damaged, [&] {
    while (info.output_scanline < info.output_height) {
      std::uint8_t* to = image.row(static_cast<int>(info.output_scanline));
      JSAMPROW row = cmyk ? inks.data() : to;
      jpeg_read_scanlines(&info, &row, 1);
      if (cmyk) cmyk_to_rgb(inks.data(), image.width, to);
    }
    jpeg_finish_decompress(&info);
  });
  return image;
}

}  // namespace fovea::image::detail

#endif
