// Every program loads, as two generations of clang compile it, with room before the
// verifier's limit. What it costs to verify is printed: it differs by kernel and compiler.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <lattice/abi.h>

#include <cerrno>
#include <cstring>
#include <iostream>

#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "lattice_bpf.skel.h"
#include "lattice_bpf_next.skel.h"

namespace lattice::testing {
namespace {

// The limit of the kernel is a million; what comes near it fails on the next kernel.
constexpr uint32_t kBudget = 250'000;

// A load with default sizes would take hundreds of megabytes.
void Shrink(bpf_object* object) {
  bpf_map* map;
  bpf_object__for_each_map(map, object) {
    const absl::string_view name = bpf_map__name(map);
    if (name != "flows4" && name != "flows6" && name != "denied") continue;
    ASSERT_EQ(bpf_map__set_max_entries(map, 64), 0);
  }
}

void LoadsWithinTheBudget(const char* compiler, bpf_object* object) {
  ASSERT_NE(object, nullptr) << std::strerror(errno);
  ASSERT_NO_FATAL_FAILURE(Shrink(object));
  ASSERT_EQ(bpf_object__load(object), 0) << std::strerror(errno);
  int programs = 0;
  bpf_program* program;
  bpf_object__for_each_program(program, object) {
    bpf_prog_info info = {};
    uint32_t size = sizeof(info);
    if (!bpf_program__autoload(program)) continue;
    ASSERT_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size), 0) << std::strerror(errno);
    std::cout << "note: " << compiler << ": " << bpf_program__name(program) << " " << info.verified_insns
              << " instructions verified of " << kBudget << "\n";
    EXPECT_GT(info.verified_insns, 0u);
    EXPECT_LT(info.verified_insns, kBudget) << bpf_program__name(program);
    ++programs;
  }
  EXPECT_EQ(programs, 5);
}

TEST(Load, WhatShipsStaysWithinTheBudget) {
  lattice_bpf* skeleton = lattice_bpf__open();
  ASSERT_NE(skeleton, nullptr) << std::strerror(errno);
  LoadsWithinTheBudget("clang-14", skeleton->obj);
  lattice_bpf__destroy(skeleton);
}

TEST(Load, TheNextCompilersObjectStaysWithinTheBudget) {
  lattice_bpf_next* skeleton = lattice_bpf_next__open();
  ASSERT_NE(skeleton, nullptr) << std::strerror(errno);
  LoadsWithinTheBudget("clang-19", skeleton->obj);
  lattice_bpf_next__destroy(skeleton);
}

}  // namespace
}  // namespace lattice::testing
