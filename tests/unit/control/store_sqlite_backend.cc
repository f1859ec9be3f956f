#include "tests/unit/control/store_suite.h"

namespace lattice::control {
namespace {

class SqliteBackend : public Backend {
 public:
  std::string url() const override { return absl::StrCat("sqlite://", dir_.File("lattice.db")); }

 private:
  testing::TempDir dir_;
};

}  // namespace

std::unique_ptr<Backend> MakeBackend() {
  return std::make_unique<SqliteBackend>();
}

}  // namespace lattice::control
