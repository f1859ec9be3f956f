# cmake -C scripts/cmake/presets/fuzz.cmake -B build/fuzz   (or: scripts/build fuzz)
# libFuzzer comes with clang 14; gcc has none.
set(CMAKE_C_COMPILER clang-14 CACHE STRING "")
set(CMAKE_CXX_COMPILER clang++-14 CACHE STRING "")
set(LATTICE_SANITIZE fuzzer CACHE STRING "")
set(LATTICE_BENCH OFF CACHE BOOL "")
