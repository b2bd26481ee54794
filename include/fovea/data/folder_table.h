// Plain folders of pictures as tables.
#pragma once

#include <string>
#include <vector>

#include "fovea/core/export.h"
#include "fovea/data/table.h"

namespace fovea::data {

// The PNG and JPEG files in a folder and in all folders below it, in alphabetical order of their paths, which start
// from the folder. Links to folders are followed, but no folder is read twice. Hidden files and folders are passed
// over, and folders that cannot be read are named in a warning. Throws Error when there is no such folder, or no
// picture in it.
FOVEA_API std::vector<std::string> list_pictures(const std::string& path);

// list_pictures as a table of the columns `image` (a path that starts from the folder) and `caption`:
// - when any picture has a text file beside it (a.png and a.txt), every line of it that is not blank is a caption, and
//   pictures without one are left out, with a warning;
// - otherwise a picture one folder below is called what that folder is (dogs/1.png: "dogs"), any other what its file is
//   (red_car-2.png: "red car 2"), with spaces for underscores and hyphens.
// When all pictures lie below folders called train, val, valid, validation, dev, eval or test, those become a third
// column, `split`, and depth is counted below them. Throws Error as list_pictures.
FOVEA_API Table read_folder(const std::string& path);

}  // namespace fovea::data
