// A folder that is removed with everything in it at the end of the scope.
#ifndef TESTS_TESTING_TEMP_DIR_H_
#define TESTS_TESTING_TEMP_DIR_H_

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "glog/logging.h"

namespace lattice::testing {

class TempDir {
 public:
  TempDir() : path_(absl::StrCat(std::filesystem::temp_directory_path().string(), "/lat-t-", getpid(), "-XXXXXX")) {
    PCHECK(mkdtemp(path_.data()) != nullptr) << path_;
  }
  ~TempDir() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
    LOG_IF(WARNING, error) << "removing " << path_ << ": " << error.message();
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::string& path() const { return path_; }
  // `name` inside it.
  std::string File(absl::string_view name) const { return absl::StrCat(path_, "/", name); }

 private:
  std::string path_;
};

}  // namespace lattice::testing

#endif  // TESTS_TESTING_TEMP_DIR_H_
