// Symbol visibility: the library is built with hidden visibility, and what users may link is marked FOVEA_API.
#pragma once

#define FOVEA_API __attribute__((visibility("default")))
