# foretoken_library(core FOLDER sim/core SOURCES ... DEPENDS ... LIBRARIES ...)
#
# One static library per folder with the alias foretoken::<name>. Headers are included by their path
# from the project root ("sim/core/units.h"), but each library publishes only its own folder, through
# a directory of links in the build tree: a header of a library that is not linked is not found, so a
# forbidden include fails to build.

add_library(foretoken_warnings INTERFACE)
target_compile_options(foretoken_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion>
  # g++ 12 reports overlaps of 2^63 bytes inside std::string (GCC bug 105651).
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-Wno-restrict>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${FORETOKEN_WERROR}>>:-Werror>)

# Results must not depend on compiler or build type: no contraction of a*b+c into one rounding.
add_library(foretoken_options INTERFACE)
target_compile_options(foretoken_options INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off -ffile-prefix-map=${CMAKE_SOURCE_DIR}/=>)
if(FORETOKEN_SANITIZE)
  target_compile_options(foretoken_options INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=${FORETOKEN_SANITIZE} -fno-sanitize-recover=all
                              -fno-omit-frame-pointer -O1>)
  target_link_options(foretoken_options INTERFACE -fsanitize=${FORETOKEN_SANITIZE})
endif()

function(foretoken_publish target folder)
  set(root ${CMAKE_BINARY_DIR}/include/${target})
  get_filename_component(parent ${root}/${folder} DIRECTORY)
  file(MAKE_DIRECTORY ${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${folder} ${root}/${folder} SYMBOLIC)
  target_include_directories(${target} PUBLIC ${root})
endfunction()

function(foretoken_library name)
  cmake_parse_arguments(ARG "" "FOLDER" "SOURCES;DEPENDS;LIBRARIES" ${ARGN})
  set(target foretoken_${name})
  add_library(${target} STATIC ${ARG_SOURCES})
  add_library(foretoken::${name} ALIAS ${target})
  foretoken_publish(${target} ${ARG_FOLDER})
  target_link_libraries(${target} PUBLIC foretoken_options PRIVATE foretoken_warnings)
  foreach(dependency IN LISTS ARG_DEPENDS)
    target_link_libraries(${target} PUBLIC foretoken::${dependency})
  endforeach()
  target_link_libraries(${target} PRIVATE ${ARG_LIBRARIES})
endfunction()

# foretoken_test(core SOURCES ... DEPENDS ... LABELS ...): one GoogleTest program per folder.
# Tests run with the project root as working directory; reference data is ../shared/reference.
function(foretoken_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;LIBRARIES;LABELS" ${ARGN})
  set(target ${name}_test)
  add_executable(${target} ${ARG_SOURCES})
  foretoken_publish(${target} tests)  # shared fixtures
  # Sanitised, a test's own code takes longer to optimise than to run; kernels' tests compute.
  if(FORETOKEN_SANITIZE AND NOT name MATCHES "^kernels")
    set_source_files_properties(${ARG_SOURCES} PROPERTIES COMPILE_OPTIONS -O0)
  endif()
  set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${target} PRIVATE foretoken_options foretoken_warnings GTest::gtest_main
                                          GTest::gmock ${ARG_LIBRARIES})
  foreach(dependency IN LISTS ARG_DEPENDS)
    target_link_libraries(${target} PRIVATE foretoken::${dependency})
  endforeach()
  if(NOT TARGET thread_tests)
    add_custom_target(thread_tests)  # what ThreadSanitizer is run on
  endif()
  if("threads" IN_LIST ARG_LABELS)
    add_dependencies(thread_tests ${target})
  endif()
  set(properties TIMEOUT 300)
  if(ARG_LABELS)
    list(APPEND properties LABELS "${ARG_LABELS}")
  endif()
  gtest_discover_tests(${target} WORKING_DIRECTORY ${CMAKE_SOURCE_DIR} TEST_PREFIX "${name}."
    DISCOVERY_MODE PRE_TEST PROPERTIES ${properties})
endfunction()
