# lattice_bpf_object(NAME SOURCE [CLANG]): compiles SOURCE for the BPF target and makes
# the library NAME that carries its skeleton header <NAME>.skel.h. SOURCE is a path from
# the listing that calls, or from the root of the file system.
find_program(LATTICE_BPF_CLANG NAMES clang-14 clang REQUIRED)
find_program(LATTICE_BPFTOOL NAMES bpftool PATHS /usr/sbin /sbin REQUIRED)

function(lattice_bpf_compile OUTPUT SOURCE CLANG)
  # Debian keeps asm/types.h in the multiarch folder.
  add_custom_command(
    OUTPUT ${OUTPUT}
    COMMAND ${CLANG} -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter
            -I${CMAKE_SOURCE_DIR} -I${CMAKE_SOURCE_DIR}/include -I${CMAKE_SOURCE_DIR}/bpf -I/usr/include/${CMAKE_LIBRARY_ARCHITECTURE}
            -MD -MF ${OUTPUT}.d -MT ${OUTPUT} -c ${SOURCE} -o ${OUTPUT}
    DEPENDS ${SOURCE}
    DEPFILE ${OUTPUT}.d
    COMMENT "BPF ${OUTPUT}"
    VERBATIM)
endfunction()

function(lattice_bpf_object NAME SOURCE)
  set(object "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.bpf.o")
  set(skeleton "${CMAKE_CURRENT_BINARY_DIR}/${NAME}.skel.h")
  set(clang ${LATTICE_BPF_CLANG})
  if(ARGC GREATER 2)
    set(clang ${ARGV2})
  endif()
  cmake_path(ABSOLUTE_PATH SOURCE BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE source)
  lattice_bpf_compile(${object} ${source} ${clang})
  add_custom_command(
    OUTPUT ${skeleton}
    COMMAND sh -c "'${LATTICE_BPFTOOL}' gen skeleton '${object}' name ${NAME} > '${skeleton}'"
    DEPENDS ${object}
    COMMENT "Skeleton ${NAME}"
    VERBATIM)
  add_custom_target(${NAME}_skeleton DEPENDS ${skeleton})
  add_library(${NAME} INTERFACE)
  add_dependencies(${NAME} ${NAME}_skeleton)
  target_include_directories(${NAME} SYSTEM INTERFACE ${CMAKE_CURRENT_BINARY_DIR})
  target_link_libraries(${NAME} INTERFACE PkgConfig::LIBBPF)
endfunction()
