// The seed of randomised tests.
#ifndef TESTS_TESTING_SEED_H_
#define TESTS_TESTING_SEED_H_

#include <cstdint>

namespace lattice::testing {

// LATTICE_TEST_SEED from the environment, otherwise a new one; printed, so that a
// failing run can be repeated.
uint64_t TestSeed();

}  // namespace lattice::testing

#endif  // TESTS_TESTING_SEED_H_
