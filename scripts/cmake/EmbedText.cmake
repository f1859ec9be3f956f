# lattice_embed_text(OUT HEADER header NAMESPACE namespace NAME FILE …): OUT in the build folder, with the text of each
# FILE as `const char NAME[]`. Made again when a file changes.
function(lattice_embed_text OUT)
  cmake_parse_arguments(ARG "" "HEADER;NAMESPACE" "" ${ARGN})
  set(text "#include \"${ARG_HEADER}\"\n\nnamespace ${ARG_NAMESPACE} {\n")
  while(ARG_UNPARSED_ARGUMENTS)
    list(POP_FRONT ARG_UNPARSED_ARGUMENTS name file)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
    file(READ ${file} content)
    string(APPEND text "\nconst char ${name}[] = R\"~~~(${content})~~~\";\n")
  endwhile()
  string(APPEND text "\n}  // namespace ${ARG_NAMESPACE}\n")
  file(GENERATE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${OUT} CONTENT "${text}")
endfunction()
