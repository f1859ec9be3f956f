# cmake -C scripts/cmake/presets/asan.cmake -B build/asan   (or: scripts/build asan)
set(LATTICE_SANITIZE address CACHE STRING "")
set(LATTICE_BENCH OFF CACHE BOOL "")
