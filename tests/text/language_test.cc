#include "fovea/text/language.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "fovea/data/table.h"

namespace fovea::text {
namespace {

TEST(Language, OfSentences) {
  const std::pair<const char*, const char*> cases[] = {
      {"en", "A man rides a horse on the beach"},
      {"de", "Ein Mann reitet auf einem Pferd am Strand"},
      {"es", "Un hombre monta a caballo en la playa"},
      {"fr", "Un homme monte un cheval sur la plage"},
      {"it", "Un uomo cavalca un cavallo sulla spiaggia"},
      {"pt", "Um homem anda a cavalo na praia"},
      {"nl", "Een man rijdt op een paard langs het strand"},
      {"pl", "Mężczyzna jedzie na koniu po plaży"},
      {"sv", "En man rider på en häst på stranden"},
      {"ru", "Мужчина едет на лошади по пляжу"},
      {"uk", "Чоловік їде на коні по пляжу"},
      {"hi", "एक आदमी समुद्र तट पर घोड़े की सवारी करता है"},
      {"zh", "一个男人在海滩上骑马"},
      {"ja", "男性がビーチで馬に乗っている"},
      {"ko", "한 남자가 해변에서 말을 타고 있다"},
      {"th", "ชายคนหนึ่งขี่ม้าบนชายหาด"},
      {"vi", "Một người đàn ông cưỡi ngựa trên bãi biển"},
  };
  for (const auto& [language, sentence] : cases) EXPECT_EQ(language_of(sentence), language) << sentence;
}

TEST(Language, WithoutEvidenceIsUndetermined) {
  for (const char* text : {"", "1920x1080", "red car", "IMG 0042", "...", "Ωμέγα"}) EXPECT_EQ(language_of(text), "und");
}

// Names of things, which hold few small words: scripts must still be told apart, and what is told must mostly be right.
TEST(Language, OfNames) {
  const data::Table labels = data::Table::read(FOVEA_SOURCE_DIR "/data/emoji_clipart/labels.tsv");
  std::map<std::string, int> right, wrong, all;
  for (const std::string& language : labels.columns()) {
    if (language.size() != 2) continue;
    for (std::int64_t row = 0; row < labels.rows(); ++row) {
      const std::string_view name = labels.cell(row, labels.column(language));
      if (name.empty()) continue;
      const std::string_view told = language_of(name);
      ++all[language];
      right[language] += told == language;
      wrong[language] += told != language && told != "und";
    }
  }
  for (const auto& [language, count] : all) {
    RecordProperty(language, std::to_string(right[language]) + " right, " + std::to_string(wrong[language]) +
                                 " wrong of " + std::to_string(count));
    EXPECT_LT(wrong[language], 0.35 * count) << language;
  }
  for (const char* own_script : {"hi", "ko", "th", "ja"})
    EXPECT_GT(right[own_script], 0.75 * all[own_script]) << own_script;
}

}  // namespace
}  // namespace fovea::text
