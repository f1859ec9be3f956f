# lattice_web_library(NAME): the dashboard of the folder that calls, as bytes in the library NAME. npm builds it in a
# copy under the build folder; nothing is written to the source tree.
#   LATTICE_WEB=AUTO  builds it where npm is and its packages can be had; otherwise a page says that there is none
#   LATTICE_WEB=ON    a dashboard that does not build fails the build
#   LATTICE_WEB=OFF   no dashboard; the API is whole
set(LATTICE_WEB AUTO CACHE STRING "The dashboard: AUTO, ON or OFF")
set_property(CACHE LATTICE_WEB PROPERTY STRINGS AUTO ON OFF)
set(LATTICE_WEB_EMBED "${CMAKE_CURRENT_LIST_DIR}/WebEmbed.cmake")

# lattice_find_npm(RESULT): npm, or nothing where there is to be no dashboard.
function(lattice_find_npm RESULT)
  set(${RESULT} "" PARENT_SCOPE)
  if(LATTICE_WEB STREQUAL "OFF")
    return()
  endif()
  find_program(LATTICE_NPM npm)
  find_program(LATTICE_NODE NAMES node nodejs)
  if(LATTICE_NPM AND LATTICE_NODE)
    set(${RESULT} "${LATTICE_NPM}" PARENT_SCOPE)
  elseif(LATTICE_WEB STREQUAL "ON")
    message(FATAL_ERROR "LATTICE_WEB=ON needs npm and Node 18 or later: install the packages nodejs and npm")
  else()
    message(WARNING "no npm: this build has no dashboard, only the API. Install nodejs and npm, or set LATTICE_WEB=OFF")
  endif()
endfunction()

function(lattice_web_library NAME)
  lattice_find_npm(npm)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS LIST_DIRECTORIES false
       "${CMAKE_CURRENT_SOURCE_DIR}/src/*" "${CMAKE_CURRENT_SOURCE_DIR}/static/*" "${CMAKE_CURRENT_SOURCE_DIR}/test/*")
  foreach(file package.json package-lock.json .npmrc tsconfig.json build.mjs)
    list(APPEND sources "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
  endforeach()
  set(data "${CMAKE_CURRENT_BINARY_DIR}/assets_data.cc")
  # The stamp is there only of a dashboard that was built: without it the next build tries again.
  set(outputs "${data}")
  if(npm)
    list(APPEND outputs "${CMAKE_CURRENT_BINARY_DIR}/dashboard.stamp")
  endif()
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND "${CMAKE_COMMAND}" "-DSOURCE=${CMAKE_CURRENT_SOURCE_DIR}" "-DBINARY=${CMAKE_CURRENT_BINARY_DIR}" "-DNPM=${npm}"
            "-DMODE=${LATTICE_WEB}" -P "${LATTICE_WEB_EMBED}"
    DEPENDS ${sources} "${LATTICE_WEB_EMBED}"
    COMMENT "Dashboard"
    VERBATIM)
  add_library(${NAME} STATIC assets.cc "${data}")
  target_include_directories(${NAME} PUBLIC ${CMAKE_SOURCE_DIR})
  target_link_libraries(${NAME} PUBLIC absl::strings absl::span)
endfunction()
