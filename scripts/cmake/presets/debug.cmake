# cmake -C scripts/cmake/presets/debug.cmake -B build/debug   (or: scripts/build debug)
set(CMAKE_BUILD_TYPE Debug CACHE STRING "")
