#include "userspace/control/web/assets.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace lattice::control {
namespace {

using ::testing::HasSubstr;

// What npm built; without npm there is one page only.
bool HasDashboard() {
  return Assets().size() > 1;
}

TEST(WebAssets, AlwaysHaveAPage) {
  const Asset* page = FindPage("/", false);
  ASSERT_NE(page, nullptr);
  EXPECT_EQ(page->content_type, "text/html; charset=utf-8");
  EXPECT_THAT(std::string(page->body), HasSubstr("<title>Lattice</title>"));
  EXPECT_TRUE(absl::EndsWith(page->body, "</html>\n")) << "the whole file, and nothing after it";
}

TEST(WebAssets, EveryPathOfThePageIsThePage) {
  for (const absl::string_view path : {"/", "/flows", "/integrity", "/a/b", "/index.html"}) {
    EXPECT_EQ(FindPage(path, false), FindAsset("/index.html", false)) << path;
  }
}

TEST(WebAssets, AFileThatIsNotThereIsNotThePage) {
  EXPECT_EQ(FindPage("/assets/app.js", true), nullptr);
  EXPECT_EQ(FindPage("/../etc/passwd.txt", true), nullptr);
}

TEST(WebAssets, EachHasATagOfItsOwn) {
  std::set<std::string> tags;
  for (const Asset& asset : Assets()) {
    EXPECT_TRUE(tags.insert(std::string(asset.etag)).second) << asset.path;
    EXPECT_THAT(std::string(asset.etag), ::testing::MatchesRegex("\"[0-9a-f]+\""));
  }
}

TEST(WebAssets, CompressedOnesAreForClientsThatTakeThem) {
  if (!HasDashboard()) GTEST_SKIP() << "this build has no dashboard";
  const Asset* plain = FindPage("/", false);
  const Asset* packed = FindPage("/", true);
  EXPECT_FALSE(plain->gzip);
  ASSERT_TRUE(packed->gzip);
  EXPECT_EQ(packed->body.substr(0, 2), "\x1f\x8b");
  EXPECT_EQ(packed->content_type, plain->content_type);
}

TEST(WebAssets, ThePageNamesFilesThatAreThere) {
  if (!HasDashboard()) GTEST_SKIP() << "this build has no dashboard";
  const std::string page(FindPage("/", false)->body);
  int named = 0;
  for (const Asset& asset : Assets()) {
    if (asset.gzip || asset.path == "/index.html") continue;
    EXPECT_THAT(page, HasSubstr(absl::StrCat("\"", asset.path, "\"")));
    EXPECT_EQ(asset.immutable, absl::StrContains(asset.path, "/app.")) << asset.path;
    ++named;
  }
  EXPECT_EQ(named, 3) << "script, style and icon";
}

// default-src 'self' allows neither.
TEST(WebAssets, ThePageHasNoScriptOrStyleOfItsOwn) {
  const std::string page(FindPage("/", false)->body);
  EXPECT_THAT(page, ::testing::Not(HasSubstr("<style")));
  EXPECT_THAT(page, ::testing::Not(HasSubstr("style=")));
  EXPECT_THAT(page, ::testing::Not(HasSubstr("<script>")));
  EXPECT_THAT(page, ::testing::Not(HasSubstr("http")));
}

}  // namespace
}  // namespace lattice::control
