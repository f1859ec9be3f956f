# Language, warnings, build type, sanitizers. LATTICE_SANITIZE is one of:
# empty, address (with undefined), thread, fuzzer (clang only).
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")

if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Build type" FORCE)
endif()

option(LATTICE_TESTS "Build the tests" ON)
option(LATTICE_BENCH "Build the benchmarks" ON)
option(LATTICE_WERROR "Warnings are errors" ON)
set(LATTICE_SANITIZE "" CACHE STRING "Empty, address, thread or fuzzer")

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wcast-qual -Wno-missing-field-initializers -Wno-unused-parameter
                    $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  # LIBBPF_OPTS is made of these; gcc takes them from a system header.
  add_compile_options(-Wno-gnu-statement-expression $<$<COMPILE_LANGUAGE:CXX>:-Wno-c99-extensions>)
endif()
if(LATTICE_WERROR)
  add_compile_options(-Werror)
endif()

if(LATTICE_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(LATTICE_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -fno-omit-frame-pointer)
  add_link_options(-fsanitize=thread)
elseif(LATTICE_SANITIZE STREQUAL "fuzzer")
  if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "LATTICE_SANITIZE=fuzzer needs clang: use scripts/build fuzz")
  endif()
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=address,undefined)
elseif(NOT LATTICE_SANITIZE STREQUAL "")
  message(FATAL_ERROR "LATTICE_SANITIZE=${LATTICE_SANITIZE}: expected address, thread, fuzzer or nothing")
endif()

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM)
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()
