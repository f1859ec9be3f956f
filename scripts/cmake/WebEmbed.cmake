# cmake -DSOURCE=DIR -DBINARY=DIR -DNPM=PATH|"" -DMODE=AUTO|ON|OFF -P WebEmbed.cmake
# Builds the dashboard in BINARY/npm and writes BINARY/assets_data.cc, which carries its files as bytes. Where npm is
# not there or fails, and MODE is not ON, the page static/no-dashboard.html is all there is.
cmake_minimum_required(VERSION 3.25)

set(WORK "${BINARY}/npm")
# An offline machine is to know soon.
set(NPM_CI ci --no-audit --no-fund --prefer-offline --fetch-retries=1 --fetch-timeout=20000 --loglevel=error)

# npm_run(RESULT ARGUMENT…): 0, or what went wrong.
function(npm_run RESULT)
  execute_process(COMMAND "${NPM}" ${ARGN} WORKING_DIRECTORY "${WORK}" RESULT_VARIABLE status OUTPUT_VARIABLE out ERROR_VARIABLE out)
  string(JOIN " " command npm ${ARGN})
  if(status EQUAL 0)
    set(${RESULT} 0 PARENT_SCOPE)
  else()
    string(STRIP "${out}" out)
    set(${RESULT} "${command}: ${out}" PARENT_SCOPE)
  endif()
  set(NPM_OUTPUT "${out}" PARENT_SCOPE)
endfunction()

# Sources of an earlier build that are gone must not be in this one.
function(copy_sources)
  file(REMOVE_RECURSE "${WORK}/src" "${WORK}/static" "${WORK}/test")
  file(MAKE_DIRECTORY "${WORK}")
  foreach(name src static test package.json package-lock.json .npmrc tsconfig.json build.mjs)
    file(COPY "${SOURCE}/${name}" DESTINATION "${WORK}")
  endforeach()
endfunction()

# The packages, unless those of this lock file are there.
function(install_packages RESULT)
  file(SHA256 "${WORK}/package-lock.json" lock)
  set(installed "")
  if(EXISTS "${WORK}/installed.txt")
    file(READ "${WORK}/installed.txt" installed)
  endif()
  set(status 0)
  if(NOT installed STREQUAL lock)
    npm_run(status ${NPM_CI})
    if(status EQUAL 0)
      file(WRITE "${WORK}/installed.txt" "${lock}")
    endif()
  endif()
  set(${RESULT} "${status}" PARENT_SCOPE)
endfunction()

function(content_type RESULT NAME)
  if(NAME MATCHES "\\.html$")
    set(type "text/html; charset=utf-8")
  elseif(NAME MATCHES "\\.js$")
    set(type "text/javascript; charset=utf-8")
  elseif(NAME MATCHES "\\.css$")
    set(type "text/css; charset=utf-8")
  elseif(NAME MATCHES "\\.svg$")
    set(type "image/svg+xml")
  else()
    message(FATAL_ERROR "${NAME}: no content type is known for it")
  endif()
  set(${RESULT} "${type}" PARENT_SCOPE)
endfunction()

# write_data(FILE…): assets_data.cc with each file's bytes. The hashes in it make it another file whenever a byte changes.
function(write_data)
  set(bytes "")
  set(entries "")
  set(number 0)
  foreach(file ${ARGN})
    cmake_path(GET file FILENAME name)
    set(gzip false)
    set(path "${name}")
    if(name MATCHES "\\.gz$")
      set(gzip true)
      string(REGEX REPLACE "\\.gz$" "" path "${name}")
    endif()
    content_type(type "${path}")
    set(immutable false)
    if(path MATCHES "^app\\.")
      set(immutable true)
    endif()
    if(NOT path STREQUAL "index.html")
      set(path "assets/${path}")
    endif()
    file(SHA256 "${file}" hash)
    string(SUBSTRING "${hash}" 0 32 etag)
    file(SIZE "${file}" size)
    set(symbol "lattice_web_asset_${number}")
    string(APPEND bytes "asm(\".section .rodata\\n.balign 16\\n${symbol}:\\n.incbin \\\"${file}\\\"\\n.byte 0\\n.previous\\n\");\n"
                        "extern const char ${symbol}[] asm(\"${symbol}\");\n")
    string(APPEND entries "    {\"/${path}\", \"${type}\", \"\\\"${etag}\\\"\", {${symbol}, ${size}}, ${gzip}, ${immutable}},\n")
    math(EXPR number "${number} + 1")
  endforeach()
  file(CONFIGURE OUTPUT "${BINARY}/assets_data.cc" @ONLY CONTENT [[
// Made by scripts/cmake/WebEmbed.cmake.
#include "userspace/control/web/assets.h"

@bytes@
namespace lattice::control {

absl::Span<const Asset> Assets() {
  static const Asset assets[] = {
@entries@  };
  return assets;
}

}  // namespace lattice::control
]])
endfunction()

file(REMOVE "${BINARY}/dashboard.stamp")
set(problem "")
if(NPM)
  copy_sources()
  install_packages(status)
  if(status EQUAL 0)
    npm_run(status run build)
    string(REGEX MATCH "dashboard: [^\n]*" sizes "${NPM_OUTPUT}")
  endif()
  if(NOT status EQUAL 0)
    set(problem "${status}")
  endif()
endif()

if(NPM AND problem STREQUAL "")
  message(STATUS "${sizes}")
  file(GLOB files "${WORK}/dist/*")
  write_data(${files})
  file(TOUCH "${BINARY}/dashboard.stamp")
elseif(MODE STREQUAL "ON")
  message(FATAL_ERROR "the dashboard does not build: ${problem}")
else()
  if(problem)
    message(WARNING "this build has no dashboard, only the API. ${problem}")
  endif()
  file(COPY_FILE "${SOURCE}/static/no-dashboard.html" "${BINARY}/index.html")
  write_data("${BINARY}/index.html")
endif()
