#include "fovea/text/language.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <iterator>
#include <string>
#include <unordered_map>

#include "fovea/text/caption_words.h"
#include "text/unicode.h"

namespace fovea::text {
namespace {

constexpr std::array<std::string_view, 17> codes{"en", "de", "es", "fr", "it", "pt", "nl", "pl", "sv",
                                                 "ru", "uk", "hi", "zh", "ja", "ko", "th", "vi"};

// Small words of the languages that share a script with others.
struct SmallWords {
  std::string_view code, words;
};
constexpr SmallWords small_words[] = {
    {"en",
     "the a an of and in on at to for from with without by is are was were it its his her this that these those "
     "two three no not or as into over under near while who which there has have be up down out off"},
    {"de",
     "der die das den dem des ein eine einen einem einer eines und in im am an auf aus bei mit von vom zu zum zur "
     "für nach über unter vor ist sind war nicht kein keine oder als auch ohne zwei drei es er sie"},
    {"es",
     "a el la los las un una unos unas de del y en con por para al sobre entre sin es son está están no que su sus "
     "o como dos tres más se lo muy desde"},
    {"fr",
     "le la les un une des de du et en dans avec par pour au aux sur sous entre sans est sont ne pas que qui son "
     "sa ses ou comme deux trois plus se ce cette ces il elle à d'un d'une"},
    {"it",
     "a il lo la i gli le un uno una di del della dello dei degli delle e ed in nel nella con per al alla da dal "
     "dalla su sul sulla tra fra senza è sono non che suo sua o come due tre più si"},
    {"pt",
     "o a os as um uma uns umas de do da dos das e em no na nos nas com por para ao à sobre entre sem é são não "
     "que seu sua ou como dois duas três mais se pelo pela"},
    {"nl",
     "de het een en in op van met voor aan uit bij naar over onder tussen zonder is zijn was niet geen dat die "
     "deze dit of als ook twee drie te door om er"},
    {"pl",
     "i w we z ze na do od po za pod nad przed przy dla bez jest są nie to ten ta te się o u jak oraz lub dwa "
     "dwie trzy który która przez"},
    {"sv",
     "en ett den det de och i på av med för från till vid om under över mellan utan är var inte som eller att "
     "två tre sin sitt hans hennes ur hos"},
    {"vi",
     "và của có trong trên với cho là một những các này đó không được người ở từ đến hai ba con cái chiếc bên "
     "dưới màu"},
    {"ru",
     "и в во на с со из к ко по от для за под над при без это не что как его её их или у о об до два две три "
     "который она он они"},
    {"uk",
     "і й та в у на з із зі до від для за під над при без це не що як його її їх або про два дві три який вона "
     "він вони є"},
};

// Letters that few of them write. Lower case, composed (NFC).
struct Letters {
  std::string_view code, letters;
};
constexpr Letters letters[] = {
    {"de", "äöüß"},
    {"es", "ñáéíóú¿¡"},
    {"fr", "àâçèéêëîïôùûœ"},
    {"it", "àèéìòù"},
    {"pt", "ãõáâàçéêíóôú"},
    {"pl", "ąćęłńóśźż"},
    {"sv", "åäö"},
    {"nl", "ëïé"},
    {"vi", "ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệỉịọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹãõáàèéìíòóùúý"},
    {"ru", "ыэёъ"},
    {"uk", "іїєґ"},
};

using Languages = std::uint32_t;  // one bit for each of the codes

Languages bit_of(std::string_view code) {
  return Languages{1} << (std::find(codes.begin(), codes.end(), code) - codes.begin());
}

struct Evidence {
  std::unordered_map<std::string_view, Languages> words;
  std::unordered_map<std::int32_t, Languages> letters;

  Evidence() {
    for (const auto& [code, list] : small_words) {
      for (std::string_view left = list; !left.empty();) {
        const std::size_t end = std::min(left.find(' '), left.size());
        words[left.substr(0, end)] |= bit_of(code);
        left.remove_prefix(std::min(end + 1, left.size()));
      }
    }
    for (const auto& [code, list] : text::letters)
      detail::for_each_code_point(list, [&](std::int32_t c, std::string_view) { letters[c] |= bit_of(code); });
  }
};

const Evidence& evidence() {
  static const Evidence found;
  return found;
}

// The language that writes a character's script alone, if one does; "zh" for Han may still be "ja".
std::string_view script_language(std::int32_t c) {
  const auto in = [c](std::int32_t first, std::int32_t last) { return c >= first && c <= last; };
  if (in(0x3041, 0x30FF) || in(0x31F0, 0x31FF) || in(0xFF66, 0xFF9F)) return "ja";
  if (in(0xAC00, 0xD7A3) || in(0x1100, 0x11FF) || in(0x3130, 0x318F)) return "ko";
  if (in(0x3400, 0x4DBF) || in(0x4E00, 0x9FFF) || in(0xF900, 0xFAFF) || in(0x20000, 0x3FFFF)) return "zh";
  if (in(0x0E00, 0x0E7F)) return "th";
  return in(0x0900, 0x097F) ? "hi" : "";
}

// Evidence is counted in parts of 60 that the languages of a word or letter share.
class Votes {
 public:
  void add(Languages languages) {
    const int share = 60 / std::max(std::popcount(languages), 1);
    for (std::size_t i = 0; i < codes.size(); ++i) {
      if (languages >> i & 1) votes_[i] += share;
    }
  }
  std::string_view winner() const {
    const auto best = std::max_element(votes_.begin(), votes_.end());
    return *best > 0 && std::count(votes_.begin(), votes_.end(), *best) == 1
               ? codes[static_cast<std::size_t>(best - votes_.begin())]
               : "und";
  }

 private:
  std::array<int, codes.size()> votes_{};
};

}  // namespace

std::string_view language_of(std::string_view caption) {
  std::string words;
  append_caption_words(caption, words);
  std::array<int, 5> by_script{};
  constexpr std::array<std::string_view, 5> scripts{"ja", "ko", "zh", "th", "hi"};
  int own_script = 0, other_letters = 0;
  Votes votes;
  detail::for_each_code_point(words, [&](std::int32_t c, std::string_view) {
    const std::string_view language = script_language(c);
    if (language.empty()) {
      other_letters += detail::is_letter(c);
      if (const auto found = evidence().letters.find(c); found != evidence().letters.end()) votes.add(found->second);
      return;
    }
    ++own_script;
    ++by_script[static_cast<std::size_t>(std::find(scripts.begin(), scripts.end(), language) - scripts.begin())];
  });
  if (own_script > 0 && 2 * own_script >= other_letters) {
    if (by_script[0] > 0) return "ja";  // kana among Han
    return scripts[static_cast<std::size_t>(std::max_element(by_script.begin(), by_script.end()) - by_script.begin())];
  }
  for (std::string_view left = words; !left.empty();) {
    const std::size_t end = std::min(left.find(' '), left.size());
    if (const auto found = evidence().words.find(left.substr(0, end)); found != evidence().words.end())
      votes.add(found->second);
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return votes.winner();
}

}  // namespace fovea::text
