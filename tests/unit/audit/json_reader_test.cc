#include "userspace/audit/json_reader.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace lattice::audit {
namespace {

using ::testing::ElementsAre;

// "key=value" of each member, or how it ended.
std::vector<std::string> Read(absl::string_view text) {
  std::deque<std::string> unescaped;
  std::vector<std::string> members;
  const JsonEnd end = ReadJsonObject(text, unescaped, [&](const JsonMember& member) {
    const std::string number = absl::StrCat(member.number);
    constexpr absl::string_view kOther[] = {"", "", "negative", "other"};
    members.push_back(absl::StrCat(member.key, "=",
                                   member.type == JsonType::kText     ? member.text
                                   : member.type == JsonType::kNumber ? absl::string_view(number)
                                                                      : kOther[static_cast<int>(member.type)]));
    return member.key != "stop";
  });
  constexpr const char* kNames[] = {"done", "malformed", "no object", "too deep", "stopped"};
  members.push_back(kNames[end.kind]);
  return members;
}

TEST(JsonReader, GivesEachMemberOfTheObject) {
  EXPECT_THAT(Read(R"( {"a":"text","b":18446744073709551615,"c":0} )"),
              ElementsAre("a=text", "b=18446744073709551615", "c=0", "done"));
  EXPECT_THAT(Read("{}"), ElementsAre("done"));
  EXPECT_THAT(Read(R"({"n":-7,"f":1.5,"e":1e3,"big":18446744073709551616,"t":true,"x":null})"),
              ElementsAre("n=negative", "f=other", "e=other", "big=other", "t=other", "x=other", "done"));
}

TEST(JsonReader, SkipsWhatIsInsideOfNestedValues) {
  EXPECT_THAT(Read(R"({"a":{"b":[1,{"c":[]},{}],"d":"}"},"e":[[],[{"f":2}]],"g":3})"),
              ElementsAre("a=other", "e=other", "g=3", "done"));
}

TEST(JsonReader, TellsTheTextsThatEscapesStandFor) {
  EXPECT_THAT(Read("{\"\\u0061\\n\":\"\\\"\\\\\\/\\b\\f\\r\\t\\u00e9\\u20AC\\ud83d\\ude00 \xc3\xa9\"}"),
              ElementsAre("a\n=\"\\/\b\f\r\t\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 \xc3\xa9", "done"));
}

TEST(JsonReader, EndsWhereTheCallerSaysSo) {
  EXPECT_THAT(Read(R"({"a":1,"stop":2,"b")"), ElementsAre("a=1", "stop=2", "stopped"));
}

TEST(JsonReader, TellsAnotherValueFromNoJson) {
  for (const char* text : {"[1]", "7", "null", "\"text\"", "[{"}) EXPECT_THAT(Read(text), ElementsAre("no object"));
  for (const char* text : {"", " ", "hello", "-", "\"open"}) EXPECT_THAT(Read(text), ElementsAre("malformed"));
}

TEST(JsonReader, BoundsTheDepth) {
  const auto nested = [](int lists) {
    return absl::StrCat("{\"a\":", std::string(static_cast<size_t>(lists), '['),
                        std::string(static_cast<size_t>(lists), ']'), "}");
  };
  EXPECT_THAT(Read(nested(kMaxJsonDepth - 1)), ElementsAre("a=other", "done"));
  EXPECT_THAT(Read(nested(kMaxJsonDepth)), ElementsAre("too deep"));
}

// Over texts that are JSON and texts that nearly are. A number above all that a double holds is JSON to us and none to
// the library: no two edits make one.
TEST(JsonReader, AgreesWithALibraryOnWhatIsJson) {
  const std::string seed =
      "{\"agent\":\"a\\u00e9\\ud83d\\ude00\\n\xc3\xa9\xf0\x9f\x98\x80\",\"n\":[-0.0e+3,true,10,{\"x\":[true,false,null]"
      "},{}],"
      " \"o\":{\"k\":[]},\"z\":1E5}";
  const std::string letters = "{}[]\",:\\u0d8f19eE+-. \n\x01\x7f\x80\xc3\xed\xff";
  std::mt19937 random(20261124);
  int good = 0;
  for (int i = 0; i < 200'000; ++i) {
    std::string text = seed;
    for (int edits = static_cast<int>(random() % 3); edits > 0; --edits) {
      const size_t at = random() % text.size();
      if (random() % 2 == 0) {
        text[at] = letters[random() % letters.size()];
      } else {
        text.erase(at, 1 + random() % 3);
      }
    }
    const auto parsed = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    const bool is_json = !parsed.is_discarded();
    EXPECT_EQ(Read(text).back() == "done", is_json) << text;
    good += is_json;
  }
  EXPECT_GT(good, 20'000);
  EXPECT_LT(good, 180'000);
}

}  // namespace
}  // namespace lattice::audit
