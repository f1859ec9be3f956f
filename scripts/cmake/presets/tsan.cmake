# cmake -C scripts/cmake/presets/tsan.cmake -B build/tsan   (or: scripts/build tsan)
set(LATTICE_SANITIZE thread CACHE STRING "")
set(LATTICE_BENCH OFF CACHE BOOL "")
