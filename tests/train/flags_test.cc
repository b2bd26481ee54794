#include "fovea/train/flags.h"

#include <gtest/gtest.h>

#include "../support/error_of.h"
#include "fovea/io/file.h"

namespace fovea::train {
namespace {

const Flag& flag(const std::string& name) {
  for (const Flag& f : training_flags()) {
    if (f.name == name) return f;
  }
  fail("no ", name);
}

TEST(Flags, StandForKeysThatExist) {
  for (const Flag& f : training_flags()) {
    std::string key = f.key;
    if (key.ends_with(".0") || key.ends_with(".1")) key.resize(key.size() - 2);
    EXPECT_NE(config_value(Config(), key), "not there") << f.name;
  }
}

TEST(Flags, SetTheirKeys) {
  Config config;
  apply_flag(config, flag("--batch-size"), {"64"});
  apply_flag(config, flag("--beta2"), {"0.9"});
  apply_flag(config, flag("--lock-image"), {});
  apply_flag(config, flag("--freeze"), {"a.*", "b"});
  apply_flag(config, flag("--lr-scheduler"), {"const-cooldown"});
  EXPECT_EQ(config.data.batch_size, 64);
  EXPECT_EQ(config.optim.betas, (std::array<double, 2>{0.9, 0.9}));
  EXPECT_TRUE(config.train.lock_image);
  EXPECT_EQ(config.train.freeze, (std::vector<std::string>{"a.*", "b"}));
  EXPECT_EQ(config.schedule.kind, "const-cooldown");
}

TEST(Flags, ErrorsNameFlagAndKey) {
  Config config;
  EXPECT_EQ(tests::error_of([&] { apply_flag(config, flag("--epochs"), {"0"}); }),
            "[config] --set train.epochs=0: train.epochs is 0, expected a whole number from 1 to 1000000000\n"
            "(--epochs stands for --set train.epochs)");
  EXPECT_EQ(tests::error_of([&] {
              apply_flag(config, flag("--seed"), {"1", "2"});
            }),
            "[config] --seed was given 2 times, expected once");
}

// The page that explains them names every key and every flag.
TEST(Flags, AreDocumentedWithEveryKey) {
  const std::string page = io::read_file(FOVEA_SOURCE_DIR "/docs/training-configuration.md");
  for (const Flag& f : training_flags()) EXPECT_NE(page.find(concat("`", f.name)), std::string::npos) << f.name;
  for (const std::string& key : config_keys()) EXPECT_NE(page.find("`" + key + "`"), std::string::npos) << key;
}

}  // namespace
}  // namespace fovea::train
