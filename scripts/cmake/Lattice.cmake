# What a preset builds when it does not build all: scripts/build asan lattice_unit_tests.
add_custom_target(lattice_unit_tests)
add_custom_target(lattice_fuzzers)
add_custom_target(lattice_benches)

# lattice_library(NAME SRCS … DEPS …): the module userspace/NAME, linked as lattice::NAME.
function(lattice_library NAME)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_library(lattice_${NAME} STATIC ${ARG_SRCS})
  add_library(lattice::${NAME} ALIAS lattice_${NAME})
  target_include_directories(lattice_${NAME} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(lattice_${NAME} PUBLIC lattice::include ${ARG_DEPS})
endfunction()

# lattice_binary(NAME SRCS … DEPS …): build/bin/NAME.
function(lattice_binary NAME)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${ARG_SRCS})
  target_include_directories(${NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS})
endfunction()

# lattice_test(NAME KIND unit|bpf|integration|e2e|fault SRCS … DEPS … [TIMEOUT s]): one
# gtest binary build/bin/tests/NAME, one ctest entry labelled KIND. `scripts/test`
# counts the cases by the XML each run leaves in build/test-results/.
function(lattice_test NAME KIND)
  cmake_parse_arguments(ARG "" "TIMEOUT" "SRCS;DEPS" ${ARGN})
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 120)
  endif()
  add_executable(${NAME} ${ARG_SRCS})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/tests")
  target_include_directories(${NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} GTest::gmock_main)
  add_test(NAME ${NAME} COMMAND ${NAME} --gtest_output=xml:${CMAKE_BINARY_DIR}/test-results/${NAME}.xml)
  set_tests_properties(${NAME} PROPERTIES LABELS ${KIND} TIMEOUT ${ARG_TIMEOUT}
                       ENVIRONMENT "LATTICE_BUILD_DIR=${CMAKE_BINARY_DIR};LATTICE_SOURCE_DIR=${CMAKE_SOURCE_DIR}")
  if(KIND STREQUAL "unit")
    add_dependencies(lattice_unit_tests ${NAME})
  else()
    # They share the kernel: interfaces, pins, ports.
    set_tests_properties(${NAME} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# lattice_fuzz(NAME SRCS … DEPS …): build/bin/fuzz/NAME with libFuzzer in the fuzz
# preset. SRCS define LLVMFuzzerTestOneInput; the corpus is tests/fuzz/corpus/NAME.
function(lattice_fuzz NAME)
  if(NOT LATTICE_SANITIZE STREQUAL "fuzzer")
    return()
  endif()
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${ARG_SRCS})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/fuzz")
  target_include_directories(${NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS} -fsanitize=fuzzer)
  add_dependencies(lattice_fuzzers ${NAME})
endfunction()

# lattice_bench(NAME SRCS … DEPS …): build/bin/bench/NAME.
function(lattice_bench NAME)
  cmake_parse_arguments(ARG "" "" "SRCS;DEPS" ${ARGN})
  add_executable(${NAME} ${ARG_SRCS})
  set_target_properties(${NAME} PROPERTIES RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin/bench")
  target_include_directories(${NAME} PRIVATE ${CMAKE_SOURCE_DIR})
  target_link_libraries(${NAME} PRIVATE ${ARG_DEPS})
  add_dependencies(lattice_benches ${NAME})
endfunction()
