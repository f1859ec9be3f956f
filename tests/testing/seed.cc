#include "tests/testing/seed.h"

#include <cstdlib>
#include <iostream>
#include <random>

#include "absl/strings/numbers.h"
#include "glog/logging.h"

namespace lattice::testing {

uint64_t TestSeed() {
  uint64_t seed = 0;
  if (const char* given = std::getenv("LATTICE_TEST_SEED"); given != nullptr) {
    CHECK(absl::SimpleAtoi(given, &seed)) << "LATTICE_TEST_SEED=" << given << " is no number";
  } else {
    std::random_device device;
    seed = uint64_t{device()} << 32 | device();
  }
  std::cout << "note: repeat with LATTICE_TEST_SEED=" << seed << std::endl;
  return seed;
}

}  // namespace lattice::testing
