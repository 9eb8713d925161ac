# FORETOKEN_PORTABLE: programs that run on a machine with an NVIDIA driver and none of our packages.
# yaml-cpp, GoogleTest, fmt (headers only), libstdc++ and the CUDA runtime go into the program;
# libbenchmark, of which Debian has no static version, lies beside it; cuBLASLt and NCCL are loaded
# at run time. Needs the C library of the machine it is built on, or a newer one.
find_path(FMT_INCLUDE fmt/format.h REQUIRED)
add_library(fmt::fmt INTERFACE IMPORTED GLOBAL)
target_include_directories(fmt::fmt SYSTEM INTERFACE ${FMT_INCLUDE})
target_compile_definitions(fmt::fmt INTERFACE FMT_HEADER_ONLY=1)

find_path(YAML_CPP_INCLUDE yaml-cpp/yaml.h REQUIRED)
find_library(YAML_CPP_STATIC libyaml-cpp.a REQUIRED)
add_library(yaml-cpp STATIC IMPORTED GLOBAL)
set_target_properties(yaml-cpp PROPERTIES IMPORTED_LOCATION ${YAML_CPP_STATIC})
target_include_directories(yaml-cpp SYSTEM INTERFACE ${YAML_CPP_INCLUDE})

# The same static libraries lie in eight programs: each takes along only the functions it can reach.
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffunction-sections>
                    $<$<COMPILE_LANGUAGE:CXX>:-fdata-sections>)
add_link_options(-static-libstdc++ -static-libgcc -s -Wl,--gc-sections)
set(CMAKE_BUILD_RPATH "$ORIGIN")
# What find_package must not find: none of it is on the other machine.
set(CMAKE_DISABLE_FIND_PACKAGE_MPI ON)
set(CMAKE_DISABLE_FIND_PACKAGE_OpenMP ON)
