# Compiles SOURCE for every one of ARCHITECTURES and reads what ptxas says of each kernel: fails when
# any kernel spills registers, keeps anything on a stack, or has its wgmma instructions serialised.
# Needs no GPU.
separate_arguments(architectures UNIX_COMMAND "${ARCHITECTURES}")
separate_arguments(options UNIX_COMMAND "${OPTIONS}")
get_filename_component(name ${SOURCE} NAME_WE)
foreach(architecture IN LISTS architectures)
  execute_process(
    COMMAND ${NVCC} -std=c++20 -O3 ${options} -I${ROOT}
            -gencode arch=compute_${architecture},code=sm_${architecture} -Xptxas -v -cubin
            -o ${WORK}/${name}_${architecture}.cubin ${SOURCE}
    RESULT_VARIABLE status OUTPUT_VARIABLE log ERROR_VARIABLE log)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "sm_${architecture}: ${SOURCE} does not compile:\n${log}")
  endif()
  if(log MATCHES "Potential Performance Loss[^\n]*")
    message(FATAL_ERROR "sm_${architecture}: ${CMAKE_MATCH_0}")
  endif()
  string(REGEX MATCHALL
         "[0-9]+ bytes stack frame, [0-9]+ bytes spill stores, [0-9]+ bytes spill loads"
         kernels "${log}")
  list(LENGTH kernels count)
  if(count EQUAL 0)
    message(FATAL_ERROR "sm_${architecture}: ptxas reported no kernel:\n${log}")
  endif()
  foreach(kernel IN LISTS kernels)
    if(NOT kernel STREQUAL
       "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads")
      message(FATAL_ERROR "sm_${architecture}: ${kernel}:\n${log}")
    endif()
  endforeach()
  message("sm_${architecture}: ${count} kernels, no stack, no spills")
endforeach()
